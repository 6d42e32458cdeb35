//! What the controller is told, by a real API server.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_cluster::{Assets, ControlPlane, Options, Processes, Watchdog};

use crate::components::{KUBERNETES, need};
use crate::pod::{Pod, until};

pub(crate) struct Cluster {
    control_plane: ControlPlane,
    folder: std::path::PathBuf,
    /// Ends the control plane with this process.
    _watchdog: Watchdog,
}

/// The kind, without a schema: what is told is looked at here.
fn kind() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "workflowtaskresults.argoproj.io" },
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": { "kind": "WorkflowTaskResult", "plural": "workflowtaskresults", "singular": "workflowtaskresult" },
            "versions": [{ "name": "v1alpha1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            } }],
        },
    })
}

/// A service account, and all that it may do.
pub(crate) fn account(name: &str, rules: Value) -> Value {
    let metadata = json!({ "name": name, "namespace": "default" });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata },
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        },
    ] })
}

pub(crate) fn cluster() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let assets = need(KUBERNETES)?;
    Some(SHARED.get_or_init(|| start(&assets)))
}

fn start(assets: &Path) -> Cluster {
    let assets = Assets::in_folder(assets).unwrap();
    // The watchdog removes it: a static is not dropped.
    let folder = TempDir::with_prefix("argoexec-tasks-cluster-").unwrap().keep();
    let watchdog = Processes::of(&folder, &[]).end_with_this_process().unwrap();
    let control_plane = ControlPlane::start(&assets, &folder, &Options::default()).unwrap();
    let cluster = Cluster { control_plane, folder, _watchdog: watchdog };
    cluster.apply(&kind());
    until("the kind", || cluster.kubectl(&["get", "workflowtaskresults"]).is_some());
    let results =
        json!([{ "apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"] }]);
    cluster.apply(&account("executor", results));
    cluster.apply(&account("pods-only", json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["patch"] }])));
    cluster.apply(&account("nothing", json!([])));
    cluster
}

impl Cluster {
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let output = self.control_plane.kubectl().args(arguments).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn apply(&self, object: &Value) {
        let mut kubectl: Command = self.control_plane.kubectl();
        let mut child = kubectl.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn result(&self, name: &str) -> Option<Value> {
        let text = self.kubectl(&["get", "workflowtaskresults", name, "-o", "json"])?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// A step of node `node`, as the service account.
    pub(crate) fn pod(&self, account: &str, node: &str, template: Value) -> Pod {
        let server = self.control_plane.server();
        let (host, port) = server.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
        let pod = Pod::new(template)
            .with("KUBERNETES_SERVICE_HOST", host)
            .with("KUBERNETES_SERVICE_PORT", port)
            .with("ARGO_WORKFLOW_NAME", "hello")
            .with("ARGO_WORKFLOW_UID", "11111111-2222-3333-4444-555555555555")
            .with("ARGO_NODE_ID", node)
            .with("ARGO_POD_NAME", node)
            .with("ARGO_INSTANCE_ID", "mine");
        let folder = "var/run/secrets/kubernetes.io/serviceaccount";
        pod.write(&format!("{folder}/token"), self.kubectl(&["create", "token", account]).unwrap());
        pod.write(&format!("{folder}/namespace"), "default");
        pod.write(&format!("{folder}/ca.crt"), std::fs::read(self.folder.join("pki/ca.crt")).unwrap());
        pod
    }
}

fn completed(result: &Value) -> &str {
    result["metadata"]["labels"]["workflows.argoproj.io/report-outputs-completed"].as_str().unwrap()
}

fn template() -> Value {
    json!({
        "container": { "volumeMounts": [{ "mountPath": "/data" }] },
        "outputs": { "parameters": [{ "name": "p", "valueFrom": { "path": "/data/p" } }] },
    })
}

#[test]
fn a_result_is_made_early_and_completed() {
    let Some(cluster) = cluster() else { return };
    let pod = cluster
        .pod("executor", "early", template())
        .with("ARGO_PROGRESS_FILE_TICK_DURATION", "3s")
        .with("ARGO_PROGRESS_PATCH_TICK_DURATION", "50ms");
    pod.write("mainctrfs/data/p", "value\n");
    let running = pod.start("wait");
    until("the result", || cluster.result("early").is_some());
    let result = cluster.result("early").unwrap();
    assert_eq!(completed(&result), "false");
    assert_eq!(result["metadata"]["labels"]["workflows.argoproj.io/workflow"], "hello");
    assert_eq!(result["metadata"]["labels"]["workflows.argoproj.io/controller-instanceid"], "mine");
    let owner = &result["metadata"]["ownerReferences"][0];
    assert_eq!((owner["kind"].as_str(), owner["name"].as_str()), (Some("Workflow"), Some("hello")));
    pod.write("var/run/argo/progress", "1/2\n");
    until("progress", || cluster.result("early").unwrap()["progress"] == "1/2");
    pod.write("var/run/argo/progress", "1/2\n2/2\n");
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    running.end().is_fine();
    let result = cluster.result("early").unwrap();
    assert_eq!(completed(&result), "true");
    assert_eq!(result["progress"], "2/2");
    assert_eq!(
        result["outputs"]["parameters"],
        json!([{ "name": "p", "value": "value", "valueFrom": { "path": "/data/p" } }])
    );
}

#[test]
fn one_that_is_there_is_patched_and_one_that_went_is_made_again() {
    let Some(cluster) = cluster() else { return };
    let pod = cluster.pod("executor", "again", template());
    pod.write("mainctrfs/data/p", "value");
    pod.wait().is_fine();
    // As after a restart of the container.
    std::fs::remove_file(pod.path("var/run/argo/ctr/main/exitcode")).unwrap();
    let running = pod.start("wait");
    until("the label", || completed(&cluster.result("again").unwrap()) == "false");
    cluster.kubectl(&["delete", "workflowtaskresults", "again"]).unwrap();
    pod.write("var/run/argo/ctr/main/exitcode", "0");
    running.end().is_fine();
    let result = cluster.result("again").unwrap();
    assert_eq!(completed(&result), "true");
    assert_eq!(result["outputs"]["parameters"][0]["value"], "value");
}

#[test]
fn it_is_completed_where_main_is_killed_with_its_executor_and_wait_too() {
    let Some(cluster) = cluster() else { return };
    let pod = cluster.pod("executor", "killed", template());
    pod.write("mainctrfs/data/p", "value");
    std::fs::create_dir_all(pod.path("var/run/argo/ctr/main")).unwrap();
    let executor = argoexec_common::exit_code::Pending::begin(&pod.path("var/run/argo/ctr/main")).unwrap();
    let running = pod.start("wait");
    until("the result", || cluster.result("killed").is_some());
    running.kill();
    assert_eq!(completed(&cluster.result("killed").unwrap()), "false");
    // As the kubelet starts it again, where the pod says so.
    let running = pod.start("wait");
    drop(executor);
    let ended = running.end();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("container main was killed"), "{}", ended.last_words);
    let result = cluster.result("killed").unwrap();
    assert_eq!(completed(&result), "true");
    assert_eq!(result["outputs"]["parameters"][0]["value"], "value");
}

#[test]
fn it_is_completed_even_where_outputs_are_missing_or_refused() {
    let Some(cluster) = cluster() else { return };
    let pod = cluster.pod("executor", "missing", template());
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("output parameter p"), "{}", ended.last_words);
    assert_eq!(completed(&cluster.result("missing").unwrap()), "true");

