//! A file a verb: arguments, rendering, colours. What a verb does is done in the other rooms.

mod api_server;
mod certificates;
mod config_maps;
mod cross_check;
mod demo;
mod doctor;
mod from_cluster;
mod index;
mod live_review;
mod look_ups;
mod objects;
mod output;
mod prefetch;
mod registries;
mod replay;
mod resolve;
mod review;
mod rewrite;
mod serve;
mod settings;
mod surroundings;
mod told;
mod workflow_labels;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Admission webhook that makes workflow pods runnable by Argo's emissary executor.
#[derive(Debug, Parser)]
#[command(name = "emissary-webhook", version, max_term_width = 120, infer_subcommands = false)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

// What a verb's help says stands on its arguments: a comment here would go before it, and hide all but itself.
#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    Rewrite(rewrite::Rewrite),
    Review(Box<review::Review>),
    #[command(name = "judge-for-a-review", hide = true)]
    Judge(review::Judge),
    Resolve(resolve::Resolve),
    Index(index::Index),
    Doctor(Box<doctor::Examine>),
    Demo(demo::Demo),
}

/// How a verb ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: all is well.
    Fine,
    /// 1: something was denied, or is not as it should be.
    Denied,
    /// 2: bad input or usage.
    BadInput,
    /// 3: something could not be judged.
    Unjudged,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Denied => Self::from(1),
            Exit::BadInput => Self::from(2),
            Exit::Unjudged => Self::from(3),
        }
    }
}

/// Runs a verb that waits for registries.
fn block_on(verb: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(verb)
}

/// Reads the command line, runs the verb, and says what went wrong.
pub fn run() -> ExitCode {
    // The process default is for libraries that insist on one; everything of ours passes the provider on.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Cli { verb } = Cli::parse();
    let result = match verb {
        Verb::Serve(serve) => serve.run(),
        Verb::Rewrite(rewrite) => rewrite.run(),
        Verb::Review(review) => review.run(),
        Verb::Judge(judge) => judge.run(),
        Verb::Resolve(resolve) => resolve.run(),
        Verb::Index(index) => index.run(),
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Demo(demo) => demo.run(),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{} {error:#}", output::ERROR);
            Exit::BadInput.into()
        }
    }
}
