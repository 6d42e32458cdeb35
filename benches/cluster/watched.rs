//! A webhook that reads every pull secret and follows every Workflow of a large cluster: how long it takes to be ready, and
//! what it keeps.

use std::time::{Duration, Instant};

use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use sample_registry::SampleRegistry;
use serde_json::{Value, json};
use test_cluster::ControlPlane;
use tokio::task::JoinSet;

use super::server::{Server, get};
use super::{CREATORS, certificate, client_of, load_average, post};

const NAMESPACES: usize = 100;
const SECRETS: usize = 10_000;
const WORKFLOWS: usize = 5_000;
const RUNS: usize = 5;

pub(super) async fn run(control_plane: &ControlPlane) {
    let client = client_of(control_plane).await;
    let began = Instant::now();
    post(&client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &kind()).await.unwrap();
    let workflows = |namespace: usize| format!("/apis/argoproj.io/v1alpha1/namespaces/tenant-{namespace}/workflows");
    for number in 0..NAMESPACES {
        let name = format!("tenant-{number}");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&client, "/api/v1/namespaces", &object).await.unwrap();
    }
    while client.request::<Value>(Request::get(workflows(0)).body(Vec::new()).unwrap()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let secrets = (0..SECRETS)
        .map(|number| (format!("/api/v1/namespaces/tenant-{}/secrets", number % NAMESPACES), pull_secret(number)));
    let stored = (0..WORKFLOWS).map(|number| (workflows(number % NAMESPACES), workflow(number)));
    let bytes = create(&client, secrets.chain(stored)).await;
    println!(
        "{SECRETS} pull secrets and {WORKFLOWS} Workflows in {NAMESPACES} namespaces, {:.1} MiB as JSON, made in {:.0} s",
        bytes as f64 / f64::from(1 << 20),
        began.elapsed().as_secs_f64(),
    );

    let registry = SampleRegistry::new().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_, certificate, key) = certificate(folder.path());
    let kubeconfig = control_plane.kubeconfig();
    let arguments = [
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--set",
        "cluster.pullSecrets=every-secret-in-the-cluster",
        "--set",
        "cluster.workflowLabels=true",
    ];
    for _ in 0..RUNS {
        println!("load average: {}", load_average());
        let webhook = Server::start(&certificate, &key, registry.address(), &arguments).await;
        println!(
            "ready after {:.2} s, {:.2} s of CPU; {}",
            webhook.ready_after.as_secs_f64(),
            webhook.cpu().as_secs_f64(),
            webhook.memory()
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
        let metrics = get(webhook.plain, "/metrics").await.unwrap();
        let kept = |watch: &str| {
            let series = format!("emissary_webhook_watch_objects{{watch=\"{watch}\"");
            let line = metrics.lines().find(|line| line.starts_with(&series));
            let line = line.unwrap_or_else(|| panic!("{series} is not in {metrics}"));
            line.rsplit_once(' ').unwrap().1.to_owned()
        };
        let [secrets, workflows] = ["dockerconfigjson-secrets", "workflows"].map(kept);
        println!("  two seconds later: {}; {secrets} secrets and {workflows} Workflows are known", webhook.memory());
    }
}

/// A kind that takes anything, named as Argo's.
fn kind() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "workflows.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "names": {"kind": "Workflow", "plural": "workflows"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// No two are equal, and each is for a registry of its own.
fn pull_secret(number: usize) -> Value {
    let auth = STANDARD.encode(format!("robot-{number}:a-password-of-a-usual-length-{number}"));
    let config = json!({"auths": {format!("registry-{number}.example.com"): {"auth": auth}}});
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": format!("pull-{number}")},
        "data": {".dockerconfigjson": STANDARD.encode(config.to_string())},
    })
}

fn workflow(number: usize) -> Value {
    let template =
        |step: usize| json!({"name": format!("step-{step}"), "container": {"image": "app:1", "args": ["x"]}});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {
            "name": format!("run-{number}"),
            "labels": {"workflows.argoproj.io/phase": "Running", "team": format!("team-{}", number % 50)},
        },
        "spec": {"entrypoint": "step-0", "templates": (0..20).map(template).collect::<Vec<_>>()},
    })
}

/// Creates them all; their bytes as JSON.
async fn create(client: &Client, objects: impl Iterator<Item = (String, Value)>) -> usize {
    let (mut creations, mut bytes) = (JoinSet::new(), 0);
    for (path, object) in objects {
        if creations.len() == CREATORS {
            creations.join_next().await.unwrap().unwrap();
        }
        bytes += object.to_string().len();
        let client = client.clone();
        creations.spawn(async move { post(&client, &path, &object).await.map(drop).unwrap() });
    }
    creations.join_all().await;
    bytes
}