    // More than an object of the API can hold.
    let parameters: Vec<Value> =
        (0..5).map(|number| json!({ "name": format!("p{number}"), "valueFrom": { "path": "/data/p" } })).collect();
    let pod = cluster.pod(
        "executor",
        "large",
        json!({
            "container": { "volumeMounts": [{ "mountPath": "/data" }] }, "outputs": { "parameters": parameters },
        }),
    );
    pod.write("mainctrfs/data/p", "x".repeat(900_000));
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("cannot report outputs"), "{}", ended.last_words);
    assert_eq!(completed(&cluster.result("large").unwrap()), "true");
}

#[test]
fn without_the_right_to_results_the_pod_is_annotated() {
    let Some(cluster) = cluster() else { return };
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "annotated", "namespace": "default" },
        "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "main", "image": "none.invalid/none" }] },
    }));
    let pod = cluster.pod("pods-only", "annotated", template());
    pod.write("mainctrfs/data/p", "value");
    pod.wait().is_fine();
    let annotated = cluster.kubectl(&["get", "pod", "annotated", "-o", "json"]).unwrap();
    let annotated: Value = serde_json::from_str(&annotated).unwrap();
    let outputs = annotated["metadata"]["annotations"]["workflows.argoproj.io/outputs"].as_str().unwrap();
    let outputs: Value = serde_json::from_str(outputs).unwrap();
    assert_eq!(outputs["parameters"][0]["value"], "value");
}

#[test]
fn without_any_right_what_is_missing_is_named() {
    let Some(cluster) = cluster() else { return };
    let pod = cluster.pod("nothing", "forbidden", template());
    pod.write("mainctrfs/data/p", "value");
    let ended = pod.wait();
    assert_eq!(ended.code, 64);
    assert!(ended.last_words.contains("create and patch on workflowtaskresults"), "{}", ended.last_words);
}

#[test]
fn a_supervisor_that_fails_completes_its_result() {
    let Some(cluster) = cluster() else { return };
    let template = json!({ "inputs": { "artifacts": [{ "name": "a", "path": "/a" }] } });
    let pod = cluster.pod("executor", "supervised", template).with("ARGO_INITLESS_POD", "true");
    assert_eq!(pod.run("supervisor").code, 64);
    assert_eq!(completed(&cluster.result("supervised").unwrap()), "true");
}

