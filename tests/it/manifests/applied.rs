//! Overlays and chart on a real API server.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use emissary_webhook::certificate::generate;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::rendered::{FAR, SAME, chart, kustomization};
use super::{CHART, find, is_hook, root};
use crate::cluster::{Namespace, cluster};
use crate::components::{HELM, KUBECTL, need};

/// The registration has one name in a cluster: one test at a time.
static REGISTRATION: Mutex<()> = Mutex::const_new(());

/// Kinds that others define, and that a bare API server does not have.
const FOREIGN: [&str; 2] = ["cert-manager.io/v1", "monitoring.coreos.com/v1"];

#[tokio::test]
async fn every_rendering_is_taken() {
    let Some([helm, kubectl]) = need([HELM, KUBECTL]) else { return };
    let Some(cluster) = cluster() else { return };
    let _alone = REGISTRATION.lock().await;
    // Nothing of it is kept, but what it stands in has to be there.
    for name in ["emissary-webhook", "workflows", "a"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        cluster.kubectl_says(&["apply", "--server-side", "-f", "-"], &namespace.to_string()).await;
    }
    let overlays = SAME.iter().map(|(overlay, _)| ((*overlay).to_owned(), kustomization(&kubectl, overlay)));
    let charts = SAME.iter().map(|(_, values)| *values).chain(FAR);
    let charts = charts.map(|values| (format!("the chart with {values:?}"), chart(&helm, values)));
    for (name, mut objects) in overlays.chain(charts) {
        // A test pod needs the service account, of which nothing is kept either.
        objects.retain(|object| !FOREIGN.contains(&object["apiVersion"].as_str().unwrap()) && !is_hook(object));
        assert!(objects.len() > 10, "{name}: {}", objects.len());
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = cluster.kubectl(&arguments, &list).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{name}: {complaint}");
    }
}

/// helm as who may do everything, on objects of this namespace's release.
fn helm(program: &Path, namespace: &Namespace, kubeconfig: &Path, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .args(["--namespace", &namespace.name])
        .current_dir(root())
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", home.path())
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is filled in later is there after an upgrade, and the index after the end too.
#[tokio::test]
async fn an_upgrade_keeps_what_was_filled_in() {
    let Some([program]) = need([HELM]) else { return };
    let Some(cluster) = cluster() else { return };
    let _alone = REGISTRATION.lock().await;
    let namespace = cluster.namespace("helm").await;
    let helm = |arguments: &[&str]| helm(&program, &namespace, &cluster.kubeconfig(), arguments);
    // For this namespace alone, so that no other test's pods come by.
    let values = format!("namespaces={{{}}},certificates.source=files,certificates.secretName=mine", namespace.name);
    helm(&["install", "emissary-webhook", CHART, "--set", &values]);

    let index = json!({"data": {"image-index.yaml": "alpine: {cmd: [/bin/sh]}"}});
    let index_map = format!("{}/image-index", namespace.path("configmaps"));
    namespace.request("PATCH", &index_map, Some(&index)).await.unwrap();
    let lease = format!("{}/emissary-webhook", namespace.path("coordination.k8s.io/v1/leases"));
    namespace.request("PATCH", &lease, Some(&json!({"spec": {"holderIdentity": "one"}}))).await.unwrap();
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/emissary-webhook";
    let mut registration = namespace.request("GET", path, None).await.unwrap();
    // Some certificate: the API server takes no caBundle that is none.
    let made = generate(&["localhost".to_owned()], SystemTime::now(), Duration::from_secs(3600)).unwrap();
    let bundle = json!(STANDARD.encode(made.ca_pem));
    for entry in registration["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"]["caBundle"] = bundle.clone();
    }
    namespace.request("PUT", path, Some(&registration)).await.unwrap();

    helm(&["upgrade", "emissary-webhook", CHART, "--set", &values, "--set", "replicas=3"]);
    let deployment = namespace.get("apps/v1/deployments", "emissary-webhook").await.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(namespace.get("configmaps", "image-index").await.unwrap()["data"], index["data"]);
    assert_eq!(namespace.request("GET", &lease, None).await.unwrap()["spec"]["holderIdentity"], "one");
    let upgraded = namespace.request("GET", path, None).await.unwrap();
    let bundles: Vec<&Value> =
        upgraded["webhooks"].as_array().unwrap().iter().map(|entry| &entry["clientConfig"]["caBundle"]).collect();
    assert_eq!(bundles, [&bundle, &bundle, &bundle]);

    helm(&["uninstall", "emissary-webhook"]);
    assert_eq!(namespace.request("GET", path, None).await.unwrap_err().code, 404);
    assert_eq!(namespace.get("configmaps", "image-index").await.unwrap()["data"], index["data"]);

    // The index that stayed is taken up again.
    helm(&["install", "emissary-webhook", CHART, "--set", &values]);
    assert_eq!(namespace.get("configmaps", "image-index").await.unwrap()["data"], index["data"]);
    helm(&["uninstall", "emissary-webhook"]);
}

/// The webhook's own account on a real API server: what it needs it may, and no secret of others.
#[tokio::test]
async fn rights_are_what_the_roles_say() {
    let Some([helm]) = need([HELM]) else { return };
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("rights").await;
    let objects = chart(&helm, &[]);
    let mine = |kind: &str, name: &str| {
        let mut object = find(&objects, kind, name).clone();
        object["metadata"]["namespace"] = json!(namespace.name);
        object.to_string()
    };
    namespace.kubectl_says(&["create", "-f", "-"], &mine("ServiceAccount", "emissary-webhook")).await;
    namespace.kubectl_says(&["create", "-f", "-"], &mine("Role", "emissary-webhook")).await;
    let binding = mine("RoleBinding", "emissary-webhook");
    let binding = binding.replace(r#""namespace":"emissary-webhook""#, &format!(r#""namespace":"{}""#, namespace.name));
    namespace.kubectl_says(&["create", "-f", "-"], &binding).await;
    let webhook = namespace.by(&cluster.kubeconfig_of(&namespace.name, "emissary-webhook").await).await;

    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let forbidden = |answer: Result<Value, crate::cluster::Refusal>| answer.unwrap_err().code == 403;
    namespace.create("secrets", &secret("of-somebody-else")).await.unwrap();
    assert!(forbidden(webhook.get("secrets", "of-somebody-else").await));
    assert!(forbidden(webhook.request("GET", &webhook.path("secrets"), None).await));
    // A plain create cannot be granted for one name.
    assert!(forbidden(webhook.create("secrets", &secret("emissary-webhook-certificate")).await));
    namespace.create("secrets", &secret("emissary-webhook-certificate")).await.unwrap();
    webhook.get("secrets", "emissary-webhook-certificate").await.unwrap();
    let own = format!("{}?fieldSelector=metadata.name%3Demissary-webhook-certificate", webhook.path("secrets"));
    assert_eq!(webhook.request("GET", &own, None).await.unwrap()["items"].as_array().unwrap().len(), 1);
    webhook.request("GET", &webhook.path("configmaps"), None).await.unwrap();
    assert!(forbidden(webhook.request("GET", "/api/v1/configmaps", None).await));
}
