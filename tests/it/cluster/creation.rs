//! Pods that are created, by kubectl and by a client, come back as emissary runs them.

use serde_json::{Value, json};

use super::{PODS, by_service, by_url, cluster, entry};
use crate::serve::program::{Serve, eventually, serve};

/// A pod that asks for injection and leaves its command to the image.
pub(super) fn bare_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"emissary-webhook.io/inject": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "registry.example.com/shop/report:1.4", "args": ["--all"]}],
        },
    })
}

/// A webhook that rewrites and knows the image of [`bare_pod`].
pub(super) fn enforcing() -> Serve {
    serve("{mode: enforce, imageIndex: {files: [index.yaml]}}")
        // A line an admission is nothing that these tests read, and some create thousands.
        .variable("EMISSARY_WEBHOOK_LOG", "info,emissary_webhook::admission=warn")
        .file("index.yaml", "registry.example.com/shop/report:1.4: {entrypoint: [/usr/bin/report]}")
}

/// What the main container runs behind the executor, args included; the test fails where there is no executor.
#[track_caller]
pub(super) fn wrapped(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let main = containers.iter().find(|container| container["name"] == "main").unwrap();
    let words = |key: &str| main[key].as_array().cloned().unwrap_or_default();
    let all: Vec<_> = words("command").into_iter().chain(words("args")).collect();
    assert_eq!(all[..2], ["/var/run/argo/argoexec", "emissary"], "{main}");
    all.iter().map(|word| word.as_str().unwrap().to_owned()).skip_while(|word| word != "--").skip(1).collect()
}

#[tokio::test]
async fn a_pod_comes_back_rewritten_by_url_and_by_service() {
    let Some(cluster) = cluster() else { return };
    for way in ["url", "service"] {
        let namespace = cluster.namespace(&format!("created-by-{way}")).await;
        let name = format!("hook.{}.svc", namespace.name);
        let webhook = enforcing().names(&["localhost", &name]).start().await;
        let place = match way {
            "url" => by_url(&webhook),
            _ => by_service(&namespace, "hook", webhook.authority(), webhook.https.port()).await,
        };
        namespace.register([entry("pods", place, PODS)]).await;

        let pod = namespace.create("pods", &bare_pod("by-client")).await.unwrap();
        assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"], "{way}");

        let input = bare_pod("by-kubectl").to_string();
        let pod = namespace.kubectl_says(&["create", "-f", "-", "-o", "json"], &input).await;
        let pod = serde_json::from_str(&pod).unwrap();
        assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"], "{way}");

        // The index in the key is that among all webhooks that anybody has registered.
        let patched = |event: &Value| {
            let annotations = event["annotations"].as_object().into_iter().flatten();
            let mut patches = annotations.filter(|(key, _)| key.starts_with("patch.webhook.admission.k8s.io/"));
            patches.any(|(_, patch)| patch.as_str().unwrap().contains("/usr/bin/report"))
        };
        eventually("both are in the audit log", async || {
            cluster.audit(&namespace.name).iter().filter(|event| patched(event)).count() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn kubectl_shows_beforehand_what_will_be_created() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("beforehand").await;
    let webhook = enforcing().start().await;
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    let input = bare_pod("planned").to_string();

    let shown = namespace.kubectl_says(&["apply", "--dry-run=server", "-o", "json", "-f", "-"], &input).await;
    assert_eq!(wrapped(&serde_json::from_str(&shown).unwrap()), ["/usr/bin/report", "--all"]);
    // 1: there is a difference.
    let difference = namespace.kubectl(&["diff", "-f", "-"], &input).await;
    let text = String::from_utf8(difference.stdout).unwrap();
    assert_eq!(difference.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|line| line.starts_with('+') && line.contains("/var/run/argo/argoexec")), "{text}");

    namespace.kubectl_says(&["apply", "-f", "-"], &input).await;
    // What was rewritten is nothing that its own manifest would take back.
    let difference = namespace.kubectl(&["diff", "-f", "-"], &input).await;
    assert_eq!(difference.status.code(), Some(0), "{}", String::from_utf8_lossy(&difference.stdout));
    let before = namespace.get("pods", "planned").await.unwrap();
    namespace.kubectl_says(&["apply", "-f", "-"], &input).await;
    let after = namespace.get("pods", "planned").await.unwrap();
    assert_eq!(before["spec"], after["spec"]);
}

/// What the API server's own plugins would change in what we inject, they would ask us about once more.
#[tokio::test]
async fn a_pod_costs_one_call() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("one-call").await;
    let webhook = enforcing().start().await;
    namespace.register([entry("pods", by_url(&webhook), PODS)]).await;
    let calls = async || webhook.metric(r#"emissary_webhook_requests_total{code="2xx"}"#).await;
    let before = calls().await;
    let pod = namespace.create("pods", &bare_pod("once")).await.unwrap();
    assert_eq!(wrapped(&pod), ["/usr/bin/report", "--all"]);
    for injected in [&pod["spec"]["initContainers"][0], &pod["spec"]["containers"][0]] {
        let mounts = injected["volumeMounts"].as_array().unwrap();
        let token = mounts.iter().filter(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount");
        assert_eq!(token.count(), 1, "{injected}");
    }
    assert_eq!(calls().await - before, 1.0);
}