/// A resource template, as what its main container runs.
fn resource(cluster: &Cluster, node: &str, resource: Value, parameters: Value) -> Pod {
    cluster
        .pod("resources", node, json!({ "resource": resource, "outputs": { "parameters": parameters } }))
        .with("RESOURCE_STATE_CHECK_INTERVAL", "20ms")
}

fn manifest(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels: {{a: b}}\ndata:\n  state: {data}\n")
}

fn with_resources() -> Option<&'static Cluster> {
    let cluster = cluster()?;
    cluster.apply(&account(
        "resources",
        json!([
            { "apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"] },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "patch", "update", "delete"] },
        ]),
    ));
    Some(cluster)
}

#[test]
fn a_resource_is_made_waited_for_and_read() {
    let Some(cluster) = with_resources() else { return };
    let template = json!({
        "action": "create", "manifest": manifest("made", "new"),
        "successCondition": "data.state == done", "failureCondition": "data.state in (failed, lost)",
    });
    let parameters = json!([
        { "name": "path", "valueFrom": { "jsonPath": "{.metadata.name}-{.data.state}" } },
        { "name": "jq", "valueFrom": { "jqFilter": ".metadata.labels.a" } },
        { "name": "default", "valueFrom": { "jsonPath": "{.none}", "default": "d" } },
    ]);
    let pod = resource(cluster, "made", template.clone(), parameters);
    let mut command = pod.start_with(&["resource", "create"]);
    until("the object", || cluster.kubectl(&["get", "configmap", "made"]).is_some());
    assert!(command.is_running());
    cluster.kubectl(&["patch", "configmap", "made", "-p", "{\"data\":{\"state\":\"done\"}}"]).unwrap();
    command.end().is_fine();
    let result = cluster.result("made").unwrap();
    assert_eq!(completed(&result), "true");
    let values: Vec<_> = result["outputs"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["value"].as_str().unwrap())
        .collect();
    assert_eq!(values, ["made-done", "b", "d"]);

    let mut failing = template;
    failing["manifest"] = manifest("fails", "failed").into();
    let pod = resource(cluster, "fails", failing, json!([]));
    let ended = pod.start_with(&["resource", "create"]).end();
    assert_eq!(ended.code, 64);
    assert_eq!(ended.last_words, "failure condition 'data.state in (failed, lost)' evaluated true");
    assert_eq!(completed(&cluster.result("fails").unwrap()), "true");
}

#[test]
fn every_action_does_what_it_says() {
    let Some(cluster) = with_resources() else { return };
    let state = || cluster.kubectl(&["get", "configmap", "acted", "-o", "jsonpath={.data.state}"]);
    let cases = [
        ("apply", json!({ "manifest": manifest("acted", "one") }), Some("one")),
        ("apply", json!({ "manifest": manifest("acted", "two") }), Some("two")),
        ("replace", json!({ "manifest": manifest("acted", "three") }), Some("three")),
        ("patch", json!({ "manifest": manifest("acted", "four") }), Some("four")),
        ("patch", json!({ "manifest": manifest("acted", "five"), "mergeStrategy": "merge" }), Some("five")),
        ("get", json!({ "manifest": manifest("acted", "ignored") }), Some("five")),
        ("delete", json!({ "manifest": manifest("acted", "ignored") }), None),
        // Once more, as after a restart.
        ("delete", json!({ "manifest": manifest("acted", "ignored") }), None),
    ];
    for (action, template, expected) in cases {
        resource(cluster, "acted", template, json!([])).start_with(&["resource", action]).end().is_fine();
        assert_eq!(state().as_deref(), expected, "{action}");
    }
}

#[test]
fn what_is_wrong_with_a_resource_is_told() {
    let Some(cluster) = with_resources() else { return };
    let cases = [
        ("create", json!({ "manifest": "a: 1" }), "no apiVersion"),
        ("create", json!({ "manifest": ": [" }), "not one YAML document"),
        ("create", json!({ "manifest": "apiVersion: v1\nkind: None" }), "no kind None"),
        ("create", json!({ "manifest": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}" }), "403"),
        ("get", json!({ "manifest": manifest("absent", "x") }), "404"),
        ("get", json!({ "manifest": "apiVersion: v1/../../..\nkind: ConfigMap" }), "is none"),
        ("explode", json!({}), "is not known"),
        ("create", json!({ "manifest": manifest("x", "x"), "flags": ["--validate=false"] }), "kubectl"),
        ("create", json!({ "manifest": manifest("x", "x"), "successCondition": "a b c" }), "successCondition"),
    ];
    for (action, template, expected) in cases {
        let ended = resource(cluster, "wrong", template.clone(), json!([])).start_with(&["resource", action]).end();
        assert_eq!(ended.code, 64, "{template}");
        assert!(ended.last_words.contains(expected), "{template}: {}", ended.last_words);
    }
    assert_eq!(completed(&cluster.result("wrong").unwrap()), "true");
}
