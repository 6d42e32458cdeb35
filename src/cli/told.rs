//! What is told of a review, and what makes it fail.

use super::Exit;
use super::output::{ERROR, WARNING};
use super::review::{Expected, Format};
use crate::manifest;
use crate::review::{
    Baseline, Candidate, Cell, Column, Judgement, Refusal, Report, Row, Verdict, github, json_line, junit, markdown,
    page, policy_reports, sarif, table,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// What is told of a review, and how it ends.
pub(super) struct Told {
    gate: Gate,
    output: Format,
    report: Report,
    exit: Exit,
    progress: ProgressBar,
    stdout: anstream::AutoStream<std::io::StdoutLock<'static>>,
}

impl Told {
    pub(super) fn new(gate: Gate, output: Format, columns: &[Column]) -> Self {
        let stdout = anstream::AutoStream::auto(std::io::stdout()).lock();
        Self { gate, output, report: Report::new(columns), exit: Exit::Fine, progress: progress(), stdout }
    }

    /// What of the policies judges nothing.
    pub(super) fn refused(&mut self, refusals: &[Refusal]) {
        for Refusal { place, policy, why } in refusals {
            anstream::eprintln!("{WARNING} {place}: {policy} judges nothing: {why}");
        }
        if self.gate.strict && !refusals.is_empty() {
            self.exit = self.exit.max(Exit::Unjudged);
        }
    }

    /// An input that is none.
    pub(super) fn wrong(&mut self, problem: &manifest::Problem) {
        anstream::eprintln!("{ERROR} {problem}");
        self.exit = self.exit.max(Exit::BadInput);
    }

    /// What is said of a pod.
    pub(super) fn tell(&mut self, candidate: &Candidate, row: &Arc<Row>) -> std::io::Result<()> {
        self.progress.inc(1);
        self.exit = self.exit.max(self.gate.judge(candidate, row));
        if self.output != Format::Jsonl {
            self.report.add(candidate, row);
            return Ok(());
        }
        for cell in row.iter() {
            for judgement in &cell.judgements {
                writeln!(self.stdout, "{}", json_line(candidate, cell.column, judgement))?;
            }
        }
        Ok(())
    }

    /// Prints what is left to print, and says how it ends.
    pub(super) fn finish(self, stopped: BTreeMap<String, String>) -> anyhow::Result<Exit> {
        let Self { output, report, exit, progress, mut stdout, gate: _ } = self;
        progress.finish_and_clear();
        let text = match output {
            Format::Jsonl => String::new(),
            Format::Table => table(&report),
            Format::Json => report.json()?,
            Format::Html => page(&report)?,
            Format::Markdown => markdown(&report),
            Format::Sarif => sarif(&report, env!("CARGO_PKG_VERSION")).to_string() + "\n",
            Format::Junit => junit(&report),
            Format::Github => github(&report),
            Format::PolicyReport => policy_reports(&report),
        };
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        for (what, why) in stopped {
            anstream::eprintln!("{WARNING} {what}: unknown from here on: {why}");
        }
        Ok(exit)
    }
}

/// What makes a review fail.
pub(super) struct Gate {
    pub(super) baseline: Option<Baseline>,
    pub(super) expect: Vec<Expected>,
    pub(super) strict: bool,
}

impl Gate {
    fn judge(&self, candidate: &Candidate, row: &Row) -> Exit {
        let Self { baseline, expect, strict } = self;
        let exit = |cell: &Cell, judgement: &Judgement| match judgement.verdict {
            Verdict::Denied
                if baseline.as_ref().is_some_and(|known| known.knows(candidate, cell.column, judgement)) =>
            {
                Exit::Fine
            }
            Verdict::Denied if !expect.is_empty() && !expect.iter().any(|one| one.is_about(cell, judgement)) => {
                Exit::Fine
            }
            Verdict::Denied => Exit::Denied,
            Verdict::Unknown if *strict => Exit::Unjudged,
            _ => Exit::Fine,
        };
        let all = row.iter().flat_map(|cell| cell.judgements.iter().map(move |judgement| exit(cell, judgement)));
        all.max().unwrap_or(Exit::Fine)
    }
}

/// How far it is, for who looks on; nothing where nobody does.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} pods reviewed, {per_sec}");
    let progress = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    // On standard error, and drawn on a terminal only.
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}
