use super::INDEX;
use super::asker::Asker;
use crate::cli::Exit;
use crate::cli::look_ups::LookUpArguments;
use crate::cli::output::Format;
use crate::cli::settings::{SettingsArguments, report};
use crate::index::compare;
use crate::manifest::Place;
use crate::settings::read_index;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use emissary_core::image::{ImageProcess, IndexEntry, Reference};
use futures_util::StreamExt;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;

/// Compares index files with the registries.
///
/// Every entry that names one image is looked up, and shown where the registry says something else.
///
/// Globs and digests without a name stand for no one image and are left out.
///
/// Exit code 0: no drift; 1: drift; 2: bad input; 3: no drift, but an image could not be looked up.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Index files; those of --image-index are verified too.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

/// What came of one entry. The names are part of the interface.
#[derive(Debug, Serialize)]
struct Verdict {
    /// The key as written.
    key: String,
    file: String,
    line: u64,
    column: u64,
    /// `same`, `drift`, `unknown` (it could not be looked up) or `skipped`.
    state: &'static str,
    /// Of what the registry has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    platform: String,
    index: Words,
    /// Null where the image does not have the platform.
    registry: Option<Words>,
}

#[derive(Debug, Serialize)]
struct Words {
    entrypoint: Vec<String>,
    cmd: Vec<String>,
}

impl Words {
    fn of(process: &ImageProcess) -> Self {
        Self { entrypoint: process.entrypoint.clone(), cmd: process.cmd.clone() }
    }

    fn text(&self) -> String {
        let json = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
        format!("{} {}", json(&self.entrypoint), json(&self.cmd))
    }
}

impl Verdict {
    fn new(key: String, place: Place, state: &'static str) -> Self {
        let Place { source, line, column } = place;
        let file = source.to_string();
        Self { key, file, line, column, state, digest: None, why: None, differences: Vec::new() }
    }
}

impl Verify {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let Self { mut files, output, settings, look_ups } = self;
        files.extend(look_ups.image_index.iter().cloned());
        if files.is_empty() {
            files.push(INDEX.into());
        }
        // The files' own entries must not answer for the registry.
        let (asker, _) = Asker::new(&settings, &look_ups, true)?;
        let mut verdicts = Vec::new();
        let mut asked: Vec<((usize, IndexEntry), Reference)> = Vec::new();
        for file in &files {
            let (name, text) = super::read(file)?;
            let (index, problems) = read_index(&text, &name);
            if !problems.is_empty() {
                return Err(report(&problems));
            }
            for (hit, place) in index.index.iter().zip(&index.places) {
                match reference(hit.key) {
                    Ok(reference) => {
                        asked.push(((verdicts.len(), hit.entry.clone()), reference));
                        verdicts.push(Verdict::new(hit.key.to_owned(), place.clone(), "same"));
                    }
                    Err(why) => verdicts.push(Verdict {
                        why: Some(why.to_owned()),
                        ..Verdict::new(hit.key.to_owned(), place.clone(), "skipped")
                    }),
                }
            }
        }
        let mut answers = pin!(asker.all(asked));
        while let Some(((at, entry), answer)) = answers.next().await {
            let Some(verdict) = verdicts.get_mut(at) else { continue };
            match answer {
                Ok(resolved) => {
                    let processes: Vec<_> =
                        resolved.processes.iter().map(|(p, _, process)| (p.clone(), process.clone())).collect();
                    verdict.digest = Some(resolved.digest.to_string());
                    verdict.differences = compare(&entry, &processes, &asker.platforms)
                        .into_iter()
                        .map(|one| Shown {
                            platform: one.platform.to_string(),
                            index: Words::of(&one.written),
                            registry: one.found.as_ref().map(Words::of),
                        })
                        .collect();
                    if !verdict.differences.is_empty() {
                        verdict.state = "drift";
                    }
                }
                Err(failure) => (verdict.state, verdict.why) = ("unknown", Some(failure)),
            }
        }
        let any = |state| verdicts.iter().any(|verdict| verdict.state == state);
        let exit = match (any("drift"), any("unknown")) {
            (true, _) => Exit::Denied,
            (false, true) => Exit::Unjudged,
            (false, false) => Exit::Fine,
        };
        print(&verdicts, output)?;
        Ok(exit)
    }
}

/// The one image that a key names.
fn reference(key: &str) -> Result<Reference, &'static str> {
    if key.contains('*') {
        return Err("a glob");
    }
    if key.starts_with("sha256:") || key.starts_with("sha512:") {
        return Err("a digest without a name");
    }
    Reference::parse(key).map_err(|_| "no image name")
}

fn print(verdicts: &[Verdict], output: Format) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if output == Format::Json {
        serde_json::to_writer_pretty(&mut stdout, verdicts)?;
        writeln!(stdout)?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["ENTRY", "KEY", "STATE", "PLATFORM", "INDEX", "REGISTRY"]);
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for verdict in verdicts.iter().filter(|verdict| matches!(verdict.state, "drift" | "unknown")) {
        let Verdict { key, file, line, state, why, differences, .. } = verdict;
        let row = |platform: &str, index: String, registry: String| {
            [format!("{file}:{line}"), key.clone(), (*state).to_owned(), platform.to_owned(), index, registry]
        };
        if let Some(why) = why {
            table.add_row(row("", String::new(), why.clone()));
        }
        for Shown { platform, index, registry } in differences {
            let registry = registry.as_ref().map_or_else(|| "no such platform".to_owned(), Words::text);
            table.add_row(row(platform, index.text(), registry));
        }
    }
    if !table.is_empty() {
        for line in table.lines() {
            writeln!(stdout, "{}", line.trim_end())?;
        }
    }
    let count = |state| verdicts.iter().filter(|verdict| verdict.state == state).count();
    anstream::eprintln!(
        "{} same, {} drifted, {} unknown, {} skipped",
        count("same"),
        count("drift"),
        count("unknown"),
        count("skipped")
    );
    Ok(())
}
