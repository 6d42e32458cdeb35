//! What a real API server sends under our registration, counted by the webhook, and what it keeps to itself.

use serde_json::{Value, json};

use super::documents;
use crate::cluster::{Namespace, by_url, cluster_with_argo};
use crate::serve::program::{Webhook, eventually, serve};

const WORKFLOWS: &str = "argoproj.io/v1alpha1/workflows";
const CRON_WORKFLOWS: &str = "argoproj.io/v1alpha1/cronworkflows";

/// Registers the webhook as an overlay says, for this namespace alone.
async fn register(namespace: &Namespace, webhook: &Webhook, overlay: &str) {
    let folder = super::root().join("webhook/overlays").join(overlay);
    let objects = documents(&namespace.kubectl_says(&["kustomize", folder.to_str().unwrap()], "").await);
    let mut registration = super::find(&objects, "MutatingWebhookConfiguration", "emissary-webhook").clone();
    registration["metadata"]["name"] = json!(namespace.name);
    for entry in registration["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"] = by_url(webhook);
        let expressions = entry["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap();
        expressions.push(json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace.name]}));
    }
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    namespace.request("POST", path, Some(&registration)).await.unwrap();
    let probe = pod(json!({"emissary-webhook.io/inject": "true"}), json!({}));
    let is_wrapped = |pod: &Value| pod["spec"]["containers"].as_array().unwrap().len() == 2;
    eventually("it is asked", async || namespace.dry_run("pods", &probe).await.is_ok_and(|pod| is_wrapped(&pod))).await;
}

fn pod(labels: Value, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "p-", "labels": labels, "annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app:1"}]},
    })
}

fn object(kind: &str, spec: Value) -> Value {
    let metadata = json!({"name": kind.to_lowercase()});
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// The requests that the webhook has had since this was last asked.
struct Requests<'a> {
    webhook: &'a Webhook,
    seen: f64,
}

impl Requests<'_> {
    async fn since(&mut self) -> f64 {
        let before = self.seen;
        self.seen = self.webhook.metric(r#"emissary_webhook_requests_total{code="2xx"}"#).await;
        self.seen - before
    }
}

