//! Our executor as a drop-in for Argo's own: stock controllers run Argo's kinds of workflow with it, to the same ends.
//!
//! A controller is a pod in a namespace that it manages alone, as Argo's namespaced installation has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_cluster::Image;
use tokio::time::{Duration, sleep, timeout};

use super::harness::ARGOEXEC;
use super::{OnNode, on_the_node};
use crate::cluster::Namespace;
use crate::components::{
    ARGO_CONTROLLER, ARGO_CONTROLLER_OLD, ARGO_EXECUTOR, ARGO_WORKFLOWS, Component, KUBERNETES, NODE, VERSITYGW, need,
};
use crate::manifests::documents;

/// Argo's own executor, of the newer controller's version.
const ARGOS: &str = "localhost/argos-argoexec:1";
const BUCKET: &str = "bucket";
const PORT: u16 = 7070;
/// How a controller begins what an executor left on its termination log.
const OWN_FAILURE: &str = "Error (exit code 64): ";
/// All workflows at once, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// A controller's image on the node.
struct Controller {
    image: &'static str,
    program: PathBuf,
}

impl Controller {
    fn load(image: &'static str, program: PathBuf, node: &OnNode) -> Self {
        let files = [("bin/workflow-controller", program.as_path())];
        let config = json!({"Entrypoint": ["/bin/workflow-controller"], "User": "8737:8737"});
        node.node.load_files(&Image { name: image, files: &files, links: &[], config }).unwrap();
        Self { image, program }
    }

    /// Starts it in a namespace of its own, with that executor's image, and by choice an executor of old.
    async fn start(
        &self,
        node: &'static OnNode,
        about: &str,
        executor_image: &str,
        old: Option<&str>,
        role: &Path,
    ) -> Namespace {
        let namespace = node.namespace(about).await;
        let name = namespace.name.as_str();
        let store = json!({
            "endpoint": format!("{}:{PORT}", node.node.address()), "insecure": true, "bucket": BUCKET,
            "accessKeySecret": {"name": "store", "key": "id"}, "secretKeySecret": {"name": "store", "key": "key"},
        });
        // Each value is a YAML block: a controller puts `key: value` lines together by itself.
        let mut configuration = json!({
            "artifactRepository": format!("{}\n", json!({"s3": store})),
            "metricsConfig": "enabled: false\n",
            "telemetryConfig": "enabled: false\n",
        });
        if let Some(old) = old {
            configuration["containerRuntimeExecutor"] = json!(old);
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "argo"}});
        namespace.create("serviceaccounts", &account).await.unwrap();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store"},
            "stringData": {"id": "open", "key": "sesame"},
        });
        namespace.create("secrets", &secret).await.unwrap();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "workflow-controller-configmap"},
            "data": configuration,
        });
        namespace.create("configmaps", &map).await.unwrap();
        namespace.kubectl_says(&["apply", "-f", &role.display().to_string()], "").await;
        let account = format!("--serviceaccount={name}:argo");
        namespace.kubectl_says(&["create", "rolebinding", "argo", "--role=argo-role", &account], "").await;
        // Its executor's: what a resource template makes, and what an agent reads.
        let may = ["create", "role", "steps", "--verb=create,get,list,watch,patch", "--resource=configmaps"];
        namespace.kubectl_says(&may, "").await;
        let account = format!("--serviceaccount={name}:default");
        namespace.kubectl_says(&["create", "rolebinding", "steps", "--role=steps", &account], "").await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "workflow-controller"},
            "spec": {"serviceAccountName": "argo", "containers": [{
                "name": "controller", "image": self.image, "imagePullPolicy": "Never",
                "args": [
                    "--namespaced", "--executor-image", executor_image, "--executor-image-pull-policy", "Never",
                    "--loglevel", "debug",
                ],
                "env": [
                    {"name": "LEADER_ELECTION_DISABLE", "value": "true"},
                    {"name": "LEADER_ELECTION_IDENTITY", "value": "it"},
                    // Ten seconds by default, and it is only a test that waits.
                    {"name": "ARGO_PROGRESS_PATCH_TICK_DURATION", "value": "0"},
                ],
            }]},
        });
        namespace.create("pods", &pod).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.program.display()));
        namespace
    }
}

