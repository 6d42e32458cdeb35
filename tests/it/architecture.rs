//! The rooms of `docs/architecture.md` and the arrows between them, held against the sources.
//!
//! Between crates Cargo holds the arrows. These tests hold those between the modules of a crate, what only one room may
//! touch, and the length of files. Code that is compiled for tests only is free.

mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use paths::paths;

/// Where the rooms of one crate are, and for each room those that it may name.
struct Plan {
    /// The crate's sources, from the repository's root.
    sources: &'static str,
    /// The crate's name in the sources of its own binary.
    name: &'static str,
    arrows: &'static [(&'static str, &'static [&'static str])],
}

const PLANS: [Plan; 3] = [
    Plan {
        sources: "src/",
        name: "emissary_webhook",
        arrows: &[
            ("metrics", &[]),
            ("mutation", &["metrics"]),
            ("manifest", &[]),
            ("settings", &["manifest", "metrics"]),
            ("certificate", &[]),
            ("admission", &["mutation", "review", "settings"]),
            ("server", &["admission", "certificate", "metrics", "settings"]),
            ("cluster", &["certificate", "metrics", "mutation", "settings"]),
            ("index", &["manifest", "settings"]),
            ("review", &["manifest", "metrics", "mutation", "settings"]),
            ("demo", &["server", "admission", "mutation", "manifest", "settings", "certificate"]),
            (
                "cli",
                &[
                    "cluster",
                    "demo",
                    "index",
                    "server",
                    "admission",
                    "mutation",
                    "review",
                    "manifest",
                    "settings",
                    "certificate",
                ],
            ),
            ("main", &["cli"]),
        ],
    },
    Plan {
        sources: "crates/core/src/",
        name: "emissary_core",
        arrows: &[
            ("object", &[]),
            ("image", &[]),
            ("edit", &[]),
            ("names", &[]),
            ("outcome", &["edit", "image"]),
            ("lookup", &["image", "outcome"]),
            ("pod", &["edit", "image", "object", "lookup", "names", "outcome"]),
            ("workflow", &["pod", "edit", "image", "object", "lookup", "names", "outcome"]),
        ],
    },
    Plan {
        sources: "crates/policy/src/",
        name: "emissary_policy",
        arrows: &[
            ("request", &[]),
            ("selector", &[]),
            ("verdict", &[]),
            ("quote", &[]),
            ("pod", &[]),
            ("defaults", &[]),
            ("limits", &["defaults", "refusal", "request", "verdict"]),
            ("pss", &["pod", "quote", "request", "verdict"]),
            ("psp", &["pod", "quote", "request", "verdict"]),
            ("rego", &["quote", "request", "verdict"]),
            ("refusal", &[]),
            ("cel", &["defaults"]),
            ("vap", &["cel", "refusal", "request", "selector", "verdict"]),
            ("gatekeeper", &["cel", "refusal", "rego", "request", "selector", "vap", "verdict"]),
            ("kyverno", &["cel", "pod", "pss", "refusal", "request", "selector", "vap", "verdict"]),
        ],
    },
];

/// Something that not everybody may touch.
struct Reserved {
    /// A path of one segment stands for all below it, a longer one also for paths that end with it.
    what: &'static [&'static str],
    /// Below `what`, and free.
    except: &'static [&'static str],
    who: Who,
    why: &'static str,
}

