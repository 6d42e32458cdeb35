//! The webhook on the node as `webhook/` installs it: its own image in pods, registered through its Service.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use test_cluster::{ControlPlane, Node};

use crate::debian::output;
use crate::image;
use crate::progress::Progress;

/// `mode: enforce`, `failurePolicy: Ignore`, and the policy that refuses what the webhook misses.
const OVERLAY: &str = "webhook/overlays/enforce-policy";
const NAMESPACE: &str = "emissary-webhook";
const DEPLOYMENT: &str = "deployment/emissary-webhook";
/// Optimised it would take minutes each time.
const PROFILE: &str = "dev";

/// The file in the cluster's folder that says that the webhook runs on its node.
pub(super) fn mark(folder: &Path) -> PathBuf {
    folder.join("webhook-image")
}

/// Builds the image, gives it to the node and installs it; what its settings are called. Once more: the image anew.
///
/// # Errors
/// The image does not build, or its pods do not become ready.
pub(super) fn up(control_plane: &ControlPlane, node: &Node, progress: &Progress) -> anyhow::Result<&'static str> {
    let built = image::build(PROFILE, progress)?;
    progress.step("installing the webhook");
    // A name without a registry is completed so, by the kubelet too.
    node.load(&built.archive, &format!("docker.io/library/{}", built.name))?;
    let kubectl = |arguments: &[&str]| said(control_plane.kubectl().args(arguments));
    let in_namespace = |arguments: &[&str]| kubectl(&[&["--namespace", NAMESPACE], arguments].concat());
    let was_there = in_namespace(&["get", DEPLOYMENT]).is_ok();
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(OVERLAY);
    kubectl(&["apply", "--kustomize", overlay.to_str().context("a folder whose name is not UTF-8")?])?;
    // The name of the image is the same as before, so nothing of the Deployment has changed.
    if was_there {
        in_namespace(&["rollout", "restart", DEPLOYMENT])?;
    }
    in_namespace(&["rollout", "status", DEPLOYMENT, "--timeout", "180s"])?;
    let trusted = "jsonpath={.webhooks[0].clientConfig.caBundle}";
    kubectl(&["wait", "mutatingwebhookconfiguration/emissary-webhook", "--for", trusted, "--timeout", "30s"])?;
    Ok("the ConfigMap emissary-webhook-settings of the namespace emissary-webhook")
}

/// What a command wrote.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("kubectl failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
