//! `doctor` on installations that are well, and on some that are not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::certificates::Installation;
use crate::serve::program::eventually;

fn doctor(kubeconfig: &Path, arguments: &[String]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"));
    command.env_clear().env("KUBECONFIG", kubeconfig).arg("doctor").args(arguments).output().unwrap()
}

impl Installation {
    /// What `doctor` says, by an administrator.
    async fn examined(&self, output: &str) -> Output {
        self.examined_by(self.home.cluster.kubeconfig(), output).await
    }

    async fn examined_by(&self, kubeconfig: PathBuf, output: &str) -> Output {
        let mut arguments: Vec<String> =
            ["-n", &self.home.name, "--probe-namespace", &self.tenant.name, "-o", output].map(str::to_owned).into();
        arguments.extend(self.flags());
        let controllers =
            format!("controllers=[{{namespace: {0}}}, {{namespace: {0}, configMap: other}}]", self.home.name);
        arguments.extend(["--set".to_owned(), controllers]);
        tokio::task::spawn_blocking(move || doctor(&kubeconfig, &arguments)).await.unwrap()
    }

    /// The same as its exit code and the findings by check.
    async fn findings(&self) -> (Option<i32>, Value) {
        self.findings_by(self.home.cluster.kubeconfig()).await
    }

    async fn findings_by(&self, kubeconfig: PathBuf) -> (Option<i32>, Value) {
        let output = self.examined_by(kubeconfig, "json").await;
        let text = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
        let findings = report["findings"].as_array().unwrap().iter();
        let by_check =
            findings.map(|finding| (finding["check"].as_str().unwrap().to_owned(), finding.clone())).collect();
        (output.status.code(), Value::Object(by_check))
    }
}

/// An image index that is compressed, as `kubectl create configmap --from-file=index.yaml.gz` makes it.
fn packed(index: &str) -> Value {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(index.as_bytes()).unwrap();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "packed", "labels": {"emissary-webhook.io/image-index": "true"}},
        "binaryData": {"index.yaml.gz": STANDARD.encode(gzip.finish().unwrap())},
    })
}

