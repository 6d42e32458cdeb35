//! The ValidatingAdmissionPolicy on a real API server, against every pod that was recorded from real controllers.

use serde_json::{Value, json};

use super::{documents, read};
use crate::cluster::{Namespace, Refusal, cluster};
use crate::oracle::{Recorded, reviews};
use crate::oracles::{assert_none, rewrite};
use crate::serve::program::eventually;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// Puts the policy in force for this namespace alone; returns when the API server goes by it.
async fn enforce(namespace: &Namespace) {
    let [mut policy] = documents(&read("webhook/components/policy/policy.yaml")).try_into().unwrap();
    let [mut binding] = documents(&read("webhook/components/policy/binding.yaml")).try_into().unwrap();
    for object in [&mut policy, &mut binding] {
        object["metadata"]["name"] = json!(namespace.name);
    }
    binding["spec"]["policyName"] = json!(namespace.name);
    let expressions =
        binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap();
    expressions.push(json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace.name]}));
    namespace.request("POST", POLICIES, Some(&policy)).await.unwrap();
    namespace.request("POST", BINDINGS, Some(&binding)).await.unwrap();
    let bare = pod(json!({"workflows.argoproj.io/workflow": "w"}));
    eventually("the policy counts", async || namespace.dry_run("pods", &bare).await.is_err()).await;
}

fn pod(labels: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app:1"}]},
    })
}

/// A recorded pod as somebody would create it here: without what the API server assigned, and without a service account
/// that only the recorded cluster has.
fn anew(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| ["name", "generateName", "labels", "annotations"].contains(&key.as_str()));
    let spec = object["spec"].as_object_mut().unwrap();
    for assigned in ["serviceAccountName", "serviceAccount", "priority", "imagePullSecrets"] {
        spec.remove(assigned);
    }
    object
}

#[tokio::test]
async fn what_needs_a_rewriting_is_refused_and_what_had_one_is_not() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace_with("policy", json!({"emissary-webhook.io/mode": "enforce"})).await;
    enforce(&namespace).await;
    let pods: Vec<Recorded> = reviews().into_iter().filter(Recorded::is_pod).collect();
    let objects: Vec<&Value> = pods.iter().map(Recorded::object).collect();
    let rewritten = rewrite(&["--offline", "-o", "json"], &objects);
    let (mut complaints, mut refused) = (Vec::new(), 0);
    for ((recorded, before), after) in pods.iter().zip(objects).zip(&rewritten) {
        let as_it_was = namespace.dry_run("pods", &anew(before)).await;
        let needs_it = before["spec"] != after["spec"];
        let expected = match &as_it_was {
            // Argo 3.3 and later tries again for the sake of these words.
            Err(Refusal { code: 403, message }) => needs_it && message.contains("(i/o timeout)"),
            Err(_) => false,
            Ok(_) => !needs_it,
        };
        refused += usize::from(as_it_was.is_err());
        if !expected {
            complaints.push(format!("{} as it was: {as_it_was:?}", recorded.name));
        }
        if let Err(refusal) = namespace.dry_run("pods", &anew(after)).await {
            complaints.push(format!("{} rewritten: {refusal:?}", recorded.name));
        }
    }
    assert_none(&complaints, pods.len());
    assert_eq!((pods.len(), refused), (340, 206));
}

#[tokio::test]
async fn what_is_none_of_ours_is_let_in() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace_with("policy-corners", json!({"emissary-webhook.io/mode": "enforce"})).await;
    enforce(&namespace).await;
    let (workflow, inject) = ("workflows.argoproj.io/workflow", "emissary-webhook.io/inject");
    for (labels, lets_in) in [
        (json!({}), true),
        (json!({workflow: "w"}), false),
        (json!({inject: "true"}), false),
        (json!({workflow: "w", inject: "false"}), true),
        (json!({workflow: "w", "workflows.argoproj.io/component": "agent"}), true),
    ] {
        let answer = namespace.dry_run("pods", &pod(labels.clone())).await;
        assert_eq!(answer.is_ok(), lets_in, "{labels}: {answer:?}");
    }
    let refusal = namespace.dry_run("pods", &pod(json!({workflow: "w"}))).await.unwrap_err();
    assert!(refusal.message.contains(", container main is not wrapped: "), "{}", refusal.message);

    // The label of the namespace decides.
    let labels = json!({"metadata": {"labels": {"emissary-webhook.io/mode": "dry-run"}}});
    namespace.request("PATCH", &format!("/api/v1/namespaces/{}", namespace.name), Some(&labels)).await.unwrap();
    let bare = pod(json!({workflow: "w"}));
    eventually("dry-run lets it in", async || namespace.dry_run("pods", &bare).await.is_ok()).await;
    // And the types of every expression were found right.
    let policy = namespace.request("GET", &format!("{POLICIES}/{}", namespace.name), None).await.unwrap();
    assert_eq!(policy["status"]["typeChecking"]["expressionWarnings"], Value::Null, "{policy}");
}
