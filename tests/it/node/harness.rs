//! The node that the tests share, with the webhook installed on it.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io::Write as _};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_cluster::{Assets, BUSYBOX, ControlPlane, Image, Node, NodePrograms, Processes};
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, Namespace};
use crate::components::{ARGO_WORKFLOWS, COREDNS, EXECUTOR_IMAGE, HELM, NODE, NODE_TOOLS, WEBHOOK_IMAGE, need};
use crate::manifests::CHART;

/// How our executor's image is called on the node.
pub(super) const ARGOEXEC: &str = concat!("docker.io/library/argoexec:", env!("CARGO_PKG_VERSION"));
/// An image with an entrypoint of its own, which the image index tells of.
pub(super) const SPEAKER: &str = "localhost/speaker:1";
/// The release, its namespace and its Deployment.
pub(super) const WEBHOOK: &str = "emissary-webhook";
/// The node runs other tests' pods too, on a machine that may have other things to do.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// The node, and the cluster that it belongs to.
#[derive(Debug)]
pub(crate) struct OnNode {
    pub(super) cluster: Cluster,
    pub(super) node: Node,
    helm: PathBuf,
    folder: PathBuf,
}

/// Runs a test in the network of the shared node, which is started if it is not yet. Where this machine has none the test is over.
pub(crate) fn on_the_node<T>(test: T)
where
    T: AsyncFnOnce(&'static OnNode) + Send + 'static,
{
    let components = [NODE, NODE_TOOLS, COREDNS, EXECUTOR_IMAGE, WEBHOOK_IMAGE, HELM, ARGO_WORKFLOWS];
    let Some(components) = need(components) else { return };
    static SHARED: OnceLock<Result<OnNode, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| start(components).map_err(|error| format!("{error}")));
    let node = shared.as_ref().unwrap_or_else(|error| panic!("no node: {error}"));
    // A thread of its own, because there is no way back from the network, and the harness may have further use for this one.
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let run = move || {
        node.node.enter().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(node));
    };
    let ended = thread::Builder::new().name(name).spawn(run).unwrap().join();
    ended.unwrap_or_else(|panic| resume_unwind(panic));
}

fn start(components: [PathBuf; 7]) -> Result<OnNode, Box<dyn std::error::Error>> {
    let began = Instant::now();
    let [assets, tree, coredns, executor, webhook, helm, argo] = components;
    let assets = Assets::in_folder(&assets)?;
    // The watchdog removes it: a static is not dropped.
    let folder = TempDir::with_prefix("emissary-webhook-node-")?.keep();
    let watchdog = Processes::of(&folder, &[]).end_with_this_process()?;
    let programs = NodePrograms { tree, coredns: Some(coredns) };
    let (control_plane, node) = Node::start(&assets, &programs, &folder)?;

    node.load(&executor, ARGOEXEC)?;
    let busybox = node.busybox();
    node.load_files(&Image {
        name: SPEAKER,
        files: &[("bin/busybox", &busybox)],
        links: &["echo"],
        config: json!({"Entrypoint": ["/bin/echo", "from-entrypoint"], "Cmd": ["hello"]}),
    })?;
    let version = env!("CARGO_PKG_VERSION");
    node.load(&webhook, &format!("docker.io/library/{WEBHOOK}:{version}"))?;

    let kinds = argo.join("manifests/base/crds/minimal");
    let kinds = fs::read_dir(&kinds)?.filter_map(|entry| Some(entry.ok()?.path()));
    let kinds =
        kinds.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("argoproj")));
    for kind in kinds {
        kubectl_does(&control_plane, &["create", "--validate=false", "-f", &kind.display().to_string()], "")?;
    }
    let strict = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WEBHOOK, "labels": strict}});
    kubectl_does(&control_plane, &["create", "-f", "-"], &namespace.to_string())?;
    let on_node = OnNode { cluster: Cluster::of(control_plane, watchdog), node, helm, folder };
    let file = on_node.folder.join("values.json");
    fs::write(&file, values().to_string())?;
    let file = file.display().to_string();
    on_node.helm(&["install", WEBHOOK, CHART, "--values", &file, "--wait", "--timeout", "180s"])?;
    let control_plane = on_node.cluster.control_plane();
    let probe = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "probe", "namespace": "default", "labels": {"emissary-webhook.io/inject": "true"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": SPEAKER}]},
    });
    // A certificate that was just made reaches the API server with the registration, and that takes it a moment.
    let asks = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    while !kubectl_does(control_plane, &asks, &probe.to_string()).is_ok_and(|said| said.contains("/argoexec")) {
        if began.elapsed() > PATIENCE {
            return Err("the webhook is installed, and no pod is rewritten".into());
        }
        thread::sleep(POLL);
    }
    // Not kept by the harness, which does so with what a test prints.
    let said = format!("the node is ready and the webhook installed after {:.1} s\n", began.elapsed().as_secs_f64());
    std::io::stderr().write_all(said.as_bytes())?;
    Ok(on_node)
}