fn controller(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

impl Installation {
    /// A compressed index, and two workflow controllers with their ConfigMaps, one in each of Argo's encodings.
    async fn configure(&self) {
        let selectors = "- {name: pns, selector: {matchLabels: {executor: pns}}}\n";
        let fields = json!({
            "instanceID": "blue", "images": "tool:1: {cmd: [/tool]}\n", "executor": "image: corp/argoexec:v3.3.0\n",
            "containerRuntimeExecutor": "docker", "containerRuntimeExecutors": selectors,
        });
        let config = json!({"config": "executor: {image: corp/argoexec:v3.6.0}\n"});
        for map in [
            packed("alpine: {cmd: [sh]}\nbusybox: {cmd: [sh]}\n"),
            controller("workflow-controller-configmap", &fields),
            controller("other", &config),
        ] {
            self.home.create("configmaps", &map).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_installation_that_is_well_is_found_well() {
    let Some(installation) = Installation::new("well").await else { return };
    installation.grant().await;
    let webhook = installation.replica().start().await;
    installation.register(&webhook).await;
    eventually("pods are rewritten", async || installation.rewrites().await).await;
    installation.configure().await;
    let (code, findings) = installation.findings().await;
    assert_eq!(code, Some(0), "{findings:#}");
    for check in [
        "api server",
        "settings",
        "registration",
        "certificate",
        "reachability",
        "selectors",
        "rights",
        "image indexes",
    ] {
        assert_eq!(findings[check]["status"], "ok", "{check}: {findings:#}");
    }
    let detail = |check: &str, part: &str| findings[check]["details"].to_string().contains(part);
    assert!(detail("reachability", "rewritten"), "{findings:#}");
    assert!(detail("selectors", &installation.tenant.name), "{findings:#}");
    assert!(detail("image indexes", "/packed: 2 entries, by its label"), "{findings:#}");
    // Other tests' controllers, which these settings do not name, may be there too.
    assert_ne!(findings["controllers"]["status"], "problem", "{findings:#}");
    for described in [
        "/workflow-controller-configmap (a key for each field): instance ID blue, 1 image, executor image corp/argoexec:v3.3.0, \
         pods for docker, or another by labels",
        "/other (one key): no instance ID, 0 images, executor image corp/argoexec:v3.6.0, pods for emissary",
    ] {
        assert!(detail("controllers", described), "{findings:#}");
    }

    // As the webhook's own account, which creates no pod.
    let (code, findings) = installation.findings_by(installation.kubeconfig.clone()).await;
    assert_eq!(code, Some(0), "{findings:#}");
    let reached = &findings["reachability"];
    assert_eq!(reached["status"], "ok", "{findings:#}");
    assert!(reached["details"].to_string().contains("localhost:"), "{reached:#}");
    assert_eq!(findings["order"]["status"], "skipped", "{findings:#}");

    let table = installation.examined("table").await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().any(|line| line.starts_with("ok       certificate    every caBundle trusts")), "{table}");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_mends_it() {
    let Some(installation) = Installation::new("unwell").await else { return };
    installation.grant().await;
    let mut webhook = installation.replica().start().await;
    installation.register(&webhook).await;
    eventually("pods are rewritten", async || installation.rewrites().await).await;
    // Nobody is there to heal it.
    webhook.terminate();
    webhook.ended().await;
    installation.blank().await;
    let home = installation.home.name.as_str();
    installation.revoke("secrets").await;
    installation.revoke("leases").await;
    let index = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "image-index"},
        "data": {"image-index.yaml": "busybox: {entrypint: [sh]}"},
    });
    installation.home.create("configmaps", &index).await.unwrap();
    installation.home.create("configmaps", &packed("alpine: {kmd: [sh]}\n")).await.unwrap();
    for (name, config) in [("workflow-controller-configmap", "executor: {image: UPPER}"), ("other", "instanceID: ''")] {
        installation.home.create("configmaps", &controller(name, &json!({"config": config}))).await.unwrap();
    }

    let (code, findings) = installation.findings().await;
    assert_eq!(code, Some(1), "{findings:#}");
    for (check, summary, mend) in [
        ("certificate", "has no caBundle that could be read", "kubectl -n"),
        ("reachability", "does not reach the webhook", "kubectl -n"),
        (
            "rights",
            "the certificate cannot be kept",
            "create role emissary-webhook-secrets-emissary-webhook-certificate --verb=",
        ),
        ("image indexes", "entrypint", "edit configmap image-index"),
        ("image indexes", "", "packed was made of, and make the ConfigMap anew"),
        ("controllers", "executor.image: \"UPPER\" is no image", "edit configmap workflow-controller-configmap"),
        ("controllers", "", "give each another instanceID"),
    ] {
        let finding = &findings[check];
        assert_eq!(finding["status"], "problem", "{check}: {finding:#}");
        assert!(finding["summary"].as_str().unwrap().contains(summary), "{check}: {finding:#}");
        assert!(finding["mend"].to_string().contains(mend), "{check}: {finding:#}");
    }
    assert!(findings["certificate"]["details"].to_string().contains("no replica holds the Lease"), "{findings:#}");
    assert_eq!(findings["registration"]["status"], "ok", "{findings:#}");

    installation.home.kubectl_says(&["delete", "mutatingwebhookconfiguration", home], "").await;
    let (code, findings) = installation.findings().await;
    assert_eq!((code, &findings["registration"]["status"]), (Some(1), &json!("problem")), "{findings:#}");
    assert_eq!(findings["reachability"]["status"], "skipped", "{findings:#}");
}

#[test]
fn a_cluster_that_cannot_be_reached_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let says = |given: &Path, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let output = doctor(given, &arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        text
    };
    let (file, none) = (kubeconfig.to_str().unwrap(), Path::new("/nowhere"));
    assert!(says(&kubeconfig, &[]).contains("the API server cannot be asked"));
    // As kubectl has them: what is typed goes before the variable.
    assert!(says(none, &["--kubeconfig", file]).contains("the API server cannot be asked"));
    assert!(says(none, &["--kubeconfig", file, "--context", "a"]).contains("the API server cannot be asked"));
    for arguments in [&["--context", "b"][..], &["--kubeconfig", file, "--context", "b"]] {
        assert!(says(&kubeconfig, arguments).contains("failed to load current context: b"), "{arguments:?}");
    }
}
