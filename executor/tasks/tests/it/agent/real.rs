//! Against a real API server, with the kind as Argo defines it.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::http;
use super::target::{Answer, Server as Target};
use crate::components::{ARGO_WORKFLOWS, need};
use crate::controller::{Cluster, account, cluster};
use crate::pod::{Pod, until};

fn with_sets() -> Option<&'static Cluster> {
    static KIND: OnceLock<()> = OnceLock::new();
    let argo = need(ARGO_WORKFLOWS)?;
    let cluster = cluster()?;
    KIND.get_or_init(|| define(cluster, &argo));
    Some(cluster)
}

fn define(cluster: &Cluster, argo: &Path) {
    let file = argo.join("manifests/base/crds/minimal/argoproj.io_workflowtasksets.yaml");
    cluster.kubectl(&["create", "-f", file.to_str().unwrap()]).unwrap();
    until("the kind", || cluster.kubectl(&["get", "workflowtasksets"]).is_some());
    // What Argo's own manifests give an agent, and what headers out of Secrets need.
    cluster.apply(&account(
        "agent",
        json!([
            { "apiGroups": ["argoproj.io"], "resources": ["workflowtasksets"], "verbs": ["list", "watch"] },
            { "apiGroups": ["argoproj.io"], "resources": ["workflowtasksets/status"], "verbs": ["patch"] },
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] },
        ]),
    ));
    cluster.apply(&account(
        "agent-without-status",
        json!([{ "apiGroups": ["argoproj.io"], "resources": ["workflowtasksets"], "verbs": ["list", "watch"] }]),
    ));
}

/// A set, as the controller makes it, and the agent's pod.
fn begin(cluster: &Cluster, name: &str, account: &str, tasks: &Value) -> Pod {
    cluster.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTaskSet",
        "metadata": { "name": name, "namespace": "default" }, "spec": { "tasks": tasks },
    }));
    cluster.pod(account, "agent", json!({})).with("ARGO_WORKFLOW_NAME", name).with("ARGO_AGENT_PATCH_RATE", "100ms")
}

fn patch(cluster: &Cluster, name: &str, patch: &Value) {
    let patched = cluster.kubectl(&["patch", "workflowtasksets", name, "--type=merge", "-p", &patch.to_string()]);
    assert!(patched.is_some());
}

fn node(cluster: &Cluster, name: &str, node: &str) -> Value {
    let text = cluster.kubectl(&["get", "workflowtasksets", name, "-o", "json"]).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["status"]["nodes"][node].take()
}

#[test]
fn tasks_of_a_set_are_done_until_it_is_completed() {
    let Some(cluster) = with_sets() else { return };
    let target = Target::start();
    target.answer_with("/a", Answer(201, vec![("server", "s".to_owned())], "made".to_owned()));
    target.answer("/b", 200, "later");
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "headers", "namespace": "default" },
        "stringData": { "authorization": "Bearer hidden" },
    }));
    let mut first = http(&target.url("/a"));
    first["http"]["headers"] = json!([
        { "name": "Authorization", "valueFrom": { "secretKeyRef": { "name": "headers", "key": "authorization" } } },
    ]);
    first["http"]["successCondition"] = "response.statusCode == 201 and response.headers.Server[0] == 's'".into();
    let pod = begin(cluster, "w-done", "agent", &json!({ "w-1": first }));
    let agent = pod.start_with(&["agent", "main"]);
    until("the first", || node(cluster, "w-done", "w-1")["phase"] == "Succeeded");
    assert_eq!(node(cluster, "w-done", "w-1")["outputs"]["result"], "made");
    assert_eq!(target.target().asked[0].header("authorization"), "Bearer hidden");
    patch(cluster, "w-done", &json!({ "spec": { "tasks": { "w-2": http(&target.url("/b")) } } }));
    until("the second", || node(cluster, "w-done", "w-2")["phase"] == "Succeeded");
    patch(cluster, "w-done", &json!({ "metadata": { "labels": { "workflows.argoproj.io/completed": "true" } } }));
    agent.end().is_fine();
    assert_eq!((target.count("/a"), target.count("/b")), (1, 1));
}

#[test]
fn a_set_that_is_removed_ends_the_agent() {
    let Some(cluster) = with_sets() else { return };
    let pod = begin(cluster, "w-removed", "agent", &json!({}));
    let agent = pod.start_with(&["agent", "main"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    cluster.kubectl(&["delete", "workflowtasksets", "w-removed"]).unwrap();
    agent.end().is_fine();
}

#[test]
fn who_may_not_patch_a_status_does_nothing() {
    let Some(cluster) = with_sets() else { return };
    let target = Target::start();
    let pod = begin(cluster, "w-mute", "agent-without-status", &json!({ "w-1": http(&target.url("/a")) }));
    let ended = pod.start_with(&["agent", "main"]).end();
    assert_eq!((ended.code, target.count("/a")), (64, 0));
    assert!(ended.last_words.contains("patch on workflowtasksets/status"), "{}", ended.last_words);
}

#[test]
fn what_the_api_server_cannot_keep_is_an_error_and_others_are_told() {
    let Some(cluster) = with_sets() else { return };
    let target = Target::start();
    // Each is short enough, and two of them are more than an object can be.
    target.answer("/large", 200, "x".repeat(1_000_000));
    target.answer("/small", 200, "small");
    let (large, small) = (http(&target.url("/large")), http(&target.url("/small")));
    let tasks = json!({ "w-1": large, "w-2": large, "w-3": small });
    let pod = begin(cluster, "w-large", "agent", &tasks);
    let agent = pod.start_with(&["agent", "main"]);
    let phase = |name: &str| node(cluster, "w-large", name)["phase"].clone();
    until("all", || ["w-1", "w-2", "w-3"].iter().all(|name| phase(name).is_string()));
    let mut phases = ["w-1", "w-2"].map(|name| phase(name).as_str().unwrap().to_owned());
    phases.sort();
    assert_eq!(
        (phases.each_ref().map(String::as_str), phase("w-3").as_str()),
        (["Error", "Succeeded"], Some("Succeeded"))
    );
    let failed = ["w-1", "w-2"].iter().find(|name| phase(name) == "Error").unwrap();
    let message = node(cluster, "w-large", failed)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("cannot be told"), "{message}");
    patch(cluster, "w-large", &json!({ "metadata": { "labels": { "workflows.argoproj.io/completed": "true" } } }));
    agent.end().is_fine();
    assert_eq!(target.count("/large"), 2);
}
