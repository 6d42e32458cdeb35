use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

/// The ALPN protocol identifiers (RFC 7301), the preferred first. Without ALPN a client speaks HTTP/1.1.
pub(super) const ALPN_HTTP_2: &[u8] = b"h2";
const ALPN_HTTP_1: &[u8] = b"http/1.1";

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority of client certificates is not PEM.
    #[error("the client certificate authority is not PEM")]
    AuthorityPem(#[source] pem::Error),
    /// The authority of client certificates is not X.509, or there is none in the file.
    #[error("the client certificate authority cannot be used")]
    Authority(#[source] VerifierBuilderError),
    /// The cryptography does not offer what is asked of it.
    #[error("cannot set up TLS")]
    Rustls(#[from] rustls::Error),
}

/// The pair in service. Each handshake takes the one of its moment, without a lock; connections already open are not
/// touched by a change.
#[derive(Debug)]
pub(super) struct Served(ArcSwap<CertifiedKey>);

impl Served {
    pub(super) fn new(key: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(key))
    }

    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// TLS 1.2 and 1.3, both HTTP versions. With `client_authority` (PEM), only clients with a certificate by it.
pub(super) fn configuration(served: Arc<Served>, client_authority: Option<&[u8]>) -> Result<ServerConfig, TlsError> {
    // Named here rather than installed for the process: which provider serves must not depend on who came first.
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority) {
                roots.add(certificate.map_err(TlsError::AuthorityPem)?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::Authority)?)
        }
    };
    let mut configuration = builder.with_cert_resolver(served);
    configuration.alpn_protocols = vec![ALPN_HTTP_2.to_vec(), ALPN_HTTP_1.to_vec()];
    Ok(configuration)
}