/// Files and folders, from the repository's root.
enum Who {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const RESERVED: [Reserved; 6] = [
    Reserved {
        what: &["reqwest"],
        except: &[],
        who: Who::Only(&[
            "crates/registry/",
            "executor/tasks/src/agent/",
            "executor/tasks/src/report/",
            "executor/tasks/src/storage/",
        ]),
        why: "one place decides what is asked of whom, and with which credential",
    },
    Reserved {
        what: &["kube", "k8s_openapi"],
        except: &[],
        who: Who::Only(&["src/cluster/"]),
        why: "every other room runs without an API server",
    },
    Reserved {
        what: &["regorus", "cel"],
        except: &[],
        who: Who::Only(&["crates/policy/"]),
        why: "what an engine needs to be right stands beside it",
    },
    Reserved {
        what: &["std::env"],
        except: &["std::env::consts"],
        who: Who::Only(&[
            "src/cli/",
            "src/main.rs",
            "xtask/",
            "executor/argoexec/src/main.rs",
            "executor/tasks/src/bin/",
        ]),
        why: "the environment is read at the edge and passed in as values",
    },
    Reserved {
        what: &["SystemTime::now", "Instant::now"],
        except: &[],
        who: Who::AllBut(&["crates/core/", "crates/policy/", "src/certificate/"]),
        why: "what is pure is told the time",
    },
    Reserved {
        what: &["unsafe"],
        except: &[],
        who: Who::Only(&["executor/argoexec/src/sys.rs"]),
        why: "one file has all of it",
    },
];

/// Folders with sources of what is shipped, or of what makes it.
const FOLDERS: [&str; 5] = ["src", "crates", "contract", "executor", "xtask"];

/// All that `emissary-core` may depend on: nothing that waits, nothing that knows a cluster, a clock or a network.
const PURE: [&str; 6] = ["emissary-contract", "globset", "json-patch", "serde", "serde_json", "thiserror"];

/// Lines, without tests, from which on a file says in its head why it is one.
const LONG: usize = 500;

#[test]
fn every_file_keeps_to_the_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 15, "the sources have moved: {} found", files.len());
    let complaints: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let name = file.strip_prefix(root).unwrap().to_str().unwrap();
            complaints(name, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_core_depends_on_nothing_that_waits() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/core/Cargo.toml")).unwrap();
    let dependencies = dependencies(&manifest);
    assert!(dependencies.contains(&"serde"));
    let others: Vec<_> = dependencies.iter().filter(|name| !PURE.contains(name)).collect();
    assert!(others.is_empty(), "{others:?}: a crate joins PURE only if it is pure");
}

/// The Rust files below a folder; those of tests, of benches and of a build are left out.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["target", "tests", "benches"].iter().any(|free| path.ends_with(free)) {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// What is wrong with a source, its file named from the repository's root.
fn complaints(file: &str, source: &str) -> Vec<String> {
    let plan = PLANS.iter().find(|plan| file.starts_with(plan.sources));
    let module = module_of(plan.map_or(file, |plan| &file[plan.sources.len()..]));
    let named = match paths(source, &module) {
        Ok(named) => named,
        Err(error) => return vec![format!("{file}: {error}")],
    };
    let mut complaints: Vec<String> = named.iter().filter_map(|path| reserved(file, path)).collect();
    if let Some(plan) = plan {
        complaints.extend(arrows(plan, file, &module, &named));
    }
    complaints.extend(too_long(file, source));
    complaints.sort_unstable();
    complaints.dedup();
    complaints
}

/// The module that a file is, its crate's sources being the root: `server/tls.rs` is `server::tls`, `lib.rs` the root.
fn module_of(file: &str) -> Vec<String> {
    let without_extension = file.strip_suffix(".rs").unwrap_or(file);
    let mut module: Vec<String> = without_extension.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

fn arrows(plan: &Plan, file: &str, module: &[String], named: &[Vec<String>]) -> Vec<String> {
    let is_main = file == format!("{}main.rs", plan.sources);
    let room = match module.first() {
        Some(room) => room.as_str(),
        None if is_main => "main",
        // The root only lists the rooms.
        None => return Vec::new(),
    };
    let Some((_, allowed)) = plan.arrows.iter().find(|(from, _)| *from == room) else {
        return vec![format!("{file}: the room {room} is not in the plan")];
    };
    let own = if is_main { plan.name } else { "crate" };
    named
        .iter()
        .filter(|path| path.first().is_some_and(|first| first == own))
        .filter_map(|path| path.get(1))
        .filter(|to| *to != room && !allowed.contains(&to.as_str()))
        .map(|to| match plan.arrows.iter().any(|(known, _)| known == to) {
            true => format!("{file}: no arrow goes from {room} to {to}"),
            false => format!("{file}: {own}::{to} is in no room"),
        })
        .collect()
}

fn reserved(file: &str, path: &[String]) -> Option<String> {
    let path = path.join("::");
    let below = |what: &&str| path.strip_prefix(*what).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let ends_with = |what: &&str| what.contains("::") && path.ends_with(&format!("::{what}"));
    let within = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
    RESERVED
        .iter()
        .filter(|rule| rule.what.iter().any(|what| below(what) || ends_with(what)) && !rule.except.iter().any(below))
        .find(|rule| match rule.who {
            Who::Only(places) => !within(places),
            Who::AllBut(places) => within(places),
        })
        .map(|rule| format!("{file}: {path} has no place here: {}", rule.why))
}

fn too_long(file: &str, source: &str) -> Option<String> {
    let lines = source.lines().take_while(|line| *line != "#[cfg(test)]").count();
    let head: String = source.lines().take_while(|line| line.starts_with("//")).collect();
    (lines > LONG && !head.contains("one file"))
        .then(|| format!("{file}: {lines} lines, and its head does not say why they are one file"))
}

/// The names in a manifest's table of dependencies.
fn dependencies(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()))
        .collect()
}

