//! The control plane that the tests share, and a namespace for each.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_cluster::{Assets, ControlPlane, Options, Processes, Watchdog};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::components::{ARGO_WORKFLOWS, KUBERNETES, need};
use crate::serve::program::eventually;

/// A control plane that runs as long as the test binary does.
#[derive(Debug)]
pub(crate) struct Cluster {
    control_plane: ControlPlane,
    _watchdog: Watchdog,
}

/// The shared control plane, started if it is not yet; nothing where this machine has none, and then the test returns.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    need([KUBERNETES]).map(|[assets]| shared(&assets))
}

/// The same with Argo's kinds, as Argo defines them; that of Workflows with its full schema, by which the API server checks and
/// drops.
pub(crate) async fn cluster_with_argo() -> Option<&'static Cluster> {
    static KINDS: OnceCell<()> = OnceCell::const_new();
    let [assets, argo] = need([KUBERNETES, ARGO_WORKFLOWS])?;
    let cluster = shared(&assets);
    KINDS.get_or_init(|| cluster.define_kinds(&argo)).await;
    Some(cluster)
}

fn shared(assets: &Path) -> &'static Cluster {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| start(assets).map_err(|error| format!("{error:?}")));
    // All the tests that need it say why there is none, not only the first.
    shared.as_ref().unwrap_or_else(|error| panic!("no control plane: {error}"))
}

fn start(assets: &Path) -> Result<Cluster, Box<dyn std::error::Error>> {
    let assets = Assets::in_folder(assets)?;
    // The watchdog removes it: a static is not dropped.
    let folder = TempDir::with_prefix("emissary-webhook-cluster-")?.keep();
    let watchdog = Processes::of(&folder, &[]).end_with_this_process()?;
    let control_plane = ControlPlane::start(&assets, &folder, &Options::default())?;
    Ok(Cluster { control_plane, _watchdog: watchdog })
}

/// What the API server said instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) message: String,
}

impl Cluster {
    /// One that runs, as long as its watchdog lives.
    pub(crate) fn of(control_plane: ControlPlane, watchdog: Watchdog) -> Self {
        Self { control_plane, _watchdog: watchdog }
    }

