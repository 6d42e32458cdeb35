//! `cargo xtask test`: the components first, then every test of the workspace with them.

use std::ffi::OsString;
use std::process::ExitCode;
use std::{env, fs, process};

use anyhow::{Context as _, bail};

use crate::cargo::cargo;
use crate::components;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Those tests too that run pods.
    node: bool,
    /// And those in which Argo's own controllers run.
    argo: bool,
    /// What a component that cannot be had means: the tests that need it do not run, and are listed at the end. Else the run
    /// fails before the first test.
    allow_missing: bool,
}

impl Wanted {
    /// From the task's words.
    ///
    /// # Errors
    /// A word that says nothing here.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let mut wanted = Self { node: false, argo: false, allow_missing: false };
        for word in words {
            match *word {
                "--node" => wanted.node = true,
                "--argo" => (wanted.node, wanted.argo) = (true, true),
                "--allow-missing" => wanted.allow_missing = true,
                other => bail!("test knows no {other:?}; what is cargo's stands behind --"),
            }
        }
        Ok(wanted)
    }
}

/// Runs `cargo test --workspace ARGS`; its code is the task's.
///
/// # Errors
/// Where the components have no place or cargo cannot be started.
pub(crate) fn run(wanted: &Wanted, for_cargo: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut tests = cargo();
    tests.args(["test", "--workspace"]).args(for_cargo);

    let mut complete = true;
    // Those of a node are promised apart from the others: a plain run does not get them.
    let sets = [
        (true, components::TABLE, "EMISSARY_TEST_COMPONENTS"),
        (wanted.node, components::NODE, "EMISSARY_TEST_NODE_COMPONENTS"),
        (wanted.argo, components::ARGO, "EMISSARY_TEST_ARGO_COMPONENTS"),
    ];
    for (_, table, promise) in sets.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        let mut has_all = true;
        for (component, program) in components::provision(&[table])? {
            match program {
                Some(program) => tests.env(component.variable, program),
                None => {
                    has_all = false;
                    tests.env_remove(component.variable)
                }
            };
        }
        tests.env(promise, if has_all { "required" } else { "optional" });
        complete &= has_all;
    }
    if !complete && !wanted.allow_missing {
        eprintln!("xtask: not everything is here; cargo xtask test --allow-missing runs the rest");
        return Ok(ExitCode::FAILURE);
    }

    // Tests of several processes add to it, so it is a file and not a pipe.
    let report = env::temp_dir().join(format!("emissary-webhook-components-{}.txt", process::id()));
    fs::write(&report, "").with_context(|| format!("cannot write {}", report.display()))?;
    tests.env("EMISSARY_TEST_COMPONENTS_REPORT", &report);
    let status = tests.status().context("cannot start cargo");
    let reported = fs::read_to_string(&report).unwrap_or_default();
    let _ = fs::remove_file(&report);

    // With nothing missing, cargo's own result lines are the last.
    if reported.contains("not run: ") {
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
    fn the_tasks_words_are_read() {
        let wanted = |words: &[&str]| Wanted::parse(words).ok();
        assert_eq!(wanted(&[]), Some(Wanted { node: false, argo: false, allow_missing: false }));
        let with_a_node = Wanted { node: true, argo: false, allow_missing: true };
        assert_eq!(wanted(&["--allow-missing", "--node"]), Some(with_a_node));
        assert_eq!(wanted(&["--argo"]), Some(Wanted { node: true, argo: true, allow_missing: false }));
        assert_eq!(wanted(&["--nodes"]), None);
    }

    #[test]
    fn what_did_not_run_is_named() {
        let reported = "ran: a (with skopeo)\nnot run: c (needs docker-registry)\nnot run: b (needs skopeo)\n";
        assert_eq!(
            closing(reported),
            "component tests: 1 ran, 2 not run\nnot run: b (needs skopeo)\nnot run: c (needs docker-registry)\n"
        );
    }
}
