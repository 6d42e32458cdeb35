use super::Exit;
use clap::Args;

/// Tries it all on this machine.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Leave it serving until interrupted, and print a curl line to try.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { keep: _ } = self;
        Ok(Exit::Fine)
    }
}