/// The checks above on sources that break the plan; each complaint is the file, and then a text that contains `part`.
#[test]
fn what_breaks_the_plan_is_told() {
    let cases = [
        (
            "src/mutation/plan.rs",
            "use crate::{mutation::Outcome, admission};",
            "no arrow goes from mutation to admission",
        ),
        ("src/server/tls.rs", "fn f() { super::super::cli::run() }", "no arrow goes from server to cli"),
        ("src/demo/mod.rs", "use crate::cli;", "no arrow goes from demo to cli"),
        ("src/kitchen/mod.rs", "", "the room kitchen is not in the plan"),
        ("src/cli/mod.rs", "use crate::Error;", "crate::Error is in no room"),
        ("src/main.rs", "use emissary_webhook::server;", "no arrow goes from main to server"),
        ("crates/core/src/edit/mod.rs", "use crate::pod::Pod;", "no arrow goes from edit to pod"),
        ("crates/core/src/pod/executor/pns.rs", "use crate::workflow;", "no arrow goes from pod to workflow"),
        ("src/server/mod.rs", "fn f(c: &reqwest::Client) {}", "reqwest::Client has no place here"),
        ("src/admission/mod.rs", "use kube::Api;", "kube::Api has no place here"),
        ("src/settings/mod.rs", "use std::{env, fs};", "std::env has no place here"),
        (
            "crates/core/src/pod/mod.rs",
            "use std::time::Instant; fn f() { Instant::now(); }",
            "Instant::now has no place here",
        ),
        ("src/certificate/ca.rs", "fn f() { std::time::SystemTime::now(); }", "SystemTime::now has no place here"),
        ("src/cli/serve.rs", "fn f() { unsafe { g() } }", "unsafe has no place here"),
        ("src/cli/serve.rs", "fn f( {", ""),
    ];
    for (file, source, part) in cases {
        let found = complaints(file, source);
        assert_eq!(found.len(), 1, "{file}: {source}: {found:?}");
        assert!(found[0].starts_with(&format!("{file}: ")) && found[0].contains(part), "{found:?} and not {part}");
    }
}

#[test]
fn what_keeps_to_the_plan_is_not() {
    let cases = [
        ("src/cli/serve.rs", "use crate::{server, settings}; use std::env; fn f() { std::time::Instant::now(); }"),
        ("src/main.rs", "fn main() { emissary_webhook::cli::run() }"),
        (
            "src/server/mod.rs",
            "pub(crate) mod tls; use crate::admission::decode; const A: &str = std::env::consts::ARCH;",
        ),
        ("src/server/mod.rs", "#[cfg(test)] mod tests { use crate::demo::Registry; }"),
        ("crates/core/src/workflow/mod.rs", "use crate::pod::Pod; use super::pod::executor;"),
        ("crates/registry/src/transport.rs", "use reqwest::Client; fn f() { std::time::Instant::now(); }"),
    ];
    for (file, source) in cases {
        assert_eq!(complaints(file, source), [""; 0], "{source}");
    }
}

#[test]
fn a_long_file_says_why() {
    let long = "fn f() {}\n".repeat(LONG + 1);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "fn f() {}\n".repeat(LONG));
    let why = "//! A table.\n//!\n//! It is one file because its rows are read together.\n";
    assert_eq!(
        complaints("contract/src/lib.rs", &long),
        ["contract/src/lib.rs: 501 lines, and its head does not say why they are one file"]
    );
    assert_eq!(complaints("contract/src/lib.rs", &format!("{why}{long}")), [""; 0]);
    assert_eq!(complaints("contract/src/lib.rs", &tested), [""; 0]);
}

#[test]
fn dependencies_are_those_of_the_table() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nserde.workspace = true\na = { path = \"a\" }\n\n[dev-dependencies]\nb = \"1\"\n";
    assert_eq!(dependencies(manifest), ["serde", "a"]);
}
