//! The executor that stands in a workflow's pods, beside or around the user's process.
//!
//! This program is small because it is in every pod twice and stays for as long as the user's process runs: no runtime, no
//! network, one thread unless output is captured. It does the verbs that every container needs (`emissary`, `kill`,
//! `artifact-plugin-sidecar`, and of `init` what needs no network). For every other verb it becomes `argoexec-tasks`,
//! which is beside it in the executor's image. `docs/executor.md` is what both do.

mod archive;
mod capture;
mod child;
mod command;
mod dependencies;
mod emissary;
mod environment;
mod init;
mod inputs;
mod kill;
mod outputs;
mod sibling;
mod sys;
mod terminal;
mod wake;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use argoexec_common::{arguments, exit_code, failure, files, shared};
use emissary_contract::verb;

use crate::arguments::Arguments;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::shared::Shared;

const USAGE: &str = "\
usage: argoexec VERB [flags]

  emissary [--loglevel L] -- COMMAND...   run a container's process: forward signals, capture, save outputs
  kill SIGNAL PID                         send a signal
  init                                    put the executor and the template into the shared volume
  artifact-plugin-sidecar -- COMMAND...   run an artifact plugin's process
  version                                 print the version

--root DIR puts every place of the contract below DIR, to try it out outside of a pod; --loglevel debug says what is
being done. Any other verb and flag goes to argoexec-tasks in the same folder.
";

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments = Arguments::parse(line.iter().cloned());
    let shared = Shared::below(arguments.root.as_deref().unwrap_or("/"));
    let environment = Environment::read(std::env::vars_os());
    let ended = match arguments.verb.as_str() {
        verb::EMISSARY => return ExitCode::from(emissary::run(&arguments, &environment, &shared)),
        verb::ARTIFACT_PLUGIN_SIDECAR => emissary::run_plugin(&arguments, &environment, &shared),
        verb::KILL => kill::run(&arguments, &environment, &shared),
        verb::INIT => init::run(&environment, &shared).and_then(|left| match left {
            init::Left::Nothing => Ok(0),
            init::Left::Artifacts => sibling::become_tasks(&line),
        }),
        "version" => say(concat!("argoexec: v", env!("CARGO_PKG_VERSION"), "\n")),
        "help" => say(USAGE),
        "" => Err(Failure::own(USAGE)),
        _ => sibling::become_tasks(&line),
    };
    ExitCode::from(ended.unwrap_or_else(|failure| {
        failure.tell(&shared.termination_log());
        failure.code
    }))
}

fn say(text: &str) -> Result<u8, Failure> {
    // A reader that has left is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(0)
}
