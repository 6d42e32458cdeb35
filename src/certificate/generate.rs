use std::fmt;
use std::time::{Duration, SystemTime};

use super::PairError;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How far a certificate is dated back, for API servers whose clock is behind ours; a tenth of a life that is short.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// A new certificate authority and one server certificate signed by it, all PEM.
///
/// The authority's private key is not here: it is dropped as soon as it has signed, so nothing else can ever be signed
/// by an authority that clusters are told to trust. A renewal makes a new authority.
pub struct Generated {
    /// The authority's certificate: what goes into the registration's `caBundle`.
    pub ca_pem: String,
    /// The server certificate, without the authority.
    pub certificate_pem: String,
    /// The server certificate's private key, PKCS #8, ECDSA P-256.
    pub key_pem: String,
}

impl fmt::Debug for Generated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Generated").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A server certificate without a subject alternative name is one that no client accepts.
    #[error("a certificate needs at least one DNS name or IP address")]
    NoName,
    /// A name that is neither a DNS name nor an IP address, or a failure of the cryptography.
    #[error("cannot make a certificate for {names}")]
    Make {
        /// The names asked for, separated by commas.
        names: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// What was made cannot be read again, which would be a defect of the cryptography.
    #[error("what was made is no certificate and key")]
    Unreadable {
        /// What is wrong with it.
        #[source]
        source: PairError,
    },
}

/// Makes an authority and a server certificate for `names` (DNS names or IP addresses), valid from shortly before `now`
/// until `life` after it.
pub fn generate(names: &[String], now: SystemTime, life: Duration) -> Result<Generated, GenerateError> {
    if names.is_empty() {
        return Err(GenerateError::NoName);
    }
    sign(names, now, life).map_err(|source| GenerateError::Make { names: names.join(", "), source })
}

fn sign(names: &[String], now: SystemTime, life: Duration) -> Result<Generated, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name = common_name("emissary-webhook-ca");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.not_before = (now - CLOCK_SKEW.min(life / 10)).into();
    authority.not_after = (now + life).into();
    let authority_certificate = authority.self_signed(&authority_key)?;

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = common_name("emissary-webhook");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // While a renewal is under way a caBundle holds two authorities of one name: the key identifier tells them apart.
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = authority.not_before;
    leaf.not_after = authority.not_after;
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;

    Ok(Generated {
        ca_pem: authority_certificate.pem(),
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
