//! `cargo xtask cluster`: the control plane of the tests, kept running for a developer, with the webhook registered.

mod installation;
mod webhook;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, bail};
use test_cluster::{Assets, ControlPlane, Node, Options, Processes};

use crate::components::cache_folder;
use crate::debian::{create, remove};
use crate::progress::Progress;
use crate::{kubernetes, node, shell};

/// Whether pods run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pods {
    /// They stay Pending: there is no node.
    StayPending,
    /// On a node beside the control plane.
    Run,
}

/// Where the webhook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhook {
    /// Beside the control plane, registered by URL.
    Beside,
    /// On the node, in pods of its own image, registered through its Service, as `webhook/` installs it.
    OnTheNode,
}

/// Starts what does not run yet, the webhook in any case anew, and prints what a shell needs.
///
/// # Errors
/// What is missing or did not start, and the end of its log.
pub(crate) fn up(pods: Pods, webhook: Webhook) -> anyhow::Result<ExitCode> {
    let progress = Progress::of("cluster");
    let cache = cache_folder()?;
    create(&cache)?;
    let folder = folder()?;
    let runs = !Processes::of(&folder, &[]).running().is_empty();
    let as_it_runs = (Node::of(&folder).is_some(), installation::mark(&folder).exists());
    if runs && as_it_runs != (pods == Pods::Run, webhook == Webhook::OnTheNode) {
        bail!("one with other options runs; cargo xtask cluster down stops it");
    }
    let assets = match pods {
        Pods::StayPending => kubernetes::provision("EMISSARY_TEST_KUBERNETES", &cache, &progress)?,
        Pods::Run => kubernetes::build(kubernetes::Build::WithKubelet, &cache, &progress)?,
    };
    let assets = Assets::in_folder(&assets)?;
    let control_plane = if let Some(running) = ControlPlane::running(&assets, &folder, &prefix(&folder)) {
        progress.note("the control plane runs already");
        running
    } else {
        clear(&folder)?;
        create(&folder.join("bin"))?;
        let started = start(pods, &assets, &folder, &cache, &progress);
        if started.is_err() {
            clear(&folder).unwrap_or_else(|error| progress.note(&format!("and cannot be cleared away: {error:#}")));
        }
        let started = started?;
        if webhook == Webhook::OnTheNode {
            fs::write(installation::mark(&folder), "").context("cannot write down where the webhook runs")?;
        }
        started
    };
    let settings = match webhook {
        Webhook::Beside => webhook::up(&control_plane, &folder, &progress)?.display().to_string(),
        Webhook::OnTheNode => {
            let node = Node::of(&folder).context("there is no node to run it on")?;
            installation::up(&control_plane, &node, &progress)?.to_owned()
        }
    };
    progress.end(&format!("{} answers; the webhook goes by {settings}", control_plane.server()));
    println!("export KUBECONFIG={}", shell::word(&control_plane.kubeconfig())?);
    println!("export PATH={}:\"$PATH\"", shell::word(&folder.join("bin"))?);
    Ok(ExitCode::SUCCESS)
}

fn start(
    pods: Pods,
    assets: &Assets,
    folder: &Path,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<ControlPlane> {
    let control_plane = match pods {
        Pods::StayPending => {
            progress.step("starting the control plane");
            ControlPlane::start(assets, folder, &Options { scheduler: true, ..Options::default() })?
        }
        Pods::Run => {
            let programs = node::programs(cache, progress)?;
            progress.step("starting the control plane and a node");
            Node::start(assets, &programs, folder)?.0
        }
    };
    kubectl(assets, folder)?;
    apply(&control_plane, include_str!("../../tests/cluster/crds.yaml"))?;
    Ok(control_plane)
}

/// `bin/kubectl`, alone in its folder, so that nothing else of the shell's is hidden; it goes where the API server is.
/// Beside a node also `bin/on-node`, for any other command.
fn kubectl(assets: &Assets, folder: &Path) -> anyhow::Result<()> {
    let (program, file) = (assets.program("kubectl"), folder.join("bin/kubectl"));
    let Some(node) = Node::of(folder) else {
        return symlink(program, file).context("cannot link kubectl");
    };
    let enter = node.prefix().join(" ");
    let kubectl = format!("{enter} {}", shell::word(&program)?);
    for (file, command) in [(file, kubectl), (folder.join("bin/on-node"), enter)] {
        let script = format!("#!/bin/sh\nexec {command} \"$@\"\n");
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
        fs::set_permissions(&file, Permissions::from_mode(0o755)).context("cannot make a script a program")?;
    }
    Ok(())
}

/// Stops everything and removes what it wrote.
///
/// # Errors
/// Something does not end, or a file cannot be removed.
pub(crate) fn down() -> anyhow::Result<ExitCode> {
    let folder = folder()?;
    let progress = Progress::of("cluster");
    if folder.exists() {
        progress.step("stopping");
        clear(&folder)?;
        progress.end("stopped, and its files are removed");
    } else {
        progress.end("there is none");
    }
    Ok(ExitCode::SUCCESS)
}

/// What runs, and where it writes.
///
/// # Errors
/// The cache folder cannot be named.
pub(crate) fn status() -> anyhow::Result<ExitCode> {
    let processes = Processes::of(&folder()?, &[]);
    let running = processes.running();
    for name in &running {
        println!("{name}: {}", processes.log(name).display());
    }
    if running.is_empty() {
        println!("nothing runs; cargo xtask cluster up starts it");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(cache_folder()?.join("cluster"))
}

fn prefix(folder: &Path) -> Vec<String> {
    Node::of(folder).map(|node| node.prefix()).unwrap_or_default()
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    Node::stop(folder).with_context(|| format!("cannot stop what {} lists", folder.display()))?;
    remove(folder)
}

/// `kubectl apply` of this text.
fn apply(control_plane: &ControlPlane, objects: &str) -> anyhow::Result<()> {
    let mut kubectl = control_plane
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run kubectl")?;
    kubectl
        .stdin
        .take()
        .context("kubectl has no input")?
        .write_all(objects.as_bytes())
        .context("cannot feed kubectl")?;
    let output = kubectl.wait_with_output().context("cannot wait for kubectl")?;
    if !output.status.success() {
        bail!("kubectl apply failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
