//! `cargo xtask cluster`: the control plane of the tests, kept running for a developer, with the webhook registered.

mod webhook;

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, bail};
use test_cluster::{Assets, ControlPlane, Options, Processes};

use crate::components::cache_folder;
use crate::debian::{create, remove};
use crate::progress::Progress;
use crate::{kubernetes, shell};

/// Starts what does not run yet, the webhook in any case anew, and prints what a shell needs.
///
/// # Errors
/// What is missing or did not start, and the end of its log.
pub(crate) fn up() -> anyhow::Result<ExitCode> {
    let progress = Progress::of("cluster");
    let cache = cache_folder()?;
    create(&cache)?;
    let assets = Assets::in_folder(&kubernetes::provision("EMISSARY_TEST_KUBERNETES", &cache, &progress)?)?;
    let folder = folder()?;
    let control_plane = if let Some(running) = ControlPlane::running(&assets, &folder, &[]) {
        progress.note("the control plane runs already");
        running
    } else {
        progress.step("starting the control plane");
        clear(&folder)?;
        create(&folder.join("bin"))?;
        // Alone in its folder, so that nothing else of the shell's is hidden.
        symlink(assets.program("kubectl"), folder.join("bin/kubectl")).context("cannot link kubectl")?;
        let control_plane = ControlPlane::start(&assets, &folder, &Options { scheduler: true, ..Options::default() })?;
        apply(&control_plane, include_str!("../../tests/cluster/crds.yaml"))?;
        control_plane
    };
    let settings = webhook::up(&control_plane, &folder, &progress)?;
    progress.end(&format!("{} answers; the webhook goes by {}", control_plane.server(), settings.display()));
    println!("export KUBECONFIG={}", shell::word(&control_plane.kubeconfig())?);
    println!("export PATH={}:\"$PATH\"", shell::word(&folder.join("bin"))?);
    Ok(ExitCode::SUCCESS)
}

/// Stops everything and removes what it wrote.
///
/// # Errors
/// A file cannot be removed.
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

fn clear(folder: &std::path::Path) -> anyhow::Result<()> {
    Processes::of(folder, &[]).stop().with_context(|| format!("cannot stop what {} lists", folder.display()))?;
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
