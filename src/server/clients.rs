use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::certificate::common_name;

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
    Rustls(#[from] Error),
}

/// The clients that are let in: the API server, where it shows who it is.
#[derive(Clone, Debug)]
pub struct Clients {
    /// PEM certificates of the authorities one of which must have signed the client's certificate. Read once.
    pub authority: Vec<u8>,
    /// The common names or DNS names of which the certificate must have one; empty for any.
    pub names: Vec<String>,
}

impl Clients {
    pub(super) fn verifier(self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Self { authority, names } = self;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&authority) {
            roots.add(certificate.map_err(TlsError::AuthorityPem)?)?;
        }
        let signed = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let signed = signed.map_err(TlsError::Authority)?;
        Ok(if names.is_empty() { signed } else { Arc::new(Named { signed, names }) })
    }
}

/// Certificates that an authority has signed, for one of these names. An authority that signs for a whole cluster signs
/// for every kubelet too.
#[derive(Debug)]
struct Named {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Named {
    fn allows(&self, certificate: &CertificateDer<'_>) -> bool {
        let common_name = common_name(certificate);
        let parsed = ParsedCertificate::try_from(certificate);
        self.names.iter().any(|name| {
            common_name.as_ref() == Some(name)
                || ServerName::try_from(name.as_str())
                    .is_ok_and(|name| parsed.as_ref().is_ok_and(|parsed| verify_server_name(parsed, &name).is_ok()))
        })
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed.verify_client_cert(certificate, intermediates, now)?;
        if self.allows(certificate) {
            Ok(verified)
        } else {
            tracing::warn!(common_name = common_name(certificate), "a client is not among server.clientNames");
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