/// As docs/install.md has it, for a namespace of everybody, with this node's images.
fn values() -> Value {
    json!({
        "mode": "enforce",
        "policy": {"enabled": true},
        "settings": {"executor": {"image": ARGOEXEC, "imagePullPolicy": "Never", "platformCommands": true}},
        "imageIndex": {"entries": {
            BUSYBOX: {"cmd": ["sh"]},
            SPEAKER: {"entrypoint": ["/bin/echo", "from-entrypoint"], "cmd": ["hello"]},
        }},
    })
}

fn kubectl_does(
    control_plane: &ControlPlane,
    arguments: &[&str],
    input: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut command = control_plane.kubectl();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("kubectl has no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A pod that has come to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(super) pod: Value,
}

impl OnNode {
    /// What helm writes, as who may do everything, on the release's namespace.
    pub(super) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        let home = self.folder.join("helm");
        let mut enter = self.node.prefix().into_iter();
        let mut helm = Command::new(enter.next().unwrap_or_default());
        helm.args(enter).arg(&self.helm).args(arguments).args(["--namespace", WEBHOOK]).stdin(Stdio::null());
        helm.current_dir(env!("CARGO_MANIFEST_DIR")).env("KUBECONFIG", self.cluster.kubeconfig());
        for variable in ["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(variable, &home);
        }
        let output = helm.output().map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        if output.status.success() { Ok(said) } else { Err(format!("helm {arguments:?}: {said}")) }
    }

    /// A namespace that nobody else has, in which pods may report as Argo's do.
    pub(crate) async fn namespace(&'static self, about: &str) -> Namespace {
        self.namespace_with(about, json!({})).await
    }

    /// The same with labels.
    pub(crate) async fn namespace_with(&'static self, about: &str, labels: Value) -> Namespace {
        let namespace = self.cluster.namespace_with(about, labels).await;
        let group = "rbac.authorization.k8s.io";
        let metadata = json!({"name": "executor"});
        let role = json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [
            {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]},
        ]});
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "executor"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}],
        });
        namespace.create(&format!("{group}/v1/roles"), &role).await.unwrap();
        namespace.create(&format!("{group}/v1/rolebindings"), &binding).await.unwrap();
        namespace
    }

    /// Creates a pod, and waits until it has run.
    pub(crate) async fn run(&self, namespace: &Namespace, pod: &Value) -> Ran {
        let created = namespace.create("pods", pod).await.unwrap();
        self.end_of(namespace, created["metadata"]["name"].as_str().unwrap()).await
    }

    /// Waits until a pod has run, all its containers to their end.
    pub(crate) async fn end_of(&self, namespace: &Namespace, pod: &str) -> Ran {
        let has_ended = |pod: &Value| {
            let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            // Behind an init container that failed none is ever started.
            let never = |status: &Value| status["state"]["waiting"]["reason"] == "PodInitializing";
            ended && statuses(pod).all(|status| never(status) || status["state"]["terminated"].is_object())
        };
        Ran { pod: self.pod_where(namespace, pod, "it has run", has_ended).await }
    }

    /// Waits until a pod is so.
    pub(crate) async fn pod_where(
        &self,
        namespace: &Namespace,
        pod: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = namespace.get("pods", pod).await.unwrap();
                if holds(&last) {
                    break;
                }
                sleep(POLL).await;
            }
        };
        let in_time = timeout(PATIENCE, waiting).await.is_ok();
        assert!(in_time, "it does not come to pass of {pod} that {what}: {:#}", last["status"]);
        last
    }

    /// What a container wrote.
    pub(crate) async fn log(&self, namespace: &Namespace, pod: &str, container: &str) -> String {
        namespace.kubectl_says(&["logs", pod, "-c", container], "").await
    }
}

/// Of all containers, in the order of the kubelet.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
}

impl Ran {
    /// What a container ended with.
    #[track_caller]
    pub(crate) fn code(&self, container: &str) -> i64 {
        self.ended(container)["exitCode"].as_i64().unwrap()
    }

    /// What a container left on its termination log.
    #[track_caller]
    pub(crate) fn last_words(&self, container: &str) -> &str {
        self.ended(container)["message"].as_str().unwrap_or_default()
    }

    #[track_caller]
    fn ended(&self, container: &str) -> &Value {
        let status = statuses(&self.pod).find(|status| status["name"] == container);
        let status = status.unwrap_or_else(|| panic!("no container {container}: {:#}", self.pod["status"]));
        &status["state"]["terminated"]
    }

    pub(crate) fn phase(&self) -> &str {
        self.pod["status"]["phase"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.pod["metadata"]["name"].as_str().unwrap()
    }

    /// Whether our webhook has put the executor around a container's command.
    pub(crate) fn is_wrapped(&self, container: &str) -> bool {
        let containers = self.pod["spec"]["containers"].as_array().unwrap();
        let container = containers.iter().find(|one| one["name"] == container).unwrap();
        container["command"][0] == "/var/run/argo/argoexec" && container["command"][1] == "emissary"
    }
}
