//! Whatever reads strangers' bytes, one function each: `cargo test -p fuzz-targets` calls them with changed seeds for a few
//! seconds, `cargo fuzz run NAME` (in `fuzz/`, with a nightly compiler) for as long as one likes.
//!
//! A target panics where something is wrong: the parser itself has, or what it gave breaks a promise that its documentation
//! makes. Otherwise any bytes may be accepted or refused.
#![warn(missing_docs)]

mod executor;
mod webhook;

/// Something that reads strangers' bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What cargo-fuzz calls it, and the name of its folder of seeds in `fuzz/corpus`.
    pub name: &'static str,
    /// Reads some.
    pub run: fn(&[u8]),
    /// How often the test calls it: fewer where files are made.
    pub cases: usize,
}

/// Calls of a target that works in memory.
const FAST: usize = 5_000;
/// Calls of a target that makes files.
const SLOW: usize = 300;

/// All of them.
pub const TARGETS: [Target; 14] = [
    Target { name: "tar", run: executor::tar, cases: SLOW },
    Target { name: "zip", run: executor::zip, cases: SLOW },
    Target { name: "template", run: executor::template, cases: FAST },
    Target { name: "expression", run: executor::expression, cases: FAST },
    Target { name: "arguments", run: executor::arguments, cases: FAST },
    Target { name: "command_line", run: executor::command_line, cases: FAST },
    Target { name: "review", run: webhook::review, cases: FAST },
    Target { name: "pod", run: webhook::pod, cases: FAST },
    Target { name: "workflow", run: webhook::workflow, cases: FAST },
    Target { name: "image_index", run: webhook::image_index, cases: FAST },
    Target { name: "reference", run: webhook::reference, cases: FAST },
    Target { name: "hosts", run: webhook::hosts, cases: SLOW },
    Target { name: "challenge", run: webhook::challenge, cases: FAST },
    Target { name: "manifest", run: webhook::manifest, cases: FAST },
];

/// Calls the target of that name.
///
/// # Panics
/// Where there is none, or as the target does.
#[expect(clippy::panic, reason = "a fuzzer is told of what it looks for by a panic")]
pub fn run(name: &str, bytes: &[u8]) {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => (target.run)(bytes),
        None => panic!("no target {name}"),
    }
}
