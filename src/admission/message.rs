use crate::mutation::Unreadable;
use emissary_core::outcome::{Findings, Outcome, Provenance};
use std::collections::BTreeMap;

/// How long one warning may be: longer ones the API server cuts, and all of them together share 4096 characters.
pub(super) const WARNING: usize = 120;
/// How many warnings there are at most; a last one says how many more there would be.
const WARNINGS: usize = 8;
/// How long an audit annotation's value may be here. Audit logs cut whole events, so one value must not fill one.
pub(super) const ANNOTATION: usize = 8 * 1024;

/// Cuts a text to `limit` characters, and shows that it did.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => {
            let kept = text.char_indices().nth(limit - 1).map_or(text.len(), |(at, _)| at);
            format!("{}…", &text[..kept])
        }
    }
}

/// Findings as warnings, the worst first.
pub(super) fn warnings(findings: &Findings) -> Vec<String> {
    let all = &findings.warnings;
    let mut warnings: Vec<String> = all.iter().take(WARNINGS).map(|warning| one_line(&warning.to_string())).collect();
    if all.len() > WARNINGS {
        warnings.push(format!("and {} more; see the audit annotations", all.len() - WARNINGS));
    }
    warnings
}

/// A warning is a header's value: no line breaks or other controls (RFC 9110).
pub(super) fn one_line(text: &str) -> String {
    cut(&text.replace(char::is_control, " "), WARNING)
}

/// `1 edit`, `2 edits`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What is known of each filled command.
fn provenance(all: &[Provenance]) -> String {
    let lines = all.iter().map(|Provenance { container, image, source, command, pinned }| {
        let command = serde_json::to_string(command).unwrap_or_default();
        let pinned = if pinned.is_some() { ", pinned to it" } else { "" };
        format!("{container}: {image} runs {command} ({source}{pinned})")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Audit annotations; the API server puts the webhook's name before each key.
pub(super) fn audit(mode: &str, outcome: &Outcome) -> BTreeMap<&'static str, String> {
    let mut annotations = head(mode, outcome.word());
    match outcome {
        Outcome::Skip(skip) => {
            annotations.insert("reason", skip.word().to_owned());
        }
        Outcome::Denial(denial) => {
            annotations.insert("reason", cut(&denial.to_string(), ANNOTATION));
        }
        Outcome::Rewrite(..) | Outcome::Unchanged(_) => {}
    }
    if let Some(findings) = outcome.findings() {
        if !findings.provenance.is_empty() {
            annotations.insert("commands", cut(&provenance(&findings.provenance), ANNOTATION));
        }
        if !findings.warnings.is_empty() {
            let lines: Vec<String> = findings.warnings.iter().map(ToString::to_string).collect();
            annotations.insert("warnings", cut(&lines.join("\n"), ANNOTATION));
        }
    }
    annotations
}

/// The same of an object that came to no outcome because it cannot be read.
pub(super) fn audit_unreadable(mode: &str, word: &str, why: &Unreadable) -> BTreeMap<&'static str, String> {
    let mut annotations = head(mode, word);
    annotations.insert("reason", cut(&why.to_string(), ANNOTATION));
    annotations
}

fn head(mode: &str, word: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("mode", mode.to_owned()), ("outcome", word.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::outcome::Warning;

    #[test]
    fn warnings_fit_and_say_when_they_are_cut() {
        let warnings: Vec<Warning> =
            (0..20).map(|n| Warning::NotWrapped(format!("{}{n}", "ä\n".repeat(100)))).collect();
        let texts = super::warnings(&Findings { provenance: Vec::new(), warnings });
        assert_eq!(texts.len(), WARNINGS + 1);
        for text in &texts {
            assert!(text.chars().count() <= WARNING, "{} characters", text.chars().count());
            assert!(!text.contains(char::is_control));
        }
        assert!(texts[0].ends_with('…'));
        assert_eq!(texts.last().unwrap(), "and 12 more; see the audit annotations");
    }
}