/// What became of a workflow: its own phase and message, and those of its nodes.
#[derive(Debug, Clone)]
struct End {
    phase: String,
    message: String,
    /// The message word for word.
    said: String,
    nodes: Vec<String>,
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        (&self.phase, &self.message, &self.nodes) == (&other.phase, &other.message, &other.nodes)
    }
}

impl End {
    fn of(workflow: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // What each run has of its own, and, behind an executor's own failure, how it says it.
        let name = text(&workflow["metadata"]["name"]);
        let message = |value: &Value| {
            let message = text(value);
            let of_executor = message.split_once(OWN_FAILURE).map(|(before, _)| format!("{before}{OWN_FAILURE}"));
            of_executor.unwrap_or(message).replace(&name, "WORKFLOW")
        };
        let nodes = workflow["status"]["nodes"].as_object().into_iter().flatten();
        let mut nodes: Vec<String> = nodes
            .map(|(_, node)| {
                let of = |field: &str| text(&node[field]);
                let outputs = &node["outputs"];
                let artifacts = outputs["artifacts"].as_array().into_iter().flatten();
                let artifacts: Vec<String> = artifacts.map(|artifact| text(&artifact["name"])).collect();
                let parameters = outputs["parameters"].as_array().into_iter().flatten();
                // One that could not be read Argo's has without a value, and ours not at all.
                let parameters = parameters.filter(|one| one["value"].as_str().is_some_and(|value| !value.is_empty()));
                let parameters: Vec<String> =
                    parameters.map(|one| format!("{}={}", text(&one["name"]), text(&one["value"]))).collect();
                // Where the kubelet ends a pod, whether the code comes with its word or behind it is chance.
                let late = of("message").starts_with("Pod was active");
                let code = if late { &Value::Null } else { &outputs["exitCode"] };
                format!(
                    "{} ({}): {} {:?} code {code} result {} parameters {parameters:?} artifacts {artifacts:?}",
                    of("displayName").replace(&name, "WORKFLOW"),
                    of("type"),
                    of("phase"),
                    message(&node["message"]),
                    outputs["result"],
                )
            })
            .collect();
        nodes.sort_unstable();
        let said = text(&workflow["status"]["message"]).replace(&name, "WORKFLOW");
        let message = message(&workflow["status"]["message"]);
        Self { phase: text(&workflow["status"]["phase"]), message, said, nodes }
    }
}

