//! Cargo, called by a program that cargo itself runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

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

/// The repository's root.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize()?)
}

/// Flags for the compiler, as `CARGO_ENCODED_RUSTFLAGS` has them: these, and those by which no path of this machine gets into
/// a program.
///
/// # Errors
/// Where cargo has no home.
pub(crate) fn without_paths(flags: &[&str]) -> anyhow::Result<String> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or(home).context("neither CARGO_HOME nor HOME is set")?;
    let places = [(cargo, "/cargo"), (root()?, "/src")];
    let remaps = places.map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display()));
    Ok(flags.iter().copied().chain(remaps.iter().map(String::as_str)).collect::<Vec<_>>().join("\u{1f}"))
}
