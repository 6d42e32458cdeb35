//! Argo's `containerRuntimeExecutors`: which executor a pod is for, by the labels of the Workflow that owns it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::facts::{is_ready, watching};
use super::{Cluster, Namespace, PODS, by_url, cluster_with_argo, entry};
use crate::serve::program::{Serve, Webhook, eventually, serve};

const WORKFLOWS: &str = "argoproj.io/v1alpha1/workflows";
/// What an admission waits for a Workflow at most.
const PATIENCE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(1);

/// A webhook under which two executors are allowed, for the controller that is configured in `home`.
fn choosing(home: &Namespace) -> Serve {
    serve(&format!(
        "{{mode: enforce, imageIndex: {{files: [index.yaml]}}, executors: {{allowed: [emissary, pns]}}, registry: {{prefetch: \
         {{enabled: false}}}}, cluster: {{namespace: {0}}}, controllers: [{{namespace: {0}}}]}}",
        home.name
    ))
    .file("index.yaml", "registry.example.com/shop/report:1.4: {entrypoint: [/usr/bin/report]}")
}

async fn configure(home: &Namespace, data: &Value) {
    let metadata = json!({"name": "workflow-controller-configmap"});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    home.kubectl_says(&["apply", "-f", "-"], &map.to_string()).await;
}

fn selectors() -> Value {
    json!({"containerRuntimeExecutors": "- name: pns\n  selector:\n    matchLabels: {executor: pns}\n"})
}

/// A Workflow that asks for an executor by its label; its uid.
async fn workflow(namespace: &Namespace, name: &str, executor: &str) -> String {
    let spec = json!({"entrypoint": "m", "templates": [{"name": "m", "container": {"image": "a", "command": ["a"]}}]});
    let metadata = json!({"name": name, "labels": {"executor": executor}});
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec});
    let made = namespace.create(WORKFLOWS, &object).await.unwrap();
    made["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// A pod as a controller makes it for a Workflow.
fn pod_of(workflow: &str, uid: &str) -> Value {
    let owner = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": workflow, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "p-", "labels": {"workflows.argoproj.io/workflow": workflow}, "ownerReferences": [owner],
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "registry.example.com/shop/report:1.4"}],
        },
    })
}

/// Whether a pod of this Workflow is run by emissary, rather than left alone for another.
async fn is_for_emissary(namespace: &Namespace, workflow: &str, uid: &str) -> bool {
    let pod = namespace.dry_run("pods", &pod_of(workflow, uid)).await.unwrap();
    pod["spec"].get("initContainers").is_some()
}

async fn two_namespaces(cluster: &'static Cluster, about: &str) -> (Namespace, Namespace) {
    (cluster.namespace(&format!("{about}-argo")).await, cluster.namespace(about).await)
}

async fn waits(webhook: &Webhook, outcome: &str) -> f64 {
    webhook.metric(&format!("emissary_webhook_workflow_waits_total{{outcome=\"{outcome}\"}}")).await
}

#[tokio::test]
async fn a_workflows_labels_choose_as_soon_as_the_controller_selects_by_them() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let (home, shop) = two_namespaces(cluster, "choice").await;
    configure(&home, &json!({"parallelism": "5"})).await;
    let webhook = watching(choosing(&home), &cluster.kubeconfig()).start().await;
    let told = is_ready(&webhook).await;
    assert!(told.contains("[+]workflow-labels ok: no executor is chosen by them"), "{told}");
    let objects = "emissary_webhook_watch_objects{watch=\"workflows\"";
    assert!(!webhook.get("/metrics").await.1.contains(objects), "nobody pays for what decides nothing");
    shop.register([entry("pods", by_url(&webhook), PODS)]).await;
    let (old, new) = (workflow(&shop, "old", "pns").await, workflow(&shop, "new", "emissary").await);
    assert!(is_for_emissary(&shop, "old", &old).await && is_for_emissary(&shop, "new", &new).await);

    configure(&home, &selectors()).await;
    let edited = Instant::now();
    eventually("the selectors count", async || !is_for_emissary(&shop, "old", &old).await).await;
    assert!(edited.elapsed() < SOON, "{:?}", edited.elapsed());
    assert!(is_for_emissary(&shop, "new", &new).await);
    eventually("it is told", async || {
        webhook.get("/readyz?verbose").await.1.contains("select by labels of Workflows, and these are watched")
    })
    .await;

    // One that is not there gets the default, and holds its pod up no longer than is promised.
    let (unknown, began) = (waits(&webhook, "unknown").await, Instant::now());
    assert!(is_for_emissary(&shop, "gone", &old).await);
    let took = began.elapsed();
    assert!((PATIENCE..PATIENCE + SOON).contains(&took), "{took:?}");
    assert_eq!(waits(&webhook, "unknown").await, unknown + 1.0);

    // One that is created a moment before its pod is known in time, unless the API server tells of it later than is waited for.
    let (tries, mut missed) = (20, 0);
    for number in 0..tries {
        let name = format!("late-{number}");
        let uid = workflow(&shop, &name, "pns").await;
        missed += u32::from(is_for_emissary(&shop, &name, &uid).await);
    }
    println!("{missed} of {tries} Workflows were not known in time");
    assert!(missed < tries / 2, "{missed}");
    assert_eq!(waits(&webhook, "unknown").await, unknown + 1.0 + f64::from(missed));

    // A namesake that was deleted is not it.
    shop.request("DELETE", &format!("{}/old", shop.path(WORKFLOWS)), None).await.unwrap();
    let old = workflow(&shop, "old", "emissary").await;
    assert!(is_for_emissary(&shop, "old", &old).await);

    configure(&home, &json!({"containerRuntimeExecutor": "pns"})).await;
    eventually("the default counts", async || !is_for_emissary(&shop, "new", &new).await).await;
}

#[tokio::test]
async fn who_may_not_see_workflows_is_told_what_to_grant_and_holds_nobody_up() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let (home, shop) = two_namespaces(cluster, "unseen").await;
    configure(&home, &selectors()).await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]);
    super::facts::grant(&home, &rules).await;
    let kubeconfig = cluster.kubeconfig_of(&home.name, "default").await;
    let mut webhook = watching(choosing(&home), &kubeconfig).start().await;
    let told = is_ready(&webhook).await;
    let line = told.lines().find(|line| line.starts_with("[+]workflow-labels ok: ")).unwrap();
    assert!(line.contains("workflows forbidden (") && line.contains("grant list and watch on workflows"), "{line}");
    webhook.logged("the same", |line| line["message"] == "labels of Workflows are not known").await;
    shop.register([entry("pods", by_url(&webhook), PODS)]).await;
    let uid = workflow(&shop, "old", "pns").await;
    let (began, tries) = (Instant::now(), 5);
    for _ in 0..tries {
        assert!(is_for_emissary(&shop, "old", &uid).await);
    }
    assert!(began.elapsed() < PATIENCE * tries, "{:?}", began.elapsed());
    assert_eq!(waits(&webhook, "not-watched").await, f64::from(tries));
}
