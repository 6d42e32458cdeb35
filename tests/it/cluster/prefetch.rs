//! Images that stored templates name are known before a pod of theirs is created: to their own namespace, and at a bounded
//! price for a replica that starts.

use sample_registry::{Fault, Image, Index, RunningRegistry, SampleRegistry};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use super::creation::{bare_pod, enforcing, wrapped};
use super::facts::{is_ready, private_pod, private_registry, pull_secret, watching};
use super::{Namespace, PODS, by_url, cluster_with_argo, entry};
use crate::serve::program::{Serve, eventually};

const TEMPLATES: &str = "argoproj.io/v1alpha1/workflowtemplates";
const FOUND: &str = r#"emissary_webhook_prefetched_total{outcome="found"}"#;
/// What readiness waits at most, and what a start and a poll may take besides.
const BOUND: Duration = Duration::from_secs(10 + 3);

/// An image for two platforms, so that a cold look-up takes three requests.
fn report() -> Index {
    let image = |platform| Image::new(platform).entrypoint(&["/usr/bin/report"]);
    Index::oci().image(image("linux/amd64")).image(image("linux/arm64"))
}

fn template(name: &str, image: &str, secrets: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": name},
        "spec": {"imagePullSecrets": secrets, "templates": [{"name": "a", "container": {"image": image}}]},
    })
}

/// A webhook that follows these namespaces and no other, as other tests' are not its concern.
fn following(namespaces: &[&Namespace], registry: &RunningRegistry) -> Serve {
    let names: Vec<&str> = namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    watching(enforcing(), &namespaces[0].cluster.kubeconfig())
        .registry(registry)
        .flags(&["--set", &format!("cluster.namespaces=[{}]", names.join(", "))])
        .flags(&["--set", "platforms=[linux/amd64]"])
}

#[tokio::test]
async fn a_stored_templates_image_costs_its_pods_nothing() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let namespace = cluster.namespace("prefetch").await;
    let registry = SampleRegistry::new().put("report:1", report()).start().await.unwrap();
    let webhook = following(&[&namespace], &registry).start().await;
    let told = is_ready(&webhook).await;
    assert!(told.contains("[+]prefetch ok: warmed up"), "{told}");
    eventually("the templates are followed", async || {
        webhook.get("/readyz?verbose").await.1.contains("[+]cluster ok: watches in step")
    })
    .await;
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;

    namespace.create(TEMPLATES, &template("report", &registry.reference("report:1"), &json!([]))).await.unwrap();
    eventually("it is looked up", async || webhook.metric(FOUND).await == 1.0).await;
    assert_eq!(registry.requests().len(), 3, "{:#?}", registry.requests());
    assert_eq!(webhook.metric("emissary_webhook_prefetch_images").await, 1.0);

    let mut pod = bare_pod("of-the-template");
    pod["spec"]["containers"][0]["image"] = json!(registry.reference("report:1"));
    let pod = namespace.create("pods", &pod).await.unwrap();
    assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"]);
    assert_eq!(registry.requests().len(), 3, "{:#?}", registry.requests());

    let path = format!("{}/report", namespace.path(TEMPLATES));
    namespace.request("DELETE", &path, None).await.unwrap();
    eventually("it is forgotten", async || webhook.metric("emissary_webhook_prefetch_images").await == 0.0).await;
}

#[tokio::test]
async fn a_replica_is_ready_in_time_though_the_registry_stalls() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let namespace = cluster.namespace("prefetch-stalls").await;
    let registry = SampleRegistry::new().put("report:1", report()).fault(|_| Some(Fault::Stall)).start().await.unwrap();
    namespace.create(TEMPLATES, &template("report", &registry.reference("report:1"), &json!([]))).await.unwrap();
    let began = Instant::now();
    let webhook = following(&[&namespace], &registry).flags(&["--set", "registry.timeout=1m"]).start().await;
    eventually("it is asked for", async || !registry.requests().is_empty()).await;
    let (status, told) = webhook.get("/readyz?verbose").await;
    assert_eq!(status, 503, "{told}");
    assert!(told.contains("[-]prefetch failed: images of stored templates are being looked up"), "{told}");
    let told = is_ready(&webhook).await;
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(told.contains("[+]prefetch ok: ready before all images of stored templates were tried"), "{told}");
}

#[tokio::test]
async fn what_a_template_taught_is_for_its_own_namespace() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let (owner, stranger) = (cluster.namespace("prefetch-own").await, cluster.namespace("prefetch-other").await);
    let registry = private_registry().await;
    owner.create("secrets", &pull_secret(&registry)).await.unwrap();
    let secrets = json!([{"name": "regcred"}]);
    for namespace in [&owner, &stranger] {
        let template = template("private", &registry.reference("private:1"), &secrets);
        namespace.create(TEMPLATES, &template).await.unwrap();
    }
    let webhook = following(&[&owner, &stranger], &registry)
        .flags(&["--set", "cluster.pullSecrets=every-secret-in-the-cluster"])
        .start()
        .await;
    let told = is_ready(&webhook).await;
    assert!(told.contains("[+]prefetch ok: warmed up"), "{told}");
    let failed = webhook.metric(r#"emissary_webhook_prefetched_total{outcome="failed"}"#).await;
    assert_eq!((webhook.metric(FOUND).await, failed), (1.0, 1.0));
    for namespace in [&owner, &stranger] {
        namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    }

    let denied = stranger.dry_run("pods", &private_pod(&registry)).await.unwrap_err();
    assert!(!denied.message.contains("secret-tool"), "{denied:?}");
    let asked = registry.requests().len();
    let pod = owner.create("pods", &private_pod(&registry)).await.unwrap();
    assert_eq!(wrapped(&pod)[0], "/secret-tool");
    assert_eq!(registry.requests().len(), asked, "{:#?}", registry.requests());
}
