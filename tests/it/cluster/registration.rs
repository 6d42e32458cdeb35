//! Webhooks as the API server is told of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Namespace, Refusal};
use crate::serve::program::{Webhook, eventually};

/// What a rule names: the group, then the kinds.
pub(crate) type Kinds = (&'static str, &'static [&'static str]);

pub(crate) const PODS: Kinds = ("", &["pods"]);
pub(crate) const WORKFLOWS: Kinds = ("argoproj.io", &["workflows"]);

/// Where a webhook is: a URL on loopback, to which the API server speaks HTTP/2.
pub(crate) fn by_url(webhook: &Webhook) -> Value {
    json!({"url": webhook.url("/mutate"), "caBundle": STANDARD.encode(webhook.authority())})
}

/// Where a webhook is: a Service of this namespace, through which the API server speaks HTTP/1.1 and expects a certificate for
/// `SERVICE.NAMESPACE.svc`.
///
/// The Service is another name for `localhost` and not an address of its own, which would need a network namespace. So the
/// API server finds the webhook as it does in a cluster, and only what kube-proxy adds is missing.
pub(crate) async fn by_service(namespace: &Namespace, service: &str, authority: &str, port: u16) -> Value {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    namespace.create("services", &object).await.unwrap();
    let service = json!({"name": service, "namespace": namespace.name, "path": "/mutate", "port": port});
    json!({"service": service, "caBundle": STANDARD.encode(authority)})
}

/// One entry of a MutatingWebhookConfiguration, for CREATE of these kinds. Whatever fails is shown to the creator, so that a
/// test cannot pass without its webhook.
pub(crate) fn entry(name: &str, place: Value, (group, kinds): Kinds) -> Value {
    json!({
        "name": format!("{name}.test.example.com"),
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": 10,
        "clientConfig": place,
        "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE"], "resources": kinds}],
    })
}

impl Namespace {
    /// Registers entries for this namespace alone; returns when the API server goes by them.
    pub(crate) async fn register<const N: usize>(&self, entries: [Value; N]) {
        self.register_as("m", entries).await;
    }

    /// The same. The API server asks the configurations in the order of their names, which begin with `order`.
    pub(crate) async fn register_as<const N: usize>(&self, order: &str, entries: [Value; N]) {
        let name = format!("{order}-{}", self.name);
        // Asked for one thing only, and never there: by its being missed it is seen that the configuration counts.
        let nobody = json!({"url": "https://127.0.0.1:1/nobody"});
        let mut marker = entry("marker", nobody, ("", &["configmaps"]));
        marker["objectSelector"] = json!({"matchLabels": {"registration": name}});
        let mut entries: Vec<Value> = entries.into_iter().chain([marker]).collect();
        for entry in &mut entries {
            entry["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": self.name}});
        }
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": entries,
        });
        self.request("POST", path, Some(&configuration)).await.unwrap();
        let probe = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "labels": {"registration": name}},
        });
        let missed = |refusal: Refusal| refusal.code == 500 && refusal.message.contains("marker.test.example.com");
        let counts = async || self.dry_run("configmaps", &probe).await.is_err_and(missed);
        eventually("the registration counts", counts).await;
    }
}
