//! The webhook away under `failurePolicy: Ignore`, with the ValidatingAdmissionPolicy of `webhook/` beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use emissary_webhook::certificate::Generated;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::creation::{bare_pod, enforcing, wrapped};
use super::{Namespace, PODS, Refusal, cluster, entry};
use crate::manifests::put_policy_in_force;
use crate::serve::program::{Webhook, certificate_for, eventually};

const RUNS: [&str; 2] = ["/usr/bin/report", "--all"];
/// Creations at once, while the webhook is killed and comes back.
const CREATORS: usize = 4;
/// How long the API server waits for one that is silent.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A pod as Argo's controller makes it for the same image.
fn workflow_pod(name: &str) -> Value {
    let mut pod = bare_pod(name);
    pod["metadata"]["labels"] =
        json!({"workflows.argoproj.io/workflow": "report", "emissary-webhook.io/inject": "true"});
    pod
}

/// The one way in which a pod may be turned away. Argo 3.3 and later tries again for the sake of the words in brackets.
#[track_caller]
fn is_for_argo_to_try_again(refusal: &Refusal) {
    let Refusal { code, message } = refusal;
    assert_eq!(*code, 403, "{message}");
    assert!(message.contains("emissary-webhook has not rewritten this workflow pod"), "{message}");
    assert!(message.contains("(i/o timeout)"), "{message}");
}

async fn start(certificate: &Generated, listen: SocketAddr) -> Webhook {
    let Generated { ca_pem, certificate_pem, key_pem } = certificate;
    let certificate =
        Generated { ca_pem: ca_pem.clone(), certificate_pem: certificate_pem.clone(), key_pem: key_pem.clone() };
    let listen = format!("server.listen={listen}");
    enforcing().with_certificate(certificate).flags(&["--set", &listen]).start().await
}

/// What is in the namespace, each of it rewritten; how many.
async fn all_wrapped(namespace: &Namespace) -> usize {
    let pods = namespace.request("GET", &namespace.path("pods"), None).await.unwrap();
    let pods = pods["items"].as_array().unwrap();
    pods.iter().for_each(|pod| assert_eq!(wrapped(pod), RUNS));
    pods.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_unwrapped_gets_in_while_the_webhook_is_away() {
    let Some(cluster) = cluster() else { return };
    let namespace = Arc::new(cluster.namespace_with("outage", json!({"emissary-webhook.io/mode": "enforce"})).await);
    put_policy_in_force(&namespace).await;
    let certificate = certificate_for(&["localhost"]);
    let webhook = start(&certificate, SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let address = webhook.https;
    let mut pods = entry("pods", super::by_url(&webhook), PODS);
    pods["failurePolicy"] = json!("Ignore");
    pods["timeoutSeconds"] = json!(TIMEOUT.as_secs());
    namespace.register([pods]).await;
    let create = async |name: &str| namespace.create("pods", &workflow_pod(name)).await;
    assert_eq!(wrapped(&create("before").await.unwrap()), RUNS);

    // Somebody goes on creating through all that follows.
    let (stop, admitted, refused) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let (namespace, stop) = (Arc::clone(&namespace), Arc::clone(&stop));
        let (admitted, refused) = (Arc::clone(&admitted), Arc::clone(&refused));
        creators.spawn(async move {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match namespace.create("pods", &workflow_pod(&format!("of-{creator}-{number}"))).await {
                    Ok(pod) => {
                        assert_eq!(wrapped(&pod), RUNS);
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(refusal) => {
                        is_for_argo_to_try_again(&refusal);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    let more = async |what: &str, count: &AtomicUsize| {
        let before = count.load(Ordering::Relaxed);
        eventually(what, async || count.load(Ordering::Relaxed) > before + 2 * CREATORS).await;
    };
    more("pods are let in", &admitted).await;

    // Killed: its port refuses connections.
    drop(webhook);
    is_for_argo_to_try_again(&create("killed").await.unwrap_err());
    more("pods are refused", &refused).await;

    // Its node gone, as far as the API server can tell: connections are made, and nothing comes back.
    let silent = TcpListener::bind(address).await.unwrap();
    is_for_argo_to_try_again(&create("silent").await.unwrap_err());
    more("pods are refused still", &refused).await;
    drop(silent);

    // Back, and what was refused gets in when it is tried again.
    let webhook = start(&certificate, address).await;
    for name in ["killed", "silent"] {
        eventually("it is let in", async || create(name).await.is_ok_and(|pod| wrapped(&pod) == RUNS)).await;
    }
    more("pods are let in again", &admitted).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(creator) = creators.join_next().await {
        creator.unwrap();
    }
    assert_eq!(all_wrapped(&namespace).await, admitted.load(Ordering::Relaxed) + 3);
    drop(webhook);
}
