//! The webhook beside the control plane: built here, registered by URL, with the registry of its own demo to look images up in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use test_cluster::{ControlPlane, Processes, Serving};

use super::apply;
use crate::cargo::cargo;
use crate::progress::Progress;

/// What a developer may edit while it runs.
const SETTINGS: &str = "settings.yaml";
const INDEX: &str = "index.yaml";
/// What the demo's registry stands in for.
const REGISTRY: &str = "registry.example.com";
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds it, starts it anew, and registers it for pods and Workflows of all namespaces but those of the system; where its
/// settings are.
pub(super) fn up(control_plane: &ControlPlane, folder: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let program = build(progress)?;
    let processes = control_plane.processes();
    processes.stop_named("emissary-webhook");
    processes.stop_named("registry");

    progress.step("starting the webhook");
    let mut demo = processes.spawn("registry", &program, &["demo", "--keep"])?;
    let registry = said(&mut demo, processes, "registry", |log| {
        let line = log.lines().find_map(|line| line.strip_prefix("registry  http://"))?;
        log.contains("Serving until").then(|| line.split(',').next().unwrap_or_default().to_owned())
    })?;

    let tls = folder.join("webhook-tls");
    let Serving { authority, certificate, key } = Serving::make(&tls, &["localhost".to_owned()])?;
    let settings = folder.join(SETTINGS);
    // What a developer has written stays.
    if !settings.exists() {
        fs::write(&settings, defaults(folder)).with_context(|| format!("cannot write {}", settings.display()))?;
        fs::write(folder.join(INDEX), "# registry.example.com/team/app:1: {entrypoint: [/app]}\n")
            .context("cannot write an image index")?;
    }
    let path = |path: &Path| path.display().to_string();
    let arguments = [
        vec!["serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--plain-listen", "127.0.0.1:0"],
        vec!["--settings", &path(&settings), "--certificate", &path(&certificate), "--key", &path(&key)],
        // Nobody but this API server asks, and it is told below where to ask next.
        vec!["--set", "server.lameDuck=0s", "--set", "server.drainTimeout=1s"],
        // The registry's own address too: that is where it has its token endpoint.
        vec!["--plain-http", REGISTRY, "--plain-http", &registry, "--allow-network", "127.0.0.0/8"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    let kubeconfig = path(&control_plane.kubeconfig());
    let variables = [("HTTP_PROXY", format!("http://{registry}")), ("KUBECONFIG", kubeconfig)];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut webhook = processes.spawn_with("emissary-webhook", &program, &arguments, &variables)?;
    let address = said(&mut webhook, processes, "emissary-webhook", |log| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let serving = lines.into_iter().find(|line| line["message"] == "serving")?;
        Some(serving["https"].as_str()?.to_owned())
    })?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let authority = fs::read(&authority).context("cannot read the webhook's authority")?;
    apply(control_plane, &registration(port, &authority).to_string())?;
    Ok(settings)
}

/// `cargo build` of the program; where it is.
fn build(progress: &Progress) -> anyhow::Result<PathBuf> {
    progress.step("building the webhook");
    let built = cargo()
        .args(["build", "--quiet", "--package", "emissary-webhook", "--bin", "emissary-webhook"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(""))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !built.status.success() {
        bail!("the webhook does not build");
    }
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.into_iter().find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo does not say where the program is")
}

/// What `find` finds in the log of a process, as soon as it does.
fn said<T>(
    child: &mut Child,
    processes: &Processes,
    name: &str,
    find: impl Fn(&str) -> Option<T>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = find(&fs::read_to_string(processes.log(name)).unwrap_or_default()) {
            return Ok(found);
        }
        let ended = child.try_wait().is_ok_and(|status| status.is_some());
        if ended || began.elapsed() > PATIENCE {
            bail!("{name} does not serve; the last that it said:\n{}", processes.last_words(name));
        }
        sleep(Duration::from_millis(50));
    }
}

fn defaults(folder: &Path) -> String {
    let index = json!(folder.join(INDEX));
    format!(
        "# Followed while the webhook runs; docs/settings.md has all the keys.\nmode: enforce\nimageIndex: {{files: [{index}]}}\n"
    )
}

fn registration(port: &str, authority: &[u8]) -> Value {
    let entry = |name: &str, group: &str, kinds: &[&str]| {
        json!({
            "name": format!("{name}.emissary-webhook.io"),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            // So that a developer sees what is wrong, and not an unchanged pod.
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "timeoutSeconds": 10,
            "clientConfig": {"url": format!("https://localhost:{port}/mutate"), "caBundle": STANDARD.encode(authority)},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
            ]},
            "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE"], "resources": kinds}],
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "emissary-webhook"},
        "webhooks": [
            entry("pods", "", &["pods"]),
            entry("workflows", "argoproj.io", &["workflows"]),
        ],
    })
}
