//! The programs of a Kubernetes control plane: built from the Go module in `tests/cluster/kubernetes`, or those of envtest.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, bail};
use test_cluster::Assets;

use crate::debian::{create, lock, output, remove};
use crate::progress::Progress;

/// What the Go module is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// The control plane and kubectl.
    ControlPlane,
    /// These, and what a node runs: the kubelet and kube-proxy.
    WithKubelet,
}

impl Build {
    const fn tags(self) -> &'static str {
        match self {
            Self::ControlPlane => "",
            Self::WithKubelet => "kubelet",
        }
    }

    /// The links to the one program that is built.
    fn programs(self) -> impl Iterator<Item = &'static str> {
        let more: &[&str] = match self {
            Self::ControlPlane => &[],
            Self::WithKubelet => &["kubelet", "kube-proxy"],
        };
        Assets::REQUIRED.into_iter().chain(["kube-controller-manager", "kube-scheduler"]).chain(more.iter().copied())
    }
}

/// The folder of programs, in envtest's layout: `KUBEBUILDER_ASSETS` or `variable` where one is set, else what is built.
///
/// # Errors
/// A folder that was named is incomplete; or there is no Go, or it fails.
pub(crate) fn provision(variable: &str, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    for variable in ["KUBEBUILDER_ASSETS", variable] {
        if let Some(folder) = env::var_os(variable).filter(|folder| !folder.is_empty()) {
            let folder = std::path::absolute(&folder).with_context(|| format!("cannot make sense of {variable}"))?;
            Assets::in_folder(&folder).with_context(|| format!("{variable} is of no use"))?;
            return Ok(folder);
        }
    }
    build(Build::ControlPlane, cache, progress)
}

/// Builds the Go module, unless what its sources make is there already.
///
/// # Errors
/// There is no Go, or it fails.
pub(crate) fn build(build: Build, cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests").join("cluster/kubernetes");
    let version = version(&fs::read_to_string(module.join("go.mod")).context("cannot read the module's go.mod")?)?;
    let components = cache.join("components");
    let kind = if build == Build::WithKubelet { "-kubelet" } else { "" };
    let folder = components.join(format!("kubernetes-{version}{kind}-{}", fingerprint(&module)?));
    if Assets::in_folder(&folder).is_ok() {
        return Ok(folder);
    }
    create(&components)?;
    let _alone = lock(&cache.join("lock-kubernetes"), progress)?;
    // Whoever had the lock before may have built the same.
    if Assets::in_folder(&folder).is_ok() {
        return Ok(folder);
    }
    let partial = components.join(format!(".kubernetes{kind}.partial"));
    remove(&partial)?;
    create(&partial)?;
    progress
        .note(&format!("building Kubernetes {version}; the first time this takes about 12 minutes on two processors"));
    compile(&module, build, &version, &partial.join("kubernetes"), progress)?;
    for program in build.programs() {
        symlink("kubernetes", partial.join(program)).with_context(|| format!("cannot link {program}"))?;
    }
    // In one step, so that a folder of this name is complete.
    fs::rename(&partial, &folder).with_context(|| format!("cannot move the programs to {}", folder.display()))?;
    Ok(folder)
}

fn compile(module: &Path, build: Build, version: &str, program: &Path, progress: &Progress) -> anyhow::Result<()> {
    const EVERY: Duration = Duration::from_secs(20);
    let go = || {
        let mut go = Command::new("go");
        // Static, so that it runs wherever it is copied to.
        go.current_dir(module).env("CGO_ENABLED", "0").stdin(Stdio::null());
        go
    };
    // Said at once where there is no Go; and it is what the progress is measured by.
    let listed = output(go().args(["list", "-deps", "-tags", build.tags(), "."]))?;
    if !listed.status.success() {
        bail!("go cannot list what is to be built: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let packages = listed.stdout.split(|byte| *byte == b'\n').count();

    let mut building = go()
        .args(["build", "-v", "-trimpath", "-tags", build.tags(), "-ldflags", &link_flags(version), "-o"])
        .arg(program)
        .arg(".")
        .stderr(Stdio::piped())
        .spawn()
        .context("go cannot be run here")?;
    let said = building.stderr.take().context("go has no output")?;
    // The names of what was compiled, and complaints.
    let mut last = Instant::now();
    let mut complaints: Vec<String> = Vec::new();
    let mut compiled = 0usize;
    for line in BufReader::new(said).lines() {
        let line = line.context("go cannot be read")?;
        // A package's path has no blank in it.
        if line.contains(' ') {
            complaints.push(line);
        } else {
            compiled += 1;
        }
        if last.elapsed() > EVERY {
            last = Instant::now();
            progress.step(&format!("{compiled} of at most {packages} packages are compiled"));
        }
    }
    if !building.wait().context("go cannot be waited for")?.success() {
        complaints.drain(..complaints.len().saturating_sub(5));
        bail!("go build failed: {}", complaints.join("\n"));
    }
    Ok(())
}

/// Without these the server calls itself v0.0.0, and kubectl complains of the skew.
fn link_flags(version: &str) -> String {
    const PACKAGE: &str = "k8s.io/component-base/version";
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("-s -w -X {PACKAGE}.gitVersion=v{version} -X {PACKAGE}.gitMajor={major} -X {PACKAGE}.gitMinor={minor}")
}

/// The version of Kubernetes that a go.mod asks for, without its `v`.
fn version(go_mod: &str) -> anyhow::Result<String> {
    let version = go_mod.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    Ok(version.context("go.mod does not name k8s.io/kubernetes")?.to_owned())
}

/// Tells the sources of one build from those of another: FNV-1a over the module's files.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn fingerprint(module: &Path) -> anyhow::Result<String> {
    let mut files: Vec<OsString> = fs::read_dir(module)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .with_context(|| format!("cannot read {}", module.display()))?;
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        let content = fs::read(module.join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        for byte in file.as_encoded_bytes().iter().chain(&content) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(format!("{:08x}", hash >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_requirement() {
        let go_mod = "module m\n\nrequire (\n\tk8s.io/kubectl v0.0.0\n\tk8s.io/kubernetes v1.36.3\n)\n";
        assert_eq!(version(go_mod).unwrap(), "1.36.3");
        assert!(link_flags("1.36.3").ends_with(".gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
        assert!(version("module m\n").is_err());
    }
}
