use super::destination::Destination;
use crate::cli::Exit;
use crate::cli::output::{ERROR, WARNING};
use crate::cli::settings::report;
use crate::index::{Addition, Image, entry_of, import};
use crate::settings::read_index;
use clap::Args;
use emissary_core::image::Reference;
use std::path::PathBuf;

/// Takes entries from Argo's configuration or from images on disk.
///
/// No registry is asked. Sources are Argo's workflow-controller ConfigMap (or any other index file), an OCI image layout as a
/// folder or a tar, and what docker save or skopeo's docker-archive wrote.
///
/// Of archives only manifests and configurations are read, and verified by their digests; nothing is unpacked.
///
/// Exit code 0: all are in the file; 1: the file says something else; 2: bad input.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files, archives and folders.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// What an image without a name is called, such as quay.io/team/app:1; without a tag, for those that have only one.
    #[arg(long, value_name = "IMAGE")]
    name: Option<String>,
    #[command(flatten)]
    destination: Destination,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { sources, name, destination } = self;
        let (mut additions, mut exit) = (Vec::new(), Exit::Fine);
        for source in &sources {
            match import(source)? {
                Some(images) => {
                    if images.is_empty() {
                        anstream::eprintln!("{WARNING} {}: holds no image", source.display());
                    }
                    for image in images {
                        match of_image(&image, name.as_deref(), destination.pin) {
                            Ok(found) => additions.extend(found),
                            Err(error) => {
                                anstream::eprintln!("{ERROR} {}: {error}", source.display());
                                exit = Exit::BadInput;
                            }
                        }
                    }
                }
                None => {
                    let (file, text) = super::read(source)?;
                    let (index, problems) = read_index(&text, &file);
                    if !problems.is_empty() {
                        return Err(report(&problems));
                    }
                    if index.index.is_empty() {
                        anstream::eprintln!("{WARNING} {file}: holds no entries");
                    }
                    let entries = index.index.iter();
                    additions.extend(entries.map(|hit| Addition { key: hit.key.to_owned(), entry: hit.entry.clone() }));
                }
            }
        }
        if additions.is_empty() {
            return Ok(exit);
        }
        Ok(exit.max(destination.write(&additions)?))
    }
}

fn of_image(image: &Image, given: Option<&str>, pin: bool) -> Result<Vec<Addition>, String> {
    let Image { names, digest, processes } = image;
    let mut keys = Vec::new();
    for name in names {
        // A layout may hold only the tag, and a tag alone would be taken for an image of Docker Hub.
        let is_whole = name.contains(['/', ':', '@']);
        match given {
            Some(given) if !is_whole => keys.push(format!("{given}:{name}")),
            None if !is_whole => return Err(format!("an image is called only {name:?}; give --name REPOSITORY")),
            _ => keys.push(name.clone()),
        }
    }
    if keys.is_empty() {
        keys.push(given.ok_or("an image has no name; give --name IMAGE")?.to_owned());
    }
    let entry = entry_of(processes);
    let addition = |key: String| {
        let key = match digest {
            _ if !pin || key.contains('@') => key,
            Some(digest) => format!("{key}@{digest}"),
            None => return Err(format!("{key}: a docker archive does not hold the image's digest; leave --pin out")),
        };
        Reference::parse(&key).map_err(|error| error.to_string())?;
        Ok(Addition { key, entry: entry.clone() })
    };
    keys.into_iter().map(addition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gets_the_names_that_it_has_or_is_given() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = format!("a:1@{digest}");
        type Row<'a> = (&'a [&'a str], Option<&'a str>, bool, Result<&'a [&'a str], &'a str>);
        let table: [Row<'_>; 7] = [
            (&["a:1", "quay.io/b"], None, false, Ok(&["a:1", "quay.io/b"])),
            (&["1.2"], Some("quay.io/x"), false, Ok(&["quay.io/x:1.2"])),
            (&["1.2"], None, false, Err("give --name REPOSITORY")),
            (&[], Some("quay.io/x:1"), false, Ok(&["quay.io/x:1"])),
            (&[], None, false, Err("give --name IMAGE")),
            (&["a:1"], None, true, Ok(&[&pinned])),
            (&["A:1"], None, false, Err("upper-case")),
        ];
        for (names, given, pin, expected) in table {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let image = Image { names, digest: digest.parse().ok(), processes: Vec::new() };
            match (of_image(&image, given, pin), expected) {
                (Ok(found), Ok(keys)) => assert_eq!(found.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(), keys),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        }
        let saved = Image { names: vec!["a:1".to_owned()], digest: None, processes: Vec::new() };
        assert!(of_image(&saved, None, true).unwrap_err().contains("leave --pin out"));
    }
}