    pub(crate) fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// The kubeconfig of who may do everything.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig()
    }

    /// A client that may do everything. It belongs to the test's own runtime.
    pub(crate) async fn client(&self) -> kube::Client {
        self.client_by(&self.kubeconfig()).await
    }

    /// A client that may do what the user of a kubeconfig may.
    pub(crate) async fn client_by(&self, kubeconfig: &Path) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// A namespace that nobody else has; its name begins with `about`.
    pub(crate) async fn namespace(&'static self, about: &str) -> Namespace {
        self.namespace_with(about, json!({})).await
    }

    /// The same with labels.
    pub(crate) async fn namespace_with(&'static self, about: &str, labels: Value) -> Namespace {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{about}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace { cluster: self, client: self.client().await, name };
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name, "labels": labels}});
        namespace.request("POST", "/api/v1/namespaces", Some(&object)).await.unwrap();
        // No pod gets in before its ServiceAccount is there, and only a controller manager makes that.
        if !self.control_plane.has_controllers() {
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
            namespace.create("serviceaccounts", &object).await.unwrap();
        }
        eventually("there is a ServiceAccount", async || namespace.get("serviceaccounts", "default").await.is_ok())
            .await;
        namespace
    }

    /// kubectl, as who may do everything, with this on its standard input.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::from(self.control_plane.kubectl());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    }

    /// What kubectl writes; the test fails where kubectl does.
    pub(crate) async fn kubectl_says(&self, arguments: &[&str], input: &str) -> String {
        let output = self.kubectl(arguments, input).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A kubeconfig of a ServiceAccount that exists, by a token of its own.
    pub(crate) async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self.kubectl_says(&["-n", namespace, "create", "token", account], "").await;
        self.control_plane.kubeconfig_with_token(&format!("{namespace}-{account}"), token.trim()).unwrap()
    }

    async fn define_kinds(&self, argo: &Path) {
        // The schema of Workflows is the strictest, and each takes the API server seconds.
        let kinds = [
            ("full", "workflows"),
            ("minimal", "workflowtemplates"),
            ("minimal", "clusterworkflowtemplates"),
            ("minimal", "cronworkflows"),
        ];
        let file =
            |schema: &str, kind: &str| argo.join(format!("manifests/base/crds/{schema}/argoproj.io_{kind}.yaml"));
        let files = kinds.map(|(schema, kind)| format!("-f={}", file(schema, kind).display()));
        let files = files.each_ref().map(String::as_str);
        // Too large for the annotation that `apply` would leave.
        self.kubectl_says(&[&["create", "--validate=false"], &files[..]].concat(), "").await;
        let client = self.client().await;
        let served = async |kind: &str| {
            let list = Request::get(format!("/apis/argoproj.io/v1alpha1/{kind}")).body(Vec::new()).unwrap();
            client.request::<Value>(list).await.is_ok()
        };
        let all_served = async {
            for (_, kind) in kinds {
                while !served(kind).await {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        timeout(Duration::from_secs(120), all_served).await.expect("the API server serves Argo's kinds");
    }

    /// What the audit log has on `pods` and Argo's kinds in a namespace, in the order of the answers.
    pub(crate) fn audit(&self, namespace: &str) -> Vec<Value> {
        self.audited(|event| event["objectRef"]["namespace"] == namespace)
    }

    /// What a ServiceAccount has begun to ask, watches included: verbs and URIs.
    pub(crate) fn requests_of(&self, user: &str) -> Vec<String> {
        let begun = |event: &Value| event["user"]["username"] == user && event["stage"] == "RequestReceived";
        let text =
            |event: Value| format!("{} {}", event["verb"].as_str().unwrap(), event["requestURI"].as_str().unwrap());
        self.audited(begun).into_iter().map(text).collect()
    }

    fn audited(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let log = std::fs::read_to_string(self.control_plane.audit_log()).unwrap();
        // The last line may be half written.
        let lines = log.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(wanted).collect()
    }
}

/// One test's namespace. It goes with the control plane.
pub(crate) struct Namespace {
    pub(crate) cluster: &'static Cluster,
    pub(super) client: kube::Client,
    pub(crate) name: String,
}

impl Namespace {
    /// The same namespace for another user.
    pub(crate) async fn by(&self, kubeconfig: &Path) -> Self {
        Self { cluster: self.cluster, client: self.cluster.client_by(kubeconfig).await, name: self.name.clone() }
    }

    /// The path of a kind's objects: `pods`, or with its group `argoproj.io/v1alpha1/workflows`.
    pub(crate) fn path(&self, kind: &str) -> String {
        match kind.rsplit_once('/') {
            None => format!("/api/v1/namespaces/{}/{kind}", self.name),
            Some((group, kind)) => format!("/apis/{group}/namespaces/{}/{kind}", self.name),
        }
    }

    /// Creates an object, as any client does; what the API server made of it.
    pub(crate) async fn create(&self, kind: &str, object: &Value) -> Result<Value, Refusal> {
        self.request("POST", &self.path(kind), Some(object)).await
    }

    /// The same, of which nothing is kept.
    pub(crate) async fn dry_run(&self, kind: &str, object: &Value) -> Result<Value, Refusal> {
        self.request("POST", &format!("{}?dryRun=All", self.path(kind)), Some(object)).await
    }

    /// An object as it is kept.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Result<Value, Refusal> {
        self.request("GET", &format!("{}/{name}", self.path(kind)), None).await
    }

    /// Asks the API server for anything.
    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder().method(method).uri(path).header("content-type", content).body(bytes).unwrap();
        match self.client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(Refusal { code: status.code, message: status.message }),
            Err(error) => panic!("{method} {path}: {error:?}"),
        }
    }

    /// [`Cluster::kubectl`] in this namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        self.cluster.kubectl(&[&["-n", &self.name], arguments].concat(), input).await
    }

    /// [`Cluster::kubectl_says`] in this namespace.
    pub(crate) async fn kubectl_says(&self, arguments: &[&str], input: &str) -> String {
        self.cluster.kubectl_says(&[&["-n", &self.name], arguments].concat(), input).await
    }
}
