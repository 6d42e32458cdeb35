//! How a host's certificate is judged, and which one we show it.

use reqwest::header::HeaderMap;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{fs, io::Read, path::Path, sync::Arc, time::Duration};

/// Certificates and keys: more is none.
const LARGEST_PEM: u64 = 1 << 20;

/// What a host is told and asked with.
pub(crate) struct Site {
    pub(crate) tls: Tls,
    /// Sent with each request to the host, for as long as nobody else has redirected it.
    pub(crate) headers: HeaderMap,
}

/// TLS towards one host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

struct Inner {
    /// Trusted besides those that every host is judged by.
    roots: Vec<CertificateDer<'static>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    skip_verify: bool,
    connect_timeout: Option<Duration>,
    key: TlsKey,
}

/// Tells one [`Tls`] from another by what is in it, so that a folder read again costs no connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct TlsKey([u8; 32]);

impl Tls {
    pub(crate) fn new(
        roots: Vec<CertificateDer<'static>>,
        client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        skip_verify: bool,
        connect_timeout: Option<Duration>,
    ) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        roots.iter().for_each(|root| part(root));
        part(b"client");
        if let Some((chain, private)) = &client {
            chain.iter().for_each(|certificate| part(certificate));
            part(private.secret_der());
        }
        part(&[u8::from(skip_verify)]);
        part(&connect_timeout.unwrap_or_default().as_nanos().to_le_bytes());
        let key = TlsKey(hash.finalize().into());
        Self(Arc::new(Inner { roots, client, skip_verify, connect_timeout, key }))
    }

    /// The same without a certificate of ours.
    pub(crate) fn anonymous(&self) -> Self {
        match self.0.client {
            None => self.clone(),
            Some(_) => Self::new(self.0.roots.clone(), None, self.0.skip_verify, self.0.connect_timeout),
        }
    }

    pub(crate) fn key(&self) -> TlsKey {
        self.0.key
    }

    pub(crate) fn connect_timeout(&self) -> Option<Duration> {
        self.0.connect_timeout
    }
}

/// TLS with `ring`, named here rather than taken from the process, whose default another library may have set.
pub(crate) fn client_config(mut roots: RootCertStore, tls: Option<&Tls>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match tls {
        Some(Tls(inner)) if inner.skip_verify => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        }
        tls => {
            for root in tls.iter().flat_map(|tls| &tls.0.roots) {
                roots.add(root.clone())?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let mut config = match tls.and_then(|tls| tls.0.client.as_ref()) {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates and the first private key of a PEM file.
pub(super) fn read_pem(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>), String> {
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
    file.take(LARGEST_PEM).read_to_end(&mut pem).map_err(|error| format!("it cannot be read: {error}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|_| "it is no PEM".to_owned())?;
    let mut roots = RootCertStore::empty();
    if certificates.iter().any(|certificate| roots.add(certificate.clone()).is_err()) {
        return Err("one of its certificates cannot be used".to_owned());
    }
    Ok((certificates, PrivateKeyDer::from_pem_slice(&pem).ok()))
}

/// Whether a key can be used, and is the certificate's.
pub(super) fn check(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(RootCertStore::empty());
    let usable = config.with_client_auth_cert(chain.to_vec(), key.clone_key());
    usable.map(|_| ()).map_err(|error| format!("the key and the certificate cannot be used together: {error}"))
}

/// `skip_verify`: any certificate will do. That the other side has its key is still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
