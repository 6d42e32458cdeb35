use crate::setup::{plain, question, resolver, soon};
use emissary_registry::{Options, OptionsError, Resolver};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sample_registry::{Image, RunningRegistry, SampleRegistry};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

async fn secure(alpn: &[&str]) -> (RunningRegistry, CertificateDer<'static>) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let root = authority.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let registry = SampleRegistry::new().put("app:1", Image::new("linux/amd64").cmd(&["x"])).tls(Arc::new(config));
    (registry.start().await.unwrap(), root)
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
