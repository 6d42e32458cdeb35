//! `cargo xtask test`: the components first, then every test of the workspace with them.

use std::ffi::OsString;
use std::process::ExitCode;
use std::{env, fs, process};

use anyhow::Context as _;

use crate::cargo::cargo;
use crate::components;

/// What a component that cannot be had means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The run fails before the first test.
    Fails,
    /// The tests that need it do not run, and are listed at the end.
    IsListed,
}

/// Runs `cargo test --workspace ARGS`; its code is the task's.
///
/// # Errors
/// Where the components have no place or cargo cannot be started.
pub(crate) fn run(missing: Missing, for_cargo: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut tests = cargo();
    tests.args(["test", "--workspace"]).args(for_cargo);

    let mut complete = true;
    for (component, program) in components::provision()? {
        match program {
            Some(program) => tests.env(component.variable, program),
            None => {
                complete = false;
                tests.env_remove(component.variable)
            }
        };
    }
    if !complete && missing == Missing::Fails {
        eprintln!("xtask: not everything is here; cargo xtask test --allow-missing runs the rest");
        return Ok(ExitCode::FAILURE);
    }

    // Tests of several processes add to it, so it is a file and not a pipe.
    let report = env::temp_dir().join(format!("emissary-webhook-components-{}.txt", process::id()));
    fs::write(&report, "").with_context(|| format!("cannot write {}", report.display()))?;
    tests.env("EMISSARY_TEST_COMPONENTS", if complete { "required" } else { "optional" });
    tests.env("EMISSARY_TEST_COMPONENTS_REPORT", &report);
    let status = tests.status().context("cannot start cargo");
    let reported = fs::read_to_string(&report).unwrap_or_default();
    let _ = fs::remove_file(&report);

    // With nothing missing, cargo's own result lines are the last.
    if !complete {
        eprint!("{}", closing(&reported));
    }
    Ok(if status?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The count of the component tests and a line for each that did not run, from the lines that the tests reported.
fn closing(reported: &str) -> String {
    let ran = reported.lines().filter(|line| line.starts_with("ran: ")).count();
    let mut left_out: Vec<&str> = reported.lines().filter(|line| line.starts_with("not run: ")).collect();
    left_out.sort_unstable();
    let mut text = format!("component tests: {ran} ran, {} not run\n", left_out.len());
    for line in left_out {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_run_is_named() {
        let reported = "ran: a (with skopeo)\nnot run: c (needs docker-registry)\nnot run: b (needs skopeo)\n";
        assert_eq!(
            closing(reported),
            "component tests: 1 ran, 2 not run\nnot run: b (needs skopeo)\nnot run: c (needs docker-registry)\n"
        );
    }
}
