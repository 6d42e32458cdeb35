use crate::setup::{keyring, near, plain, question, resolver, soon};
use emissary_core::image::Reference;
use emissary_registry::{Failure, Options, PrivateNetworks, Question};
use sample_registry::{Access, Fault, Image, RequestHead, RunningRegistry, SampleRegistry};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::net::TcpListener;

async fn registry(hook: impl Fn(&RequestHead) -> Option<Fault> + Send + Sync + 'static) -> RunningRegistry {
    let image = || Image::new("linux/amd64").cmd(&["x"]);
    let registry = SampleRegistry::new().put("app:1", image()).put("token:1", image());
    registry.access("token", Access::token("me", "right")).fault(hook).start().await.unwrap()
}

fn named(registry: &RunningRegistry, image: &str) -> Question {
    Question { reference: Reference::parse(image).unwrap(), ..question(registry, "app:1", &[]) }
}

/// A refusal, in words that say nothing of what is behind it.
fn assert_refused(failure: &Arc<Failure>, case: &str) {
    assert_eq!((failure.kind(), failure.is_transient()), ("forbidden", false), "{case}: {failure}");
    let text = failure.to_string();
    for told in ["127.0.0", "169.254", "localhost", "internal.test"] {
        assert!(!text.contains(told), "{case}: {text}");
    }
}

#[tokio::test]
async fn an_address_of_this_machine_is_not_asked() {
    let registry = registry(|_| None).await;
    let port = registry.address().port();
    for host in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost"] {
        let authority = format!("{host}:{port}");
        let options = Options { plain_http: vec![authority.clone()], allow_networks: vec![], ..near() };
        let failure = resolver(options).resolve(&named(&registry, &format!("{authority}/app:1")), soon()).await;
        assert_refused(&failure.unwrap_err(), host);
    }
    assert!(registry.requests().is_empty());
}

#[tokio::test]
async fn redirects_and_realms_lead_nowhere_special() {
    // What would be seen if anybody connected.
    let trap = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
    let trapped = trap.local_addr().unwrap();
    let targets = ["http://169.254.169.254/latest/meta-data".to_owned(), format!("http://{trapped}/x")];
    for target in targets {
        for part in ["manifest", "blob", "realm", "token"] {
            let (to, challenge) = (target.clone(), format!("Bearer realm=\"{target}\""));
            let registry = registry(move |head| match part {
                "manifest" => head.path.contains("/manifests/").then(|| Fault::redirect(&to)),
                "blob" => head.path.contains("/blobs/").then(|| Fault::redirect(&to)),
                "realm" => Some(Fault::status(401).header("www-authenticate", &challenge)),
                _ => (head.path == "/token").then(|| Fault::redirect(&to)),
            })
            .await;
            let name = if part == "token" { "token:1" } else { "app:1" };
            let options = Options {
                allow_networks: vec!["127.0.0.1/32".parse().unwrap()],
                // Else the realm would be refused for being plain.
                plain_http: vec![registry.address().to_string(), "169.254.169.254".into(), trapped.to_string()],
                ..near()
            };
            let question = Question { keyring: keyring(&registry, "me", "right"), ..question(&registry, name, &[]) };
            let failure = resolver(options).resolve(&question, soon()).await.unwrap_err();
            assert_refused(&failure, &format!("{part} to {target}"));
        }
    }
    let connected = tokio::time::timeout(std::time::Duration::from_millis(50), trap.accept()).await;
    assert!(connected.is_err(), "somebody connected");
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_an_address_either() {
    let proxy = registry(|_| None).await;
    let proxies =
        emissary_registry::Proxies { http: Some(format!("http://{}", proxy.address())), ..Default::default() };
    let with = |host: &str| Options {
        plain_http: vec![host.to_owned()],
        allow_networks: vec![],
        proxies: proxies.clone(),
        ..near()
    };
    let ask = async |host: &str| resolver(with(host)).resolve(&named(&proxy, &format!("{host}/app:1")), soon()).await;
    assert_refused(&ask("169.254.169.254").await.unwrap_err(), "metadata by proxy");
    assert!(proxy.requests().is_empty());
    // A name is the proxy's to look up, and the proxy itself may be on loopback.
    ask("registry.test").await.unwrap();
}

#[tokio::test]
async fn lists_of_registries_are_kept() {
    let registry = registry(|_| None).await;
    let host = registry.address().to_string();
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let table: &[(&[&str], &[&str], bool)] = &[
        (&[], &[], true),
        (&["127.0.0.1"], &[], true),
        (&["127.*"], &[], true),
        (&[&host], &[], true),
        (&["quay.io"], &[], false),
        (&[], &["127.0.0.1"], false),
        (&["*"], &[&host], false),
    ];
    for (allow, deny, expected) in table {
        let (allow_registries, deny_registries) = (list(allow), list(deny));
        let options = Options { allow_registries, deny_registries, ..plain(&registry) };
        let got = resolver(options).resolve(&question(&registry, "app:1", &[]), soon()).await;
        assert_eq!(got.is_ok(), *expected, "{allow:?} {deny:?}");
        if let Err(failure) = got {
            assert_refused(&failure, "list");
        }
    }
    assert_eq!(registry.requests().len(), 4 * 2);
}

#[tokio::test]
async fn a_blob_may_be_elsewhere_than_the_allowed_but_not_where_it_is_denied() {
    let elsewhere = registry(|_| None).await;
    let to = format!("http://{}", elsewhere.address());
    let registry =
        registry(move |head| head.path.contains("/blobs/").then(|| Fault::redirect(&format!("{to}{}", head.path))))
            .await;
    let host = registry.address().to_string();
    let allowed = Options { allow_registries: vec![host], ..plain(&registry) };
    resolver(allowed.clone()).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap();
    let denied = Options { deny_registries: vec![elsewhere.address().to_string()], ..allowed };
    let failure = resolver(denied).resolve(&question(&registry, "app:1", &[]), soon()).await.unwrap_err();
    assert_refused(&failure, "denied blob");
    assert_eq!(elsewhere.requests().len(), 1);
}

#[tokio::test]
async fn private_networks_are_a_setting() {
    let registry = registry(|_| None).await;
    let private = named(&registry, "10.255.255.1:9/app:1");
    let options = |private_networks| Options {
        private_networks,
        connect_timeout: std::time::Duration::from_millis(200),
        request_timeout: std::time::Duration::from_millis(300),
        ..near()
    };
    let refused = resolver(options(PrivateNetworks::Refuse)).resolve(&private, soon()).await.unwrap_err();
    assert_refused(&refused, "private");
    let tried = resolver(options(PrivateNetworks::Allow)).resolve(&private, soon()).await.unwrap_err();
    assert!(tried.is_transient(), "{tried}");
}
