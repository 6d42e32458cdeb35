//! The gate in front of tests that need real programs: `cargo xtask test` gets them and says where they are.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::{env, thread};

/// A folder: etcd, kube-apiserver, kubectl.
pub(crate) const KUBERNETES: (&str, &str) = ("kubernetes", "EMISSARY_TEST_KUBERNETES");
/// Argo's sources: the schemas of its kinds.
pub(crate) const ARGO_WORKFLOWS: (&str, &str) = ("argo-workflows", "EMISSARY_TEST_ARGO_WORKFLOWS");
/// An S3 server that keeps objects as files.
pub(crate) const VERSITYGW: (&str, &str) = ("versitygw", "EMISSARY_TEST_VERSITYGW");

/// A server that speaks as Google's store does.
pub(crate) const FAKE_GCS_SERVER: (&str, &str) = ("fake-gcs-server", "EMISSARY_TEST_FAKE_GCS_SERVER");
/// A server that speaks as Azure's store does.
pub(crate) const AZURITE: (&str, &str) = ("azurite-blob", "EMISSARY_TEST_AZURITE");
pub(crate) const GIT: (&str, &str) = ("git", "EMISSARY_TEST_GIT");

/// Where a program is; nothing, and a line about it, where it is missing. A test that gets nothing returns.
///
/// Panics under `EMISSARY_TEST_COMPONENTS=required`.
pub(crate) fn need((program, variable): (&str, &str)) -> Option<PathBuf> {
    let found = env::var_os(variable).filter(|place| !place.is_empty()).map(PathBuf::from);
    told(found.is_some(), program, "cargo xtask test");
    let required = env::var_os("EMISSARY_TEST_COMPONENTS").is_some_and(|wanted| wanted == "required");
    assert!(found.is_some() || !required, "{variable} is not set");
    found
}

/// Whether the machine allows what a test needs; a line about it either way. What it does not allow nobody can get for it, so
/// that a test which cannot run does not fail.
pub(crate) fn allowed(what: &str, is_there: impl Fn() -> bool) -> bool {
    let there = is_there();
    told(there, what, "another machine");
    there
}

/// Says whether the test at hand runs, past the test harness, which keeps what a passing test prints.
fn told(runs: bool, needed: &str, mended_by: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let line = match runs {
        true => format!("ran: {test} (with {needed})\n"),
        false => format!("not run: {test} (needs {needed}: {mended_by})\n"),
    };
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(report) = env::var_os("EMISSARY_TEST_COMPONENTS_REPORT") {
        OpenOptions::new().append(true).open(report).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
