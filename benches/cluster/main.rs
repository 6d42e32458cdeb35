//! Pods created through a real API server, with the webhook and without: `cargo bench --bench cluster [PODS]`. And what a
//! webhook costs that follows a large cluster: `cargo bench --bench cluster watched`.
//!
//! Needs the programs of a control plane: `eval "$(cargo xtask components)"` first. What is added is taken from the API server's
//! own metrics, by its histogram's buckets, and from what creators wait. API server, etcd, webhook and creators share the
//! machine. Linux only: the webhook is watched through /proc.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a figure that cannot be taken is no figure")]

#[path = "../figures/reviews.rs"]
#[expect(dead_code, reason = "the other benches measure more sorts of pods")]
mod reviews;
#[path = "../load/server.rs"]
mod server;
mod watched;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use sample_registry::{Image, Index, SampleRegistry};
use serde_json::{Value, json};
use server::Server;
use test_cluster::{Assets, ControlPlane, Options, Processes};
use tokio::task::JoinSet;

use reviews::{Ask, Size, review};

/// How many creations are under way at the same time.
const CREATORS: usize = 16;
/// Whoever is told to try again does so after this.
const PAUSE: Duration = Duration::from_millis(500);
const WEBHOOK: &str = "pods.bench.example.com";

fn main() {
    let pods = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let Some(assets) = std::env::var_os("EMISSARY_TEST_KUBERNETES") else {
        println!("EMISSARY_TEST_KUBERNETES is not set: eval \"$(cargo xtask components)\" sets it");
        return;
    };
    let assets = Assets::in_folder(Path::new(&assets)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let _watchdog = Processes::of(folder.path(), &[]).end_with_this_process().unwrap();
    let control_plane = ControlPlane::start(&assets, folder.path(), &Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if std::env::args().any(|argument| argument == "watched") {
        runtime.block_on(watched::run(&control_plane));
    } else {
        runtime.block_on(run(&control_plane, pods));
    }
}

async fn client_of(control_plane: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(control_plane.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A certificate of its own for `localhost`, in files.
fn certificate(folder: &Path) -> (String, PathBuf, PathBuf) {
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    fs::write(&certificate, authority.cert.pem()).unwrap();
    fs::write(&key, authority.signing_key.serialize_pem()).unwrap();
    (authority.cert.pem(), certificate, key)
}

fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap().trim().to_owned()
}

async fn run(control_plane: &ControlPlane, pods: usize) {
    let client = client_of(control_plane).await;
    let app = |platform| Image::new(platform).entrypoint(&["/usr/local/bin/app"]).cmd(&["serve"]);
    let index = Index::oci().image(app("linux/amd64")).image(app("linux/arm64")).attestation();
    let registry = SampleRegistry::new().put("team/app:1.0", index).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = certificate(folder.path());
    let webhook = Server::start(&certificate, &key, registry.address(), &[]).await;

    println!("load average: {}", load_average());
    for namespace in ["warm-up", "without", "with"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        post(&client, "/api/v1/namespaces", &object).await.unwrap();
    }
    // The controller manager makes ServiceAccounts, and has to come to the last namespace.
    let accounts = "/api/v1/namespaces/with/serviceaccounts/default";
    while client.request::<Value>(Request::get(accounts).body(Vec::new()).unwrap()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let image = registry.reference("team/app:1.0");
    create(&client, "warm-up", 500.min(pods), &image).await;
    create(&client, "without", pods / 5, &image).await.print("without the webhook");

    register(&client, webhook.address.port(), authority.as_bytes()).await;
    let (cpu, asked) = (webhook.cpu(), registry.requests().len());
    create(&client, "with", pods, &image).await.print("with the webhook");
    println!(
        "webhook: ready after {} ms, {:.0} µs of CPU a pod, {}; {} requests to the registry",
        webhook.ready_after.as_millis(),
        (webhook.cpu() - cpu).as_secs_f64() * 1e6 / pods as f64,
        webhook.memory(),
        registry.requests().len() - asked,
    );
    let metrics = client.request_text(Request::get("/metrics").body(Vec::new()).unwrap()).await.unwrap();
    print_histogram(&metrics);
    println!("load average: {}", load_average());
}

/// What creators saw.
struct Created {
    times: Vec<Duration>,
    took: Duration,
    retried: usize,
}

impl Created {
    fn print(mut self, what: &str) {
        self.times.sort_unstable();
        let at = |share: f64| self.times[((self.times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{what}: {} pods, {:.0} a second, p50 {:.1} ms, p99 {:.1} ms, {} told to try again, 0 failed",
            self.times.len(),
            self.times.len() as f64 / self.took.as_secs_f64(),
            at(0.5),
            at(0.99),
            self.retried,
        );
    }
}

/// Creates pods of one workflow, as its controller would: what is told to try again is tried again; anything else that is not
/// a pod ends the bench.
async fn create(client: &Client, namespace: &'static str, pods: usize, image: &str) -> Created {
    let (body, _) = review(Ask::LookUp, Size::Variables(10), image);
    let review: Value = serde_json::from_slice(&body).unwrap();
    let mut pod = review["request"]["object"].clone();
    // The Service account's volume is for the API server to add.
    pod["metadata"] = json!({
        "labels": pod["metadata"]["labels"],
        "annotations": pod["metadata"]["annotations"],
    });
    pod["spec"]["serviceAccountName"] = json!("default");
    let pod = Arc::new(pod);
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let began = Instant::now();
    let (mut creations, mut created) = (JoinSet::new(), Vec::with_capacity(pods));
    for number in 0..pods {
        if creations.len() == CREATORS {
            created.push(creations.join_next().await.unwrap().unwrap());
        }
        let (client, pod, path) = (client.clone(), Arc::clone(&pod), path.clone());
        creations.spawn(async move {
            let mut pod = (*pod).clone();
            pod["metadata"]["name"] = json!(format!("steps-{number}"));
            let began = Instant::now();
            let mut retried = 0;
            loop {
                match post(&client, &path, &pod).await {
                    Ok(made) => {
                        let wrapped = made.to_string().contains("/usr/local/bin/app");
                        assert_eq!(wrapped, namespace == "with", "{made}");
                        return (began.elapsed(), retried);
                    }
                    Err(kube::Error::Api(status)) if status.code == 503 => {
                        retried += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => panic!("pod {number}: {error:?}"),
                }
            }
        });
    }
    created.extend(creations.join_all().await);
    let (times, retried): (Vec<_>, Vec<usize>) = created.into_iter().unzip();
    Created { times, took: began.elapsed(), retried: retried.iter().sum() }
}

async fn post(client: &Client, path: &str, object: &Value) -> Result<Value, kube::Error> {
    let request = Request::post(path).header("content-type", "application/json").body(object.to_string().into_bytes());
    client.request(request.unwrap()).await
}

/// Registers it for one namespace; returns when the API server goes by it.
async fn register(client: &Client, port: u16, authority: &[u8]) {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "bench"},
        "webhooks": [{
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "clientConfig": {"url": format!("https://localhost:{port}/mutate"), "caBundle": STANDARD.encode(authority)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "with"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    post(client, path, &configuration).await.unwrap();
    // A pod that asks for what it cannot have is refused by us, and by nobody else.
    let refused = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "refused", "labels": {"emissary-webhook.io/inject": "true"}},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "main", "image": "app", "command": ["app"]}]},
    });
    while post(client, "/api/v1/namespaces/with/pods?dryRun=All", &refused).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The API server's histogram of its calls of the webhook, and what it counts of calls that failed.
fn print_histogram(metrics: &str) {
    let series = |name: &str| {
        let prefix = format!("{name}{{");
        let ours = format!("name=\"{WEBHOOK}\"");
        let lines: Vec<(String, f64)> = metrics
            .lines()
            .filter(|line| line.starts_with(&prefix) && line.contains(&ours))
            // Those that were refused have shown that the registration counts.
            .filter(|line| !line.contains("rejected=\"true\""))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
            .collect();
        lines
    };
    let total = |name: &str| series(name).iter().map(|(_, value)| value).sum::<f64>();
    let name = "apiserver_admission_webhook_admission_duration_seconds";
    let (count, sum) = (total(&format!("{name}_count")), total(&format!("{name}_sum")));
    println!("API server: {count} calls, {:.2} ms in the mean", sum / count * 1e3);
    for (labels, calls) in series(&format!("{name}_bucket")) {
        let le = labels.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
        println!("  within {le:>6} s: {:8.4} %", calls / count * 100.0);
    }
    // An empty sum is the negative zero.
    let failed = total("apiserver_admission_webhook_fail_open_count").abs();
    let rejected = series("apiserver_admission_webhook_rejection_count");
    println!("  failed open: {failed}; rejections: {rejected:?}");
}
