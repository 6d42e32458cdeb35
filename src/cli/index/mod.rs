//! Verbs about image index files, a file each.

mod add;
mod asker;
mod destination;
mod export;
mod from;
mod import;
mod lint;
mod verify;

use super::Exit;
use clap::{Args, Subcommand};
use std::path::Path;
use std::sync::Arc;

/// Makes, checks and carries image indexes: files that say what images run, so that no registry need be asked.
#[derive(Debug, Args)]
pub(super) struct Index {
    #[command(subcommand)]
    verb: Verb,
}

/// What each is for stands at its arguments, from where the whole text goes into its help.
#[derive(Debug, Subcommand)]
enum Verb {
    Add(add::Add),
    From(from::From),
    Verify(verify::Verify),
    Lint(lint::Lint),
    Import(import::Import),
    Export(export::Export),
}

/// The index file that verbs work on where none is named.
const INDEX: &str = "image-index.yaml";

impl Index {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.verb {
            Verb::Add(add) => super::block_on(add.run()),
            Verb::From(from) => super::block_on(from.run()),
            Verb::Verify(verify) => super::block_on(verify.run()),
            Verb::Lint(lint) => lint.run(),
            Verb::Import(import) => import.run(),
            Verb::Export(export) => export.run(),
        }
    }
}

/// The longest index file that is read, as for `serve`.
const LONGEST: u64 = 64 << 20;

/// A file's name for messages, and its text.
fn read(path: &Path) -> anyhow::Result<(Arc<str>, String)> {
    use anyhow::Context;
    use std::io::Read;
    let name: Arc<str> = path.display().to_string().into();
    let cannot = || format!("{name}: cannot be read");
    let mut text = String::new();
    std::fs::File::open(path).with_context(cannot)?.take(LONGEST + 1).read_to_string(&mut text).with_context(cannot)?;
    anyhow::ensure!(text.len() as u64 <= LONGEST, "{name}: is longer than {} MiB", LONGEST >> 20);
    Ok((name, text))
}
