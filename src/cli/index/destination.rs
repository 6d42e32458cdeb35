use super::INDEX;
use crate::cli::Exit;
use crate::cli::output::{ERROR, GREEN, RED, Styled, WARNING};
use crate::cli::settings::report;
use crate::index::{Addition, Change, Edited, add, line};
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where entries go.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// The index file; made where there is none, and what it holds stays as it was typed. `-` prints the entries.
    #[arg(long, value_name = "FILE", default_value = INDEX)]
    file: PathBuf,
    /// Replace entries that say something else.
    #[arg(long)]
    pub(super) force: bool,
    /// Write keys with the image's digest, which match only pods that name it by that digest.
    #[arg(long)]
    pub(super) pin: bool,
}

impl Destination {
    /// Writes the entries and says what became of each.
    pub(super) fn write(&self, additions: &[Addition]) -> anyhow::Result<Exit> {
        let Self { file, force, pin: _ } = self;
        if file == Path::new("-") {
            let mut stdout = std::io::stdout().lock();
            for text in distinct(additions)?.text.lines() {
                writeln!(stdout, "{text}")?;
            }
            return Ok(Exit::Fine);
        }
        let (name, text) = match file.try_exists() {
            Ok(false) => (file.display().to_string().into(), String::new()),
            _ => super::read(file)?,
        };
        let Edited { text: edited, changes } =
            add(&text, &name, additions, *force).map_err(|problems| report(&problems))?;
        if edited != text {
            replace(file, &edited).with_context(|| format!("{name}: cannot be written"))?;
        }
        let mut exit = Exit::Fine;
        let (mut added, mut same, mut replaced) = (0, 0, 0);
        for (Addition { key, entry }, change) in additions.iter().zip(changes) {
            let after = line(key, entry);
            match change {
                Change::Added => added += 1,
                Change::Same => same += 1,
                Change::Replaced { before } => {
                    replaced += 1;
                    anstream::eprintln!("{WARNING} {name}: {key} is replaced");
                    difference(&before, &after);
                }
                Change::Differs { place, before } => {
                    exit = Exit::Denied;
                    anstream::eprintln!("{ERROR} {place}: {key} says something else, and stays; --force replaces it");
                    difference(&before, &after);
                }
            }
        }
        anstream::eprintln!("{name}: {added} added, {replaced} replaced, {same} there already");
        Ok(exit)
    }
}

/// The entries as a new file has them: an image that is named twice is one entry.
fn distinct(additions: &[Addition]) -> anyhow::Result<Edited> {
    let name: Arc<str> = "the entries".into();
    add("", &name, additions, false).map_err(|problems| report(&problems))
}

fn difference(before: &str, after: &str) {
    let (before, after) = (format!("- {before}"), format!("+ {after}"));
    anstream::eprintln!("  {}\n  {}", Styled(RED, before), Styled(GREEN, after));
}

/// Puts a file in place of another whole, so that a reader (a running webhook among them) sees one or the other.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    // What stands behind a link is replaced, and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".image-index").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = std::fs::metadata(&path) {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
