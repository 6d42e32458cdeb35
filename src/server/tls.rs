use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::clients::{Clients, TlsError};

/// The ALPN protocol identifiers (RFC 7301), the preferred first. Without ALPN a client speaks HTTP/1.1.
pub(super) const ALPN_HTTP_2: &[u8] = b"h2";
const ALPN_HTTP_1: &[u8] = b"http/1.1";

/// The pair in service. Each handshake takes the one of its moment, without a lock; connections already open are not
/// touched by a change.
#[derive(Debug)]
pub(super) struct Served(ArcSwapOption<CertifiedKey>);

impl Served {
    /// Without a pair every handshake fails.
    pub(super) fn new(key: Option<Arc<CertifiedKey>>) -> Self {
        Self(ArcSwapOption::new(key))
    }

    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(Some(key));
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// TLS 1.2 and 1.3, both HTTP versions; with `clients`, only those.
pub(super) fn configuration(served: Arc<Served>, clients: Option<Clients>) -> Result<ServerConfig, TlsError> {
    // Named here rather than installed for the process: which provider serves must not depend on who came first.
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients.verifier(provider)?),
    };
    let mut configuration = builder.with_cert_resolver(served);
    configuration.alpn_protocols = vec![ALPN_HTTP_2.to_vec(), ALPN_HTTP_1.to_vec()];
    Ok(configuration)
}
