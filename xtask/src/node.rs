//! What a node of the tests' cluster is made of, but for Kubernetes itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use test_cluster::NodePrograms;

use crate::debian::{run, unpack_tree};
use crate::kubernetes::fingerprint;
use crate::progress::Progress;

/// Debian's: programs of a node, and a static one for its images.
const PACKAGES: [&str; 4] = ["containerd", "runc", "containernetworking-plugins", "busybox-static"];
/// The folder of the programs that were got, in the cache.
const TREE: &str = "node-tools";

/// The files of Debian's packages, as they would be below `/`.
///
/// # Errors
/// apt or dpkg is missing or fails.
pub(crate) fn tree(cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    if let Some(obstacle) = test_cluster::obstacle() {
        bail!("this machine can have no node: {obstacle}");
    }
    unpack_tree(&PACKAGES, TREE, cache, progress)
}

/// CoreDNS, built from the Go module in `tests/cluster/coredns` unless what its sources make is there already.
///
/// # Errors
/// There is no Go, or it fails.
pub(crate) fn dns(cache: &Path, progress: &Progress) -> anyhow::Result<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests").join("cluster/coredns");
    let program = cache.join("components").join(format!("coredns-{}", fingerprint(&module)?)).join("coredns");
    if program.is_file() {
        return Ok(program);
    }
    progress.note("building CoreDNS; the first time this takes about three minutes on two processors");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&program).arg(".");
    run(go.current_dir(&module).env("CGO_ENABLED", "0"))?;
    Ok(program)
}

/// All of it, found or got.
///
/// # Errors
/// apt, dpkg or Go is missing or fails.
pub(crate) fn programs(cache: &Path, progress: &Progress) -> anyhow::Result<NodePrograms> {
    Ok(NodePrograms { tree: tree(cache, progress)?, coredns: Some(dns(cache, progress)?) })
}
