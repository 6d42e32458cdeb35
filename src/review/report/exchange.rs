//! For programs of others: SARIF, JUnit, and a workflow's annotations on GitHub.

use super::model::{Report, ReportCell, ReportJudgement, ReportPod, ReportRow};
use crate::review::verdict::Verdict;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

type Found<'r> = (&'r ReportRow, &'r ReportPod, &'r ReportCell, &'r ReportJudgement);

/// What is not allowed.
fn findings(report: &Report) -> impl Iterator<Item = Found<'_>> {
    report.judgements().filter(|(.., one)| one.verdict != Verdict::Allowed.name())
}

/// SARIF 2.1.0 (OASIS): a rule for each policy, a result for each finding with the manifest's line.
pub fn sarif(report: &Report, version: &str) -> Value {
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    let mut results = Vec::new();
    for (row, pod, cell, one) in findings(report) {
        let rule = format!("{}/{}", one.engine, one.policy);
        let next = rules.len();
        let index = *rules.entry(rule.clone()).or_insert(next);
        let level = match one.verdict.as_str() {
            "denied" | "wont-start" => "error",
            "warned" => "warning",
            _ => "note",
        };
        let mut place = json!({"artifactLocation": {"uri": uri(&pod.file)}});
        if pod.line > 0 {
            place["region"] = json!({"startLine": pod.line});
        }
        let text = format!("{} in {}, {}: {}: {}", pod.pod, row.namespace, cell.executor, one.verdict, one.message);
        results.push(json!({
            "ruleId": rule,
            "ruleIndex": index,
            "level": level,
            "message": {"text": text},
            "locations": [{"physicalLocation": place}],
            "properties": {"executor": cell.executor, "stage": one.stage, "verdict": one.verdict, "blame": one.blame, "causes": one.causes},
        }));
    }
    let mut by_index: Vec<(&String, &usize)> = rules.iter().collect();
    by_index.sort_by_key(|(_, index)| **index);
    let rules: Vec<Value> = by_index.into_iter().map(|(id, _)| json!({"id": id})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "emissary-webhook", "semanticVersion": version, "rules": rules}},
            "results": results,
        }],
    })
}

/// A path as a relative reference (RFC 3986).
fn uri(file: &str) -> String {
    let mut uri = String::with_capacity(file.len());
    for byte in file.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(byte.into()),
            // Nothing is written that could fail.
            byte => _ = write!(uri, "%{byte:02X}"),
        }
    }
    uri
}

/// JUnit: a suite for each executor, a case for each pod and policy.
pub fn junit(report: &Report) -> String {
    let mut suites: BTreeMap<&str, (usize, usize, usize, String)> = BTreeMap::new();
    for (row, pod, cell, one) in report.judgements() {
        let (tests, failures, skipped, cases) = suites.entry(&cell.executor).or_default();
        *tests += 1;
        let class = xml(&format!("{}/{}", row.namespace, pod.pod));
        let name = xml(&format!("{} {} ({})", one.engine, one.policy, one.stage));
        let body = match one.verdict.as_str() {
            "denied" | "wont-start" => {
                *failures += 1;
                let first = one.message.lines().next().unwrap_or_default();
                format!(
                    "<failure type=\"{}\" message=\"{}\">{}</failure>",
                    one.verdict,
                    xml(first),
                    xml(&[std::slice::from_ref(&one.message), &one.causes].concat().join("\n"))
                )
            }
            "unknown" => {
                *skipped += 1;
                format!("<skipped message=\"{}\"/>", xml(&one.message))
            }
            "warned" => format!("<system-out>{}</system-out>", xml(&one.message)),
            _ => String::new(),
        };
        cases.push_str(&format!("    <testcase classname=\"{class}\" name=\"{name}\">{body}</testcase>\n"));
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"policy review\">\n");
    for (executor, (tests, failures, skipped, cases)) in suites {
        text.push_str(&format!(
            "  <testsuite name=\"{executor}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">\n\
             {cases}  </testsuite>\n"
        ));
    }
    text + "</testsuites>\n"
}

/// XML 1.0 has no way to write most control characters.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

/// Workflow commands of GitHub Actions: a line each.
pub fn github(report: &Report) -> String {
    let mut text = String::new();
    for (row, pod, cell, one) in findings(report) {
        let command = match one.verdict.as_str() {
            "denied" | "wont-start" => "error",
            "warned" => "warning",
            _ => "notice",
        };
        let line = if pod.line > 0 { format!(",line={}", pod.line) } else { String::new() };
        let title = format!("{} by {} {}", one.verdict, one.engine, one.policy);
        let message = format!("{} in {}, {}: {}", pod.pod, row.namespace, cell.executor, one.message);
        let (file, title) = (property(&pod.file), property(&title));
        text.push_str(&format!("::{command} file={file}{line},title={title}::{}\n", data(&message)));
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_stay_texts() {
        assert_eq!(xml("<a b=\"c\">&\u{1}\n"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}&#10;");
        assert_eq!(property("a:b,c\n::error::%"), "a%3Ab%2Cc%0A%3A%3Aerror%3A%3A%25");
        assert_eq!(uri("a b/ü.yaml"), "a%20b/%C3%BC.yaml");
    }
}
