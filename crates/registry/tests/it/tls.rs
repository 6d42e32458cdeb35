use crate::setup::{plain, question, resolver, soon};
use emissary_registry::{Options, OptionsError, Resolver};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use sample_registry::{Image, RunningRegistry, SampleRegistry};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// A certificate authority for loopback.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, both PEM.
    pub(crate) fn client(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (parameters.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A server for 127.0.0.1, which may demand a certificate of this authority.
    pub(crate) fn server(&self, demand: bool) -> Arc<ServerConfig> {
        self.speaking(&["h2", "http/1.1"], demand)
    }

    fn speaking(&self, alpn: &[&str], demand: bool) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if demand {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

async fn secure(alpn: &[&str]) -> (RunningRegistry, CertificateDer<'static>) {
    let authority = Authority::new();
    let image = Image::new("linux/amd64").cmd(&["x"]);
    let registry = SampleRegistry::new().put("app:1", image).tls(authority.speaking(alpn, false));
    (registry.start().await.unwrap(), authority.0.der().clone())
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_told() {
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let (registry, root) = secure(alpn).await;
        let options = |extra_roots| Options { plain_http: vec![], extra_roots, ..plain(&registry) };
        let question = question(&registry, "app:1", &[]);
        let failure = resolver(options(vec![])).resolve(&question, soon()).await.unwrap_err();
        assert_eq!(failure.kind(), "unreachable");
        assert!(registry.requests().is_empty());
        resolver(options(vec![root])).resolve(&question, soon()).await.unwrap();
        assert_eq!(registry.requests().len(), 2, "{alpn:?}");
    }
}

#[tokio::test]
async fn loopback_is_not_plain_by_itself() {
    let registry = SampleRegistry::new().put("app:1", Image::new("linux/amd64").cmd(&["x"])).start().await.unwrap();
    let options = Options { plain_http: vec![], ..plain(&registry) };
    let failure = resolver(options).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap_err();
    assert_eq!(failure.kind(), "unreachable");
    assert!(registry.requests().is_empty());
}

#[test]
fn a_root_that_is_none_is_named() {
    let extra_roots = vec![CertificateDer::from(b"nonsense".to_vec())];
    let options = Options { extra_roots, system_roots: false, ..Options::default() };
    let error = Resolver::new(options, TaskTracker::new()).unwrap_err();
    assert!(matches!(error, OptionsError::Root { position: 1, .. }), "{error}");
}
