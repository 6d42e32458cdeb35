//! Cargo, called by a program that cargo itself runs.

use std::env;
use std::process::Command;

/// Cargo as a shell would run it.
///
/// `cargo run` describes this package in the environment. Build scripts that watch those variables (ring's does) would run
/// again, and all that depends on them be built anew, each time that a task and a shell take turns.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}
