//! `review`: what it says against what real engines said, that it says the same however it gets there, and that a policy
//! cannot hold it up.

mod columns;
mod limits;
mod opa;
mod oracles;
mod outputs;
mod properties;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// How a review ended, and what it wrote.
struct Reviewed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A folder with files, in which reviews run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        fs::write(self.0.path().join(name), text).unwrap();
        self
    }

    fn review(&self, arguments: &[&str]) -> Reviewed {
        let output = Command::new(env!("CARGO_BIN_EXE_emissary-webhook"))
            .env_clear()
            .args(["review", "--offline"])
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Reviewed {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Reviewed {
    /// The lines of `-o jsonl`.
    fn lines(&self) -> Vec<Value> {
        assert!(matches!(self.code, Some(0 | 1)), "{:?}: {}", self.code, self.stderr);
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A file of the repository.
fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn path(name: &str) -> String {
    repository(name).to_str().unwrap().to_owned()
}
