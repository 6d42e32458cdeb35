//! `review --from-cluster` against a real API server.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::harness::{Namespace, cluster};

async fn review(kubeconfig: PathBuf, more: &'static [&'static str]) -> Output {
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
        command.env_clear().args(["review", "--from-cluster", "--offline", "-o", "jsonl", "--kubeconfig"]);
        command.arg(kubeconfig).args(more).output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// What is said in a namespace, as `executor engine policy verdict`.
fn said(output: &Output, namespace: &str) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let own = lines.filter(|line| line["namespace"] == namespace);
    own.map(|line| {
        ["executor", "engine", "policy", "verdict"].map(|key| line[key].as_str().unwrap().to_owned()).join(" ")
    })
    .collect()
}

/// A pod of a workflow, which the webhook is asked to rewrite.
fn pod() -> Value {
    let labels = json!({"workflows.argoproj.io/workflow": "w", "emissary-webhook.io/inject": "true"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "app", "command": ["/app"]}]},
    })
}

/// A policy that lets pods of this namespace have as many containers as its ConfigMap says.
async fn limit_containers(home: &Namespace, most: usize) {
    let limits = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits"}, "data": {"most": most.to_string()}});
    home.create("configmaps", &limits).await.unwrap();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": home.name}});
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": home.name},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {
                "namespaceSelector": selector,
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "validations": [{"expression": "size(object.spec.containers) <= int(params.data.most)"}],
        },
    });
    home.request("POST", &format!("{group}/validatingadmissionpolicies"), Some(&policy)).await.unwrap();
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": home.name},
        "spec": {
            "policyName": home.name, "validationActions": ["Deny"],
            "paramRef": {"name": "limits", "namespace": home.name, "parameterNotFoundAction": "Deny"},
        },
    });
    home.request("POST", &format!("{group}/validatingadmissionpolicybindings"), Some(&binding)).await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_reviewed_by_its_own_policies_and_parameters() {
    let Some(cluster) = cluster() else { return };
    let home = cluster.namespace_with("reviewed", json!({"pod-security.kubernetes.io/warn": "restricted"})).await;
    home.create("pods", &pod()).await.unwrap();
    limit_containers(&home, 1).await;
    let output = review(cluster.kubeconfig(), &[]).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(!complaint.contains("not read"), "{complaint}");
    let said = said(&output, &home.name);
    let vap = format!("vap {}", home.name);
    for (begin, end) in [
        ("as-is pss restricted:latest".to_owned(), "warned"),
        ("emissary pss restricted:latest".to_owned(), "warned"),
        (format!("as-is {vap}"), "allowed"),
        (format!("emissary {vap}"), "denied"),
    ] {
        assert!(said.iter().any(|line| line.starts_with(&begin) && line.ends_with(end)), "{begin} {end}: {said:#?}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_named() {
    let Some(cluster) = cluster() else { return };
    let home = cluster.namespace("unread").await;
    let kubeconfig = cluster.kubeconfig_of(&home.name, "default").await;
    let output = review(kubeconfig, &["--strict"]).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{complaint}");
    for path in [
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    ] {
        assert!(complaint.contains(&format!("not read: {path}: forbidden")), "{path}: {complaint}");
    }
}
