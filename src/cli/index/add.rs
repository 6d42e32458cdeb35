use super::asker::Asker;
use super::destination::Destination;
use crate::cli::Exit;
use crate::cli::look_ups::LookUpArguments;
use crate::cli::output::{ERROR, WARNING};
use crate::cli::settings::SettingsArguments;
use crate::index::{Addition, entry_of};
use crate::settings::Snapshot;
use clap::Args;
use emissary_core::image::Reference;
use emissary_registry::Resolved;
use futures_util::StreamExt;
use std::pin::pin;

/// Looks images up and writes what they run into an index file.
///
/// Platforms are written apart only where they differ. What --image-index and the settings' index files have already is
/// left out, unless --force is given.
///
/// Exit code 0: all are in the file; 1: one was not found, or the file says something else; 2: bad input.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Image names, as pods write them.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

impl Add {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let Self { images, destination, settings, look_ups } = self;
        let (asker, snapshot) = Asker::new(&settings, &look_ups, false)?;
        look_up(images, &asker, &snapshot, &destination).await
    }
}

/// Looks images up, and writes those that were found.
pub(super) async fn look_up(
    images: Vec<String>,
    asker: &Asker,
    snapshot: &Snapshot,
    destination: &Destination,
) -> anyhow::Result<Exit> {
    let (mut asked, mut exit) = (Vec::new(), Exit::Fine);
    for image in images {
        match Reference::parse(&image) {
            Ok(reference) => match snapshot.index.find(&reference).filter(|_| !destination.force) {
                Some(hit) => anstream::eprintln!("{WARNING} {image}: left out, since {} has it already", hit.key),
                None => asked.push((image, reference)),
            },
            Err(error) => {
                anstream::eprintln!("{ERROR} {error}");
                exit = Exit::BadInput;
            }
        }
    }
    let mut additions = Vec::new();
    let mut answers = pin!(asker.all(asked));
    while let Some((image, answer)) = answers.next().await {
        match answer {
            Ok(resolved) => additions.push(addition(image, &resolved, destination.pin)),
            Err(failure) => {
                anstream::eprintln!("{ERROR} {image}: {failure}");
                exit = exit.max(Exit::Denied);
            }
        }
    }
    if additions.is_empty() {
        return Ok(exit);
    }
    Ok(exit.max(destination.write(&additions)?))
}

fn addition(image: String, resolved: &Resolved, pin: bool) -> Addition {
    let processes: Vec<_> =
        resolved.processes.iter().map(|(platform, _, process)| (platform.clone(), process.clone())).collect();
    let key = if pin && !image.contains('@') { format!("{image}@{}", resolved.digest) } else { image };
    Addition { key, entry: entry_of(&processes) }
}
