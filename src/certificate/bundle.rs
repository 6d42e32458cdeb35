use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;

use super::Pair;

/// The most authorities that a bundle holds: the one in use, the next, and a few that are on their way out.
const MOST: usize = 8;

/// The authorities that clients are told to trust: what a registration's `caBundle` says. No two are the same.
///
/// Two bundles are equal when they hold the same certificates in the same order, however their PEM is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<CertificateDer<'static>>);

/// What is called a bundle is none.
#[derive(Debug, thiserror::Error)]
#[error("the authorities are no PEM certificates")]
pub struct BundleError;

impl Bundle {
    /// Reads PEM certificates; other sections are passed over.
    ///
    /// # Errors
    /// Where the PEM is malformed or holds no certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let mut bundle = Self::default();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            bundle.push(certificate.map_err(|_| BundleError)?);
        }
        if bundle.0.is_empty() { Err(BundleError) } else { Ok(bundle) }
    }

    /// As PEM, one certificate after the other.
    pub fn to_pem(&self) -> String {
        const LINE: usize = 64;
        let mut pem = String::new();
        for certificate in &self.0 {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let mut rest = STANDARD.encode(certificate);
            while !rest.is_empty() {
                let after = rest.split_off(LINE.min(rest.len()));
                pem.push_str(&rest);
                pem.push('\n');
                rest = after;
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// Whether one of the authorities signed the pair's certificate. Time plays no part.
    pub fn trusts(&self, pair: &Pair) -> bool {
        let Some((leaf, intermediates)) = pair.certified_key().cert.split_first() else { return false };
        let roots = self.roots();
        let moment = pair.validity().not_before.duration_since(UNIX_EPOCH).unwrap_or_default();
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| {
            verify_server_cert_signed_by_trust_anchor(
                &leaf,
                &roots,
                intermediates,
                UnixTime::since_unix_epoch(moment),
                ring::default_provider().signature_verification_algorithms.all,
            )
            .is_ok()
        })
    }

    /// As a client takes it.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }

    /// How many authorities there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These authorities, then those of `other`, as far as a bundle goes.
    pub(super) fn then(mut self, other: &Self) -> Self {
        for certificate in &other.0 {
            self.push(certificate.clone());
        }
        self.0.truncate(MOST);
        self
    }

    /// The authorities of which one of `pairs` has been signed.
    pub(super) fn of(&self, pairs: &[&Pair]) -> Self {
        let signed = |certificate: &CertificateDer<'static>| {
            let alone = Self(vec![certificate.clone()]);
            pairs.iter().any(|pair| alone.trusts(pair))
        };
        Self(self.0.iter().filter(|certificate| signed(certificate)).cloned().collect())
    }

    fn push(&mut self, certificate: CertificateDer<'static>) {
        if !self.0.contains(&certificate) {
            self.0.push(certificate);
        }
    }
}
