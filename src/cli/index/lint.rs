use super::INDEX;
use crate::cli::Exit;
use crate::cli::output::{Styled, YELLOW};
use crate::index::{Finding, lint};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Finds what in index files was not meant so.
///
/// With file, line and column: what is malformed, images that two files name, globs that another always beats, globs that
/// no image's name can match.
///
/// Several files are checked as they are merged: the first goes before the others.
///
/// Exit code 0: nothing found; 1: findings; 2: a file cannot be read.
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// Index files, in the order of their precedence.
    #[arg(value_name = "FILE", default_value = INDEX)]
    files: Vec<PathBuf>,
    /// Find also what can change under its name: globs, and tags that are no full version.
    #[arg(long)]
    immutable: bool,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a finding, as compilers write them.
    Text,
    /// For programs: a list with an object a finding.
    Json,
}

impl Lint {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { files, immutable, output } = self;
        let texts = files.iter().map(|file| super::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        let findings = lint(&texts, immutable);
        let mut stdout = anstream::AutoStream::auto(std::io::stdout()).lock();
        match output {
            Format::Text => {
                for Finding { rule, problem } in &findings {
                    let rule = Styled(YELLOW, rule.word());
                    writeln!(stdout, "{}: {rule}: {}", problem.place, problem.text)?;
                }
            }
            Format::Json => {
                let all = findings.iter().map(|Finding { rule, problem }| {
                    let place = &problem.place;
                    json!({"file": &*place.source, "line": place.line, "column": place.column, "rule": rule.word(), "message": problem.text})
                });
                let all: Vec<_> = all.collect();
                writeln!(stdout, "{}", serde_json::to_string_pretty(&all)?)?;
            }
        }
        Ok(if findings.is_empty() { Exit::Fine } else { Exit::Denied })
    }
}
