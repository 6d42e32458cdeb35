//! Other webhooks before and after ours: what they put in or change is what is rewritten in the end. And what the API server
//! speaks to any webhook.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::Version;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::creation::{bare_pod, enforcing, wrapped};
use super::{PODS, by_service, by_url, cluster, entry};
use crate::serve::program::{PROTOCOLS, certificate_for, serve};

/// Somebody else's webhook: its operations of RFC 6902 for an object.
struct Neighbour {
    authority: String,
    port: u16,
    /// The protocol of each review.
    asked: Arc<Mutex<Vec<Version>>>,
}

impl Neighbour {
    fn by_url(&self) -> Value {
        let url = format!("https://localhost:{}/mutate", self.port);
        json!({"url": url, "caBundle": STANDARD.encode(&self.authority)})
    }

    fn asked(&self) -> Vec<Version> {
        self.asked.lock().unwrap().clone()
    }
}

/// Offers HTTP/2 and HTTP/1.1, under these names.
async fn neighbour(names: &[&str], patch: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static) -> Neighbour {
    let made = certificate_for(names);
    let certificates = CertificateDer::pem_slice_iter(made.certificate_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    tls.alpn_protocols = PROTOCOLS.iter().rev().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tls = TlsAcceptor::from(Arc::new(tls));

    let asked: Arc<Mutex<Vec<Version>>> = Arc::default();
    let (heard, patch) = (Arc::clone(&asked), Arc::new(patch));
    let answer = move |version: Version, review: String| {
        let review: Value = serde_json::from_str(&review).unwrap();
        heard.lock().unwrap().push(version);
        let operations = Value::Array(patch(&review["request"]["object"])).to_string();
        let response = json!({
            "uid": review["request"]["uid"],
            "allowed": true,
            "patchType": "JSONPatch",
            "patch": STANDARD.encode(operations),
        });
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        async move { ([("content-type", "application/json")], review.to_string()) }
    };
    let router = Router::new().route("/mutate", post(answer));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                // The API server closes as it likes.
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Neighbour { authority: made.ca_pem, port, asked }
}

/// Puts a sidecar in where there is none.
async fn sidecar_injector() -> Neighbour {
    neighbour(&["localhost"], |pod| {
        let containers = pod["spec"]["containers"].as_array().unwrap();
        if containers.iter().any(|container| container["name"] == "log-shipper") {
            return Vec::new();
        }
        let sidecar = json!({"name": "log-shipper", "image": "registry.example.com/platform/shipper:1"});
        vec![json!({"op": "add", "path": "/spec/containers/-", "value": sidecar})]
    })
    .await
}

/// Has images pulled from elsewhere.
async fn mirror_rewriter() -> Neighbour {
    neighbour(&["localhost"], |pod| {
        let mut operations = Vec::new();
        for list in ["containers", "initContainers"] {
            for (index, container) in pod["spec"][list].as_array().into_iter().flatten().enumerate() {
                if let Some(rest) = container["image"].as_str().unwrap().strip_prefix("registry.example.com/") {
                    let path = format!("/spec/{list}/{index}/image");
                    let value = format!("mirror.example.net/{rest}");
                    operations.push(json!({"op": "replace", "path": path, "value": value}));
                }
            }
        }
        operations
    })
    .await
}

fn names(pod: &Value) -> Vec<&str> {
    pod["spec"]["containers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Configurations are asked in the order of their names: `a` is before ours, `z` after.
#[tokio::test]
async fn a_sidecar_injector_may_come_before_or_after() {
    let Some(cluster) = cluster() else { return };
    for order in ["a", "z"] {
        let namespace = cluster.namespace(&format!("sidecar-{order}")).await;
        let (webhook, injector) = (
            enforcing().flags(&["--set", "rewrite.injectedSidecars=[log-shipper]"]).start().await,
            sidecar_injector().await,
        );
        namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
        namespace.register_as(order, [entry("sidecar", injector.by_url(), PODS)]).await;
        let pod = namespace.create("pods", &bare_pod("shipped")).await.unwrap();
        assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"], "{order}");
        let mut found = names(&pod);
        found.sort_unstable();
        assert_eq!(found, ["log-shipper", "main", "wait"], "{order}");
        let sidecar = pod["spec"]["containers"].as_array().unwrap().iter().find(|one| one["name"] == "log-shipper");
        assert!(sidecar.unwrap().get("command").is_none(), "{order}: an injected sidecar is left alone");
        assert!(!injector.asked().is_empty());
    }
}

/// Before ours, the mirror's name is what is looked up; after ours, the image has been looked up by its own name. The pod runs
/// the mirror's image with the same command either way, and is asked about at most twice.
#[tokio::test]
async fn a_mirror_rewriter_may_come_before_or_after() {
    let Some(cluster) = cluster() else { return };
    for order in ["a", "z"] {
        let namespace = cluster.namespace(&format!("mirror-{order}")).await;
        let webhook = serve(
            "{mode: enforce, imageIndex: {files: [index.yaml]}, executor: {image: registry.example.com/argoexec:1}}",
        )
        .file("index.yaml", "'**/shop/report:1.4': {entrypoint: [/usr/bin/report]}")
        .start()
        .await;
        let mirror = mirror_rewriter().await;
        namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
        namespace.register_as(order, [entry("mirror", mirror.by_url(), PODS)]).await;
        let pod = namespace.create("pods", &bare_pod("mirrored")).await.unwrap();
        assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"], "{order}");
        // Whoever is first is asked again, since the other has changed the pod.
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array().unwrap() {
                let image = container["image"].as_str().unwrap();
                assert!(image.starts_with("mirror.example.net/"), "{order}: {image}");
            }
        }
        let asked = mirror.asked().len();
        assert!((1..=2).contains(&asked), "{order}: {asked}");
    }
}

/// Which is why all that goes over the wire is tested in both.
#[tokio::test]
async fn a_url_on_loopback_is_spoken_to_in_http_2_and_a_service_in_http_1() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("protocols").await;
    let service = format!("hook.{}.svc", namespace.name);
    let (first, second) =
        (neighbour(&["localhost"], |_| Vec::new()).await, neighbour(&[&service], |_| Vec::new()).await);
    let place = by_service(&namespace, "hook", &second.authority, second.port).await;
    namespace.register([entry("url", first.by_url(), PODS), entry("service", place, PODS)]).await;
    namespace.create("pods", &bare_pod("seen")).await.unwrap();
    assert_eq!((first.asked(), second.asked()), (vec![Version::HTTP_2], vec![Version::HTTP_11]));
}
