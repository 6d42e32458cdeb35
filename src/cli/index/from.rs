use super::asker::Asker;
use super::destination::Destination;
use crate::cli::Exit;
use crate::cli::look_ups::LookUpArguments;
use crate::cli::output::{ERROR, WARNING};
use crate::cli::settings::SettingsArguments;
use crate::{index, manifest};
use clap::Args;
use std::path::PathBuf;

/// Adds all images that manifests name without a command.
///
/// They are looked up, and what they run is written into an index file.
///
/// Containers are found in pods, in pod templates of any kind, and in all templates of workflow kinds, inline ones
/// included.
///
/// Exit code 0: all are in the file; 1: one was not found, or the file says something else; 2: bad input.
#[derive(Debug, Args)]
pub(super) struct From {
    /// Manifests, folders of them (searched to the bottom for .yaml, .yml and .json), or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

impl From {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let Self { paths, destination, settings, look_ups } = self;
        let (mut images, mut exit) = (Vec::<String>::new(), Exit::Fine);
        for document in manifest::read(index::files(&paths)?, std::io::stdin()) {
            let document = match document {
                Ok(document) => document,
                Err(problem) => {
                    anstream::eprintln!("{ERROR} {problem}");
                    exit = Exit::BadInput;
                    continue;
                }
            };
            for image in index::images(&document.value) {
                if image.contains("{{") {
                    let place = &document.place;
                    anstream::eprintln!(
                        "{WARNING} {place}: image {image} has parameters and is left out; add by name what it becomes"
                    );
                } else if !images.iter().any(|known| known == image) {
                    images.push(image.to_owned());
                }
            }
        }
        if images.is_empty() {
            anstream::eprintln!("{WARNING} no container without a command was found");
            return Ok(exit);
        }
        let (asker, snapshot) = Asker::new(&settings, &look_ups, false)?;
        Ok(exit.max(super::add::look_up(images, &asker, &snapshot, &destination).await?))
    }
}