/// Creates the workflows in a namespace that a controller manages, and waits for their ends.
async fn ends(namespace: &Namespace, workflows: &[Value]) -> BTreeMap<String, End> {
    let kind = "argoproj.io/v1alpha1/workflows";
    for workflow in workflows {
        namespace.create(kind, workflow).await.unwrap();
    }
    let mut ends = BTreeMap::new();
    let waiting = async {
        for workflow in workflows {
            let name = workflow["metadata"]["name"].as_str().unwrap();
            loop {
                let now = namespace.get(kind, name).await.unwrap();
                if matches!(now["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Error")) {
                    ends.insert(name.to_owned(), End::of(&now));
                    break;
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        let log = namespace.kubectl(&["logs", "workflow-controller", "--tail=40"], "").await;
        let pods = namespace.kubectl(&["get", "pods,workflows"], "").await;
        let text = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
        panic!("{}: ended in time only {:?}\n{}\n{}", namespace.name, ends.keys(), text(pods), text(log));
    }
    ends
}

fn workflows() -> Vec<Value> {
    let mut all = documents(include_str!("argo/workflows.yaml"));
    for workflow in &mut all {
        workflow["apiVersion"] = json!("argoproj.io/v1alpha1");
        workflow["kind"] = json!("Workflow");
    }
    all
}

/// An S3 server that pods reach.
#[expect(clippy::zombie_processes, reason = "it ends with the control plane's processes, and this one soon after")]
fn store(node: &OnNode, program: &Path) -> TempDir {
    // Next to the build: it keeps what objects are in extended attributes, which a file system in memory may not have.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir_all(folder.path().join(BUCKET)).unwrap();
    let address = format!("{}:{PORT}", node.node.address());
    let arguments = ["--port", &address, "posix", &folder.path().display().to_string()].map(str::to_owned);
    let keys = [("ROOT_ACCESS_KEY", "open"), ("ROOT_SECRET_KEY", "sesame")];
    node.cluster.control_plane().processes().spawn_with("versitygw", program, &arguments, &keys).unwrap();
    folder
}

fn role(argo: &Path) -> PathBuf {
    argo.join("manifests/namespace-install/workflow-controller-rbac/workflow-controller-role.yaml")
}

/// The report of both, as rows of the table in docs/executor.md.
fn table(ours: &BTreeMap<String, End>, theirs: &BTreeMap<String, End>) -> String {
    let rows = workflows().into_iter().map(|workflow| {
        let name = workflow["metadata"]["name"].as_str().unwrap().to_owned();
        let cell = |end: &End| match end.said.as_str() {
            "" => end.phase.clone(),
            said => format!("{}: {said}", end.phase),
        };
        let (ours, theirs) = (&ours[&name], &theirs[&name]);
        let nodes = if ours.nodes == theirs.nodes { "" } else { " (nodes differ)" };
        format!("| {name} | {} | {}{nodes} |\n", cell(theirs), cell(ours))
    });
    rows.collect()
}

#[test]
fn a_stock_controller_comes_to_the_same_ends_with_ours() {
    let components: [Component; 6] = [ARGO_CONTROLLER, ARGO_EXECUTOR, ARGO_WORKFLOWS, VERSITYGW, KUBERNETES, NODE];
    let Some([controller, executor, argo, versitygw, kubernetes, _]) = need(components) else { return };
    on_the_node(async move |node| {
        let _store = store(node, &versitygw);
        let kubectl = kubernetes.join("kubectl");
        node.node
            .load_files(&Image {
                name: ARGOS,
                // As in Argo's image: its resource templates run kubectl.
                files: &[("bin/argoexec", &executor), ("bin/kubectl", &kubectl)],
                links: &[],
                config: json!({"Entrypoint": ["argoexec"]}),
            })
            .unwrap();
        let controller = Controller::load("localhost/workflow-controller:new", controller, node);
        let (role, workflows) = (role(&argo), workflows());
        let ours = controller.start(node, "ours", ARGOEXEC, None, &role).await;
        let ours = ends(&ours, &workflows).await;
        let theirs = controller.start(node, "theirs", ARGOS, None, &role).await;
        let theirs = ends(&theirs, &workflows).await;
        let table = table(&ours, &theirs);
        if let Ok(file) = std::env::var("ARGO_REPORT") {
            std::fs::write(file, format!("{table}\n{ours:#?}\n{theirs:#?}")).unwrap();
        }
        assert_eq!(ours, theirs, "\n{table}");
    });
}

#[test]
fn a_controller_of_old_for_docker_comes_to_good_ends_through_the_webhook() {
    let Some([controller, argo, _]) = need([ARGO_CONTROLLER_OLD, ARGO_WORKFLOWS, NODE]) else { return };
    on_the_node(async move |node| {
        let controller = Controller::load("localhost/workflow-controller:old", controller, node);
        let namespace = controller.start(node, "docker", ARGOEXEC, Some("docker"), &role(&argo)).await;
        // What needs a store, or another executor than docker; and a pod whose deadline comes before its containers have started
        // this controller never takes for ended.
        let out =
            ["artifact", "archived-logs", "artifact-missing", "container-set", "container-set-failing", "deadline"];
        let mut workflows = workflows();
        workflows.retain(|workflow| !out.contains(&workflow["metadata"]["name"].as_str().unwrap()));
        let ends = ends(&namespace, &workflows).await;
        let bad = ["failing", "no-such-command", "exit-handler", "output-parameter-missing"];
        for (name, end) in &ends {
            assert_eq!(end.phase == "Succeeded", !bad.contains(&name.as_str()), "{name}: {end:#?}");
        }
        if let Ok(file) = std::env::var("ARGO_REPORT_OLD") {
            std::fs::write(file, format!("{ends:#?}")).unwrap();
        }
        let pods = namespace.request("GET", &namespace.path("pods"), None).await.unwrap();
        let pods = pods["items"].as_array().unwrap().iter();
        let of_workflows = pods.filter(|pod| pod["metadata"]["labels"]["workflows.argoproj.io/workflow"].is_string());
        for pod in of_workflows {
            let volumes = pod["spec"]["volumes"].as_array().unwrap();
            assert!(volumes.iter().all(|volume| volume["name"] != "docker-sock"), "{pod:#}");
            let main = pod["spec"]["containers"].as_array().unwrap().iter().find(|one| one["name"] == "main").unwrap();
            assert_eq!(main["command"][0], "/var/run/argo/argoexec", "{pod:#}");
        }
    });
}
