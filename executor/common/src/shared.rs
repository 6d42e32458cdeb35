//! Where the contract's files are.

use std::path::{Path, PathBuf};

use emissary_contract::{file, path};

/// The contract's places, all below one root: `/` in a pod, a folder where somebody tries things out.
#[derive(Debug, Clone)]
pub struct Shared {
    root: PathBuf,
}

impl Shared {
    /// Below `root`.
    pub fn below(root: &str) -> Self {
        Self { root: PathBuf::from(root) }
    }

    /// One of [`emissary_contract::path`], here.
    pub fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A container's folder.
    pub fn container(&self, name: &str) -> PathBuf {
        self.place(path::CONTAINERS).join(name)
    }

    /// Where a container's exit code appears.
    pub fn exit_code(&self, name: &str) -> PathBuf {
        self.container(name).join(file::EXIT_CODE)
    }

    /// Where the kubelet reads last words.
    pub fn termination_log(&self) -> PathBuf {
        self.place(path::TERMINATION_LOG)
    }
}

/// A file's text, if it is there, is UTF-8 and is not longer than `limit` bytes.
///
/// # Errors
/// Where it is not.
pub fn read_text(file: &Path, limit: u64) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(std::io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok(text)
}
