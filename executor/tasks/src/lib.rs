//! What the executor does with a network: it loads a step's inputs, waits for its containers, collects and reports outputs.
//!
//! `argoexec` becomes this program for every verb that it does not do itself (see its `sibling`). One thread and one
//! runtime: it mostly waits, beside the user's process and at the user's cost. `docs/executor.md` is what both do.

mod agent;
mod beneath;
mod data;
mod environment;
pub mod expr;
mod init;
mod pack;
mod pod;
mod report;
mod resource;
mod retry;
mod storage;
mod supervisor;
pub mod unpack;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use argoexec_common::{arguments, failure, files, shared};
use emissary_contract::verb;

use crate::arguments::Arguments;
use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::shared::Shared;

/// The verb that does the work of `init` and `wait`: 4.1, init-less layout.
const SUPERVISOR: &str = "supervisor";
/// The verb of a workflow's agent, which has a word behind it.
const AGENT: &str = "agent";
/// The verb of a data template's main container.
const DATA: &str = "data";
/// The verb of a resource template's main container.
const RESOURCE: &str = "resource";

/// Does what a command line (without the program's name) says, in an environment. A failure has been told when this returns.
pub fn run(line: impl Iterator<Item = OsString>, variables: impl Iterator<Item = (String, String)>) -> ExitCode {
    let arguments = Arguments::parse(line);
    let shared = Shared::below(arguments.root.as_deref().unwrap_or("/"));
    let environment = Environment::read(variables);
    match perform(&arguments, environment, shared.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(&shared.termination_log());
            ExitCode::from(failure.code)
        }
    }
}

fn perform(arguments: &Arguments, environment: Environment, shared: Shared) -> Result<(), Failure> {
    // Containers of other users read and write what is made here.
    rustix::process::umask(rustix::fs::Mode::empty());
    // For libraries that ask for the process's own; a second call would be the only failure.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(|| "cannot start the runtime".to_owned())?;
    let verbose = arguments.verbose;
    match arguments.verb.as_str() {
        verb::INIT => runtime.block_on(init::until_told(&pod::Pod::of_variable(environment, shared, verbose)?)),
        verb::WAIT => runtime.block_on(wait::run(&pod::Pod::of_file(environment, shared, verbose)?)),
        SUPERVISOR => runtime.block_on(supervisor::run(&pod::Pod::of_variable(environment, shared, verbose)?)),
        AGENT => {
            let pod = pod::Pod::of_agent(environment, shared, verbose)?;
            runtime.block_on(agent::run(&pod, arguments.word(0).unwrap_or_default()))
        }
        DATA => runtime.block_on(data::run(&pod::Pod::of_file(environment, shared, verbose)?)),
        RESOURCE => {
            let pod = pod::Pod::of_file(environment, shared, verbose)?;
            runtime.block_on(resource::run(&pod, arguments.word(0).unwrap_or_default()))
        }
        other => Err(Failure::own(format!(
            "argoexec does not know the verb {other:?}; it knows init, wait, supervisor, resource, data and agent"
        ))),
    }
}