#[tokio::test]
async fn status_updates_and_what_is_none_of_ours_stay_off_the_wire() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let namespace = cluster.namespace("wire").await;
    let kinds = "workflows: {kinds: [Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow]}";
    let webhook = serve(&format!("mode: enforce\nimageIndex: {{files: [index.yaml]}}\n{kinds}\n"))
        .file("index.yaml", "app:1: {entrypoint: [/app]}")
        .start()
        .await;
    register(&namespace, &webhook, "workflows-updates").await;
    let mut requests = Requests { webhook: &webhook, seen: 0.0 };
    requests.since().await;

    let spec = json!({"entrypoint": "m", "templates": [{"name": "m", "container": {"image": "app:1"}}]});
    let mut workflow = namespace.create(WORKFLOWS, &object("Workflow", spec.clone())).await.unwrap();
    assert_eq!(workflow["spec"]["templates"][0]["container"]["command"], json!(["/app"]));
    assert_eq!(requests.since().await, 1.0);

    // As the controller writes it while many steps run: by an update of the whole object.
    let path = format!("{}/workflow", namespace.path(WORKFLOWS));
    let node = |n: usize| {
        let id = format!("workflow-{n}");
        let node = json!({
            "id": id, "name": id, "displayName": id, "type": "Pod", "phase": "Succeeded", "message": "y".repeat(900),
        });
        (id, node)
    };
    workflow["status"] = json!({"phase": "Running", "nodes": (0..1000).map(node).collect::<serde_json::Map<_, _>>()});
    assert!(workflow.to_string().len() > 1_000_000);
    for progress in ["1/3", "2/3", "3/3"] {
        workflow["status"]["progress"] = json!(progress);
        workflow = namespace.request("PUT", &path, Some(&workflow)).await.unwrap();
        assert_eq!(workflow["status"]["progress"], progress);
    }
    assert_eq!(requests.since().await, 0.0, "updates of a Workflow's status");

    let cron = json!({"schedules": ["* * * * *"], "workflowSpec": spec});
    let mut cron = namespace.create(CRON_WORKFLOWS, &object("CronWorkflow", cron)).await.unwrap();
    assert_eq!(requests.since().await, 1.0);
    let path = format!("{}/cronworkflow", namespace.path(CRON_WORKFLOWS));
    cron["status"] = json!({"active": [], "conditions": [], "lastScheduledTime": "2026-11-22T00:00:00Z"});
    cron["metadata"]["labels"] = json!({"a": "b"});
    let mut cron = namespace.request("PUT", &path, Some(&cron)).await.unwrap();
    assert_eq!(requests.since().await, 0.0, "an update of a CronWorkflow's status and labels");
    cron["spec"]["schedules"] = json!(["1 * * * *"]);
    namespace.request("PUT", &path, Some(&cron)).await.unwrap();
    assert_eq!(requests.since().await, 1.0, "its spec differs");

    let mut reference = object("Workflow", json!({"workflowTemplateRef": {"name": "t"}}));
    reference["metadata"]["name"] = json!("reference");
    namespace.create(WORKFLOWS, &reference).await.unwrap();
    let (workflow, inject) = ("workflows.argoproj.io/workflow", "emissary-webhook.io/inject");
    for (labels, annotations) in [
        (json!({}), json!({})),
        (json!({workflow: "w", inject: "false"}), json!({})),
        (json!({workflow: "w", "workflows.argoproj.io/component": "agent"}), json!({})),
    ] {
        namespace.create("pods", &pod(labels, annotations)).await.unwrap();
    }
    assert_eq!(requests.since().await, 0.0, "what is none of ours");

    // Once: nothing that runs after us has anything to add to what we inject.
    let created = namespace.create("pods", &pod(json!({workflow: "w", inject: "true"}), json!({}))).await.unwrap();
    assert_eq!(requests.since().await, 1.0);
    let path = format!("{}/{}", namespace.path("pods"), created["metadata"]["name"].as_str().unwrap());
    namespace.request("PATCH", &path, Some(&json!({"metadata": {"labels": {"a": "b"}}}))).await.unwrap();
    assert_eq!(requests.since().await, 0.0, "an update of a pod");

    let off = json!({"metadata": {"labels": {"emissary-webhook.io/mode": "off"}}});
    namespace.request("PATCH", &format!("/api/v1/namespaces/{}", namespace.name), Some(&off)).await.unwrap();
    let asks = pod(json!({inject: "true"}), json!({}));
    let is_bare = |pod: &Value| pod["spec"]["containers"].as_array().unwrap().len() == 1;
    eventually("off is off", async || namespace.dry_run("pods", &asks).await.is_ok_and(|pod| is_bare(&pod))).await;
    requests.since().await;
    namespace.create("pods", &asks).await.unwrap();
    assert_eq!(requests.since().await, 0.0, "a namespace that is off");
}

/// What matchConditions keep off the wire comes to the webhook without them, and comes back as it was.
#[tokio::test]
async fn without_match_conditions_the_webhook_repeats_each_of_them() {
    let Some(cluster) = cluster_with_argo().await else { return };
    let labels = json!({"workflows.argoproj.io/workflow": "w"});
    let asks = json!({"emissary-webhook.io/inject": "true"});
    let mirror = json!({"kubernetes.io/config.mirror": "x"});
    let reference = object("Workflow", json!({"workflowTemplateRef": {"name": "t"}}));
    for (overlay, sent) in [("enforce", 0.0), ("legacy", 1.0)] {
        let namespace = cluster.namespace(overlay).await;
        let webhook = serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
            .file("index.yaml", "app:1: {entrypoint: [/app]}")
            .start()
            .await;
        register(&namespace, &webhook, overlay).await;
        let mut requests = Requests { webhook: &webhook, seen: 0.0 };
        requests.since().await;
        for mut pod in [pod(labels.clone(), mirror.clone()), pod(asks.clone(), mirror.clone())] {
            // Where its kubelet runs it.
            pod["spec"]["nodeName"] = json!("node");
            let made = namespace.dry_run("pods", &pod).await.unwrap();
            assert_eq!(made["spec"]["containers"].as_array().unwrap().len(), 1, "{overlay}: {made}");
            assert_eq!(requests.since().await, sent, "{overlay}: a static pod");
        }
        let made = namespace.create(WORKFLOWS, &reference).await.unwrap();
        assert_eq!(made["spec"], reference["spec"], "{overlay}");
        assert_eq!(requests.since().await, sent, "{overlay}: a Workflow without templates");
    }
}
