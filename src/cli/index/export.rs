use super::INDEX;
use crate::cli::Exit;
use crate::cli::output::WARNING;
use crate::cli::settings::report;
use crate::index::{Argo, argo, config_maps};
use crate::settings::read_index;
use clap::{Args, ValueEnum};
use emissary_core::image::ImageIndex;
use std::io::Write;
use std::path::PathBuf;

/// Writes an index for a cluster: ConfigMaps, or Argo's own images.
///
/// ConfigMaps take at most 200 KiB each and are for kubectl apply; the other is the key images of Argo's workflow-controller
/// ConfigMap. Both go to standard output.
///
/// Several files are merged: the first goes before the others. Argo compares names as workflows write them, so globs
/// and digests without a name are left out of its map, and said.
///
/// Exit code 0: all is written; 1: something was left out; 2: bad input.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Index files, in the order of their precedence.
    #[arg(value_name = "FILE", default_value = INDEX)]
    files: Vec<PathBuf>,
    /// For whom.
    #[arg(long, value_enum, default_value_t = Format::Configmap)]
    format: Format,
    /// Argo's version, which decides the names of the lists.
    #[arg(long, value_name = "X.Y", default_value = "3.4", value_parser = version)]
    argo_version: Argo,
    /// What the ConfigMaps' names start with.
    #[arg(long, default_value = "image-index")]
    name: String,
    /// The ConfigMaps' namespace; without it that of kubectl's context.
    #[arg(short, long)]
    namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ConfigMaps image-index-000 and on.
    Configmap,
    /// Argo's map of images.
    Argo,
}

fn version(text: &str) -> Result<Argo, String> {
    let mut parts = text.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(3)), Some(Ok(1..=3))) => Ok(Argo::UpTo33),
        (Some(Ok(3)), Some(Ok(4..))) => Ok(Argo::From34),
        (Some(Ok(4..)), None | Some(Ok(_))) => Ok(Argo::From34),
        _ => Err("give a version that has the map, 3.1 or later, such as 3.6".to_owned()),
    }
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { files, format, argo_version, name, namespace } = self;
        let (mut merged, mut exit) = (ImageIndex::default(), Exit::Fine);
        for file in &files {
            let (source, text) = super::read(file)?;
            let (index, problems) = read_index(&text, &source);
            if !problems.is_empty() {
                return Err(report(&problems));
            }
            for problem in merged.merge(&index.index) {
                anstream::eprintln!("{WARNING} {source}: {problem}; the first counts");
            }
        }
        let mut stdout = std::io::stdout().lock();
        match format {
            Format::Configmap => {
                let shards = config_maps(&merged, &name, namespace.as_deref());
                stdout.write_all(shards.join("---\n").as_bytes())?;
                anstream::eprintln!("{} entries in {} ConfigMaps", merged.len(), shards.len());
            }
            Format::Argo => {
                let (text, left) = argo(&merged, argo_version);
                stdout.write_all(text.as_bytes())?;
                for one in &left {
                    anstream::eprintln!("{WARNING} {}: left out: {}", one.key, one.why);
                    exit = Exit::Denied;
                }
            }
        }
        Ok(exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_decides_the_names() {
        for (text, expected) in [
            ("3.1", Some(Argo::UpTo33)),
            ("v3.3.10", Some(Argo::UpTo33)),
            ("3.4", Some(Argo::From34)),
            ("3.10", Some(Argo::From34)),
            ("v4.1.2", Some(Argo::From34)),
            ("4", Some(Argo::From34)),
            ("3.0", None),
            ("3", None),
            ("new", None),
        ] {
            assert_eq!(version(text).ok(), expected, "{text}");
        }
    }
}
