use std::fmt;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::Validity;

/// A certificate chain and its private key, known to belong together.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

/// Two pairs are equal when they show the same certificates.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pair")
            .field("certificates", &self.key.cert.len())
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Why a chain and a key are no pair. None of the texts quotes the input.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The chain's PEM is malformed, perhaps because it is still being written.
    #[error("the certificate is not PEM")]
    CertificatePem(#[source] pem::Error),
    /// No `CERTIFICATE` section.
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    /// The key's PEM is malformed, or holds no key.
    #[error("the private key file holds no PKCS #8, PKCS #1 or SEC 1 key in PEM")]
    KeyPem(#[source] pem::Error),
    /// A key or certificate that cannot be used, for example of an unknown algorithm.
    #[error("the certificate or its private key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The first certificate of the chain has another public key.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
    /// A certificate of the chain is not X.509.
    #[error("a certificate of the chain is not X.509")]
    NotX509(#[source] yasna::ASN1Error),
}

impl Pair {
    /// Reads a chain (the server's certificate first, then intermediates; other PEM sections are passed over) and the
    /// private key of its first certificate.
    ///
    /// A pair outside its validity is a pair: the caller asks [`Validity::standing`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(PairError::CertificatePem)?;
        let validity = chain
            .iter()
            .map(Validity::of)
            .reduce(|whole, next| Ok(whole?.within(next?)))
            .ok_or(PairError::NoCertificate)?
            .map_err(PairError::NotX509)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PairError::KeyPem)?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => PairError::Mismatch,
            other => PairError::Unusable(other),
        })?;
        Ok(Self { key: Arc::new(key), validity })
    }

    /// Whether clients that know the server by this DNS name or IP address accept the certificate.
    pub fn is_for(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        let leaf = self.key.cert.first().map(ParsedCertificate::try_from);
        leaf.and_then(Result::ok).is_some_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    /// The pair as rustls serves it.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// When every certificate of the chain is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}
