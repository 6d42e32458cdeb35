use super::model::{Report, ReportCell, ReportChange, ReportException, ReportRow};
use crate::review::verdict::Verdict;
use std::fmt::Write as _;

/// How many names of pods, and how many exceptions, are told before the rest is counted.
const TOLD: usize = 3;

/// From how many columns on a line is short of room, and how long a title then is.
const WIDE: usize = 4;
const TITLE: usize = 36;

/// The matrix, then what stands against each row and what would help. Verdicts are in colours, which the terminal's writer
/// takes off where nobody sees them.
pub fn table(report: &Report) -> String {
    let mut lines = vec![vec!["NAMESPACE".to_owned(), "PODS".to_owned()]];
    let head = lines.iter_mut().take(1);
    head.for_each(|head| head.extend(report.executors.iter().map(|executor| executor.to_uppercase())));
    for row in &report.rows {
        let title = if report.executors.len() < WIDE { row.title() } else { row.short_title() };
        let mut line = vec![row.namespace.clone(), title];
        let words = row.by_executor(&report.executors).map(|cell| cell.map_or("–", |cell| cell.verdict.as_str()));
        line.extend(words.map(str::to_owned));
        lines.push(line);
    }
    let columns = report.executors.len() + 2;
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let mut padded = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let (on, off) = if at > 0 && column > 1 { (colour(cell), "\x1b[0m") } else { ("", "") };
            let space = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
            padded.extend([on, cell, off, &space]);
        }
        text.extend([padded.trim_end(), "\n"]);
    }
    for row in &report.rows {
        let mut rest: Vec<&ReportCell> = row.cells.iter().collect();
        while let Some(first) = rest.first().copied() {
            // What is said alike is told once.
            let (same, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|cell| cell.says_the_same(first));
            details(row, &same, &mut text);
            rest = others;
        }
    }
    text
}

fn colour(verdict: &str) -> &'static str {
    match verdict {
        "allowed" => "\x1b[32m",
        "denied" | "wont-start" => "\x1b[31m",
        "–" => "",
        _ => "\x1b[33m",
    }
}

impl ReportRow {
    /// `pod/a, pod/b and 3 more`.
    pub(super) fn title(&self) -> String {
        let names: Vec<&str> = self.pods.iter().take(TOLD).map(|pod| pod.pod.as_str()).collect();
        match self.pods.len().saturating_sub(TOLD) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

impl ReportRow {
    /// `pod/a +4`, with its end where it is long: templates have their names there.
    fn short_title(&self) -> String {
        let name = self.pods.first().map(|pod| pod.pod.as_str()).unwrap_or_default();
        let length = name.chars().count();
        let name = match length.checked_sub(TITLE) {
            None | Some(0) => name.to_owned(),
            Some(over) => "…".chars().chain(name.chars().skip(over + 1)).collect(),
        };
        match self.pods.len() {
            0 | 1 => name,
            several => format!("{name} +{}", several - 1),
        }
    }
}

impl ReportCell {
    fn says_the_same(&self, other: &Self) -> bool {
        let Self { executor: _, verdict, judgements, change, conflicts, exceptions } = self;
        let advice = (&other.change, &other.conflicts, &other.exceptions);
        (verdict, judgements) == (&other.verdict, &other.judgements) && (change, conflicts, exceptions) == advice
    }
}

/// What is said of a row for executors for which the same is said.
fn details(row: &ReportRow, cells: &[&ReportCell], text: &mut String) {
    let Some(ReportCell { executor: _, verdict, judgements, change, conflicts, exceptions }) = cells.first() else {
        return;
    };
    if verdict == Verdict::Allowed.name() {
        return;
    }
    let executors = cells.iter().map(|cell| cell.executor.as_str()).collect::<Vec<_>>().join(", ");
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(&format!("\n{} in {}, {executors}: {verdict}", row.title(), row.namespace));
    for one in judgements.iter().filter(|one| one.verdict != Verdict::Allowed.name()) {
        let mut head = format!("  {} by {} {} ({}", one.verdict, one.engine, one.policy, one.stage);
        // Nothing is written that could fail.
        let _ = one.blame.iter().try_for_each(|blame| write!(head, ", by {blame}"));
        line(&(head + "):"));
        one.message.lines().for_each(|message| line(&format!("    {message}")));
        one.causes.iter().for_each(|cause| line(&format!("    because of {cause}")));
    }
    if let Some(ReportChange { settings, clears, .. }) = change {
        line(&format!("  tried: --set '{}' clears {}", settings.join("' --set '"), clears.join(", ")));
    }
    for ReportChange { settings, clears, breaks } in conflicts {
        let (settings, clears, breaks) = (settings.join(" "), clears.join(", "), breaks.join(", "));
        line(&format!("  conflict: {settings} clears {clears}, and breaks {breaks}"));
    }
    for ReportException { policy, text, warning } in exceptions.iter().take(TOLD) {
        line(&format!("  no setting clears {policy}; an exception:"));
        text.lines().for_each(|text| line(&format!("    {text}")));
        if !warning.is_empty() {
            line(&format!("    careful: {warning}"));
        }
    }
    if exceptions.len() > TOLD {
        line(&format!("  and {} more exceptions, see -o json or -o html", exceptions.len() - TOLD));
    }
}
