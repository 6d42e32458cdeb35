//! What a node of the tests' cluster is made of, but for Kubernetes itself.

use std::path::Path;

use test_cluster::NodePrograms;

use crate::debian::unpack_tree;
use crate::progress::Progress;

/// Debian's: programs of a node, and a static one for its images.
const PACKAGES: [&str; 4] = ["containerd", "runc", "containernetworking-plugins", "busybox-static"];
/// The folder of the programs that were got, in the cache.
const TREE: &str = "node-tools";

/// The files of Debian's packages, as they would be below `/`.
///
/// # Errors
/// apt or dpkg is missing or fails.
pub(crate) fn tree(cache: &Path, progress: &Progress) -> anyhow::Result<std::path::PathBuf> {
    if let Some(obstacle) = test_cluster::obstacle() {
        anyhow::bail!("this machine can have no node: {obstacle}");
    }
    unpack_tree(&PACKAGES, TREE, cache, progress)
}

/// All of it, found or got.
///
/// # Errors
/// apt, dpkg or Go is missing or fails.
pub(crate) fn programs(cache: &Path, progress: &Progress) -> anyhow::Result<NodePrograms> {
    Ok(NodePrograms { tree: tree(cache, progress)?, coredns: None })
}
