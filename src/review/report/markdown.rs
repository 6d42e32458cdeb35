use super::model::{Report, ReportChange};
use crate::review::verdict::Verdict;

/// For a pull request's comment or a job's summary.
pub fn markdown(report: &Report) -> String {
    let mut text = String::from("# Policy review\n\n");
    let head: Vec<&str> = report.executors.iter().map(String::as_str).collect();
    text.push_str(&format!(
        "| namespace | pods | {} |\n| --- | --- |{}\n",
        head.join(" | "),
        " --- |".repeat(head.len())
    ));
    for row in &report.rows {
        let cells = row.by_executor(&report.executors);
        let verdicts: Vec<String> = cells.map(|cell| cell.map_or("–".to_owned(), |cell| mark(&cell.verdict))).collect();
        text.push_str(&format!("| {} | {} | {} |\n", cell(&row.namespace), cell(&row.title()), verdicts.join(" | ")));
    }
    for row in &report.rows {
        for cell in row.cells.iter().filter(|cell| cell.verdict != Verdict::Allowed.name()) {
            text.push_str(&format!(
                "\n## {} in {}, {}: {}\n\n",
                escaped(&row.title()),
                escaped(&row.namespace),
                cell.executor,
                cell.verdict
            ));
            for one in cell.judgements.iter().filter(|one| one.verdict != Verdict::Allowed.name()) {
                let blame = one.blame.iter().map(|blame| format!(", by {blame}")).collect::<String>();
                text.push_str(&format!(
                    "- **{}** by {} `{}` ({}{blame}): {}\n",
                    one.verdict,
                    one.engine,
                    code(&one.policy),
                    one.stage,
                    escaped(&one.message.replace('\n', "; "))
                ));
                text.extend(one.causes.iter().map(|cause| format!("  - because of {}\n", escaped(cause))));
            }
            if let Some(ReportChange { settings, clears, .. }) = &cell.change {
                let settings: Vec<String> =
                    settings.iter().map(|setting| format!("`--set '{}'`", code(setting))).collect();
                text.push_str(&format!("- tried: {} clears {}\n", settings.join(" "), escaped(&clears.join(", "))));
            }
        }
    }
    text
}

fn mark(verdict: &str) -> String {
    let mark = match verdict {
        "allowed" => "✓",
        "denied" => "✗",
        "wont-start" => "⏻",
        "warned" => "!",
        _ => "?",
    };
    format!("{mark} {verdict}")
}

fn cell(text: &str) -> String {
    escaped(text).replace('|', "\\|")
}

/// A text in which no sign means anything.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '|' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A text between backquotes.
fn code(text: &str) -> String {
    text.replace(['`', '\n'], "'")
}
