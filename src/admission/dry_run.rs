//! What dry runs found, kept for those who cannot read the cluster's audit log: a bounded table, a row a template and
//! outcome, read at `/dryrun`.

use super::message::{count, cut};
use super::review::Said;
use crate::mutation::{Kind, Subject};
use emissary_contract::label;
use emissary_core::object::Metadata;
use emissary_core::outcome::{Outcome, Provenance};
use emissary_core::pod::{self, Pod};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows for one namespace, and for all: a namespace that is full loses its own oldest rows, never another's.
const ROWS: (usize, usize) = (256, 4096);
/// Of each text in a row, in characters.
const TEXT: usize = 1024;
/// Of each list in a row.
const LIST: usize = 16;
/// Of each name in a row, in characters: what the API allows for most.
const NAME: usize = 253;

/// The table. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct DryRuns {
    table: Arc<Mutex<Table>>,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Table {
    namespaces: BTreeMap<String, BTreeMap<Row, Seen>>,
    rows: usize,
}

/// What makes a row: pods of the same template that come to the same are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: &'static str,
    /// The object's name, or that of a pod's workflow, with `*` for what was made up for this one.
    workflow: String,
    /// Empty for kinds other than pods, and where the pod does not say.
    template: String,
    outcome: &'static str,
    /// Why it would be denied; empty otherwise.
    reason: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    /// The latest object's name; empty where the API server had yet to make it.
    example: String,
    /// What would be done, of the latest.
    edits: usize,
    commands: Vec<String>,
    warnings: Vec<String>,
    /// What policies say of it, where one does not simply allow.
    verdicts: Vec<Said>,
}

/// A row of the table that something was noted in.
#[derive(Debug)]
pub(super) struct Noted {
    namespace: String,
    row: Row,
}

impl Noted {
    /// The same text for what is in the same row.
    pub(super) fn key(&self) -> String {
        let Row { kind, workflow, template, outcome, reason } = &self.row;
        [kind, workflow.as_str(), template, outcome, reason].join("\n")
    }
}

#[derive(Serialize)]
struct Line<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    row: &'a Row,
    #[serde(flatten)]
    seen: &'a Seen,
}

impl DryRuns {
    /// An empty table whose losses are counted.
    pub fn register(registry: &mut Registry) -> Self {
        let runs = Self::default();
        let help = "Rows that the table of dry runs lost because it was full";
        registry.register("dry_run_rows_dropped", help, runs.dropped.clone());
        runs
    }

    /// Notes what enforcing would have done to an object, and says where. What is none of ours is not noted.
    pub(super) fn note(&self, subject: &Subject<'_>, outcome: &Outcome, now: Timestamp) -> Option<Noted> {
        if matches!(outcome, Outcome::Skip(_)) {
            return None;
        }
        let (workflow, template, name) = origin(subject);
        let row = Row {
            kind: subject.kind.name(),
            workflow: cut(&workflow, NAME),
            template: cut(&template, NAME),
            outcome: outcome.word(),
            reason: match outcome {
                Outcome::Denial(denial) => cut(&denial.to_string(), TEXT),
                _ => String::new(),
            },
        };
        let findings = outcome.findings();
        let provenance = findings.map(|findings| findings.provenance.as_slice()).unwrap_or_default();
        let warnings = findings.map(|findings| findings.warnings.as_slice()).unwrap_or_default();
        let seen = Seen {
            count: 1,
            first: now,
            last: now,
            example: cut(&name, NAME),
            edits: match outcome {
                Outcome::Rewrite(edits, _) => edits.operations().len(),
                _ => 0,
            },
            commands: listed(provenance, command),
            warnings: listed(warnings, ToString::to_string),
            verdicts: Vec::new(),
        };
        let noted = Noted { namespace: subject.namespace.unwrap_or_default().to_owned(), row: row.clone() };
        let dropped = self.table.lock().unwrap_or_else(PoisonError::into_inner).note(subject.namespace, row, seen);
        self.dropped.inc_by(dropped);
        Some(noted)
    }

    /// Notes what policies say of an object, if its row is there still.
    pub(super) fn judged(&self, noted: &Noted, verdicts: Vec<Said>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = table.namespaces.get_mut(&noted.namespace);
        if let Some(seen) = rows.and_then(|rows| rows.get_mut(&noted.row)) {
            seen.verdicts = verdicts;
        }
    }

    /// The table as JSON lines: by namespace, then kind, workflow, template and outcome.
    pub fn to_json_lines(&self) -> String {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for (namespace, rows) in &table.namespaces {
            for (row, seen) in rows {
                if let Ok(line) = serde_json::to_string(&Line { namespace, row, seen }) {
                    lines.push_str(&line);
                    lines.push('\n');
                }
            }
        }
        lines
    }
}

impl Table {
    /// Adds what was seen, and returns how many rows were lost for it.
    fn note(&mut self, namespace: Option<&str>, row: Row, seen: Seen) -> u64 {
        let rows = self.namespaces.entry(namespace.unwrap_or_default().to_owned()).or_default();
        if let Some(known) = rows.get_mut(&row) {
            // What is said of this one comes later; of the one before it is known.
            let verdicts = std::mem::take(&mut known.verdicts);
            *known = Seen { count: known.count.saturating_add(1), first: known.first, verdicts, ..seen };
            return 0;
        }
        let own_is_full = rows.len() >= ROWS.0;
        let mut dropped = 0;
        if own_is_full {
            dropped += u64::from(drop_oldest(rows));
            self.rows -= 1;
        }
        rows.insert(row, seen);
        self.rows += 1;
        if self.rows > ROWS.1 {
            // Who has most gives: otherwise a namespace could crowd out those that have little.
            if let Some(rows) = self.namespaces.values_mut().max_by_key(|rows| rows.len()) {
                dropped += u64::from(drop_oldest(rows));
                self.rows -= 1;
            }
            self.namespaces.retain(|_, rows| !rows.is_empty());
        }
        dropped
    }
}

fn drop_oldest(rows: &mut BTreeMap<Row, Seen>) -> bool {
    let oldest = rows.iter().min_by_key(|(_, seen)| seen.last).map(|(row, _)| row.clone());
    oldest.is_some_and(|row| rows.remove(&row).is_some())
}

fn listed<T>(all: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    let mut lines: Vec<String> = all.iter().take(LIST).map(|item| cut(&text(item), TEXT)).collect();
    if all.len() > LIST {
        lines.push(format!("and {} more", count(all.len() - LIST, "line")));
    }
    lines
}

fn command(Provenance { container, image, source, command, pinned: _ }: &Provenance) -> String {
    format!("{container}: {image} runs {} ({source})", serde_json::to_string(command).unwrap_or_default())
}

/// Workflow, template and name of an object.
fn origin(subject: &Subject<'_>) -> (String, String, String) {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        metadata: Option<Metadata<'a>>,
    }
    if subject.kind == Kind::Pod {
        let Ok(pod) = Pod::parse(subject.object) else { return Default::default() };
        let metadata = pod.metadata();
        let name = named(subject, metadata);
        let workflow = metadata.label(label::WORKFLOW).map_or_else(|| name.clone(), str::to_owned);
        return (without_suffix(&workflow), pod::template_name(&pod).unwrap_or_default(), name);
    }
    let metadata = serde_json::from_str::<Fields<'_>>(subject.object).ok().and_then(|fields| fields.metadata);
    let metadata = metadata.unwrap_or_default();
    let name = named(subject, &metadata);
    let workflow = match &metadata.generate_name {
        Some(prefix) if metadata.name.is_none() => format!("{prefix}*"),
        _ => name.clone(),
    };
    (without_suffix(&workflow), String::new(), name)
}

fn named(subject: &Subject<'_>, metadata: &Metadata<'_>) -> String {
    subject.name.or(metadata.name.as_deref()).unwrap_or_default().to_owned()
}

/// A name whose last part was made up, by the API server (five letters of its alphabet) or by a CronWorkflow (seconds since
/// 1970), with `*` in its place.
fn without_suffix(name: &str) -> String {
    let made_up = |suffix: &str| match suffix.len() {
        5 => suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)),
        10 => suffix.chars().all(|c| c.is_ascii_digit()),
        _ => false,
    };
    match name.rsplit_once('-') {
        Some((stem, suffix)) if made_up(suffix) => format!("{stem}-*"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::outcome::{Findings, Warning};

    fn pod(namespace: &str, workflow: &str, template: &str) -> (String, String) {
        let template = serde_json::json!({ "name": template }).to_string();
        let pod = serde_json::json!({
            "metadata": { "name": format!("{workflow}-1"), "labels": { "workflows.argoproj.io/workflow": workflow } },
            "spec": { "containers": [{ "name": "main", "env": [{ "name": "ARGO_TEMPLATE", "value": template }] }] },
        });
        (namespace.to_owned(), pod.to_string())
    }

    fn noted(runs: &DryRuns, (namespace, object): &(String, String), outcome: &Outcome, second: i64) {
        let subject = Subject {
            kind: Kind::Pod,
            operation: "CREATE",
            sub_resource: None,
            name: None,
            namespace: Some(namespace),
            object,
            old_object: None,
        };
        runs.note(&subject, outcome, Timestamp::from_second(second).unwrap());
    }

    fn lines(runs: &DryRuns) -> Vec<serde_json::Value> {
        runs.to_json_lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn runs_of_one_template_are_one_row() {
        let runs = DryRuns::default();
        let warned = Findings { warnings: vec![Warning::NotWrapped("proxy".to_owned())], provenance: Vec::new() };
        noted(&runs, &pod("a", "hello-x7f2p", "say"), &Outcome::Unchanged(Findings::default()), 1);
        noted(&runs, &pod("a", "hello-b2k4d", "say"), &Outcome::Unchanged(warned), 2);
        noted(&runs, &pod("a", "nightly-1790000000", "say"), &Outcome::Unchanged(Findings::default()), 3);
        noted(&runs, &pod("b", "hello-there", "say"), &Outcome::Unchanged(Findings::default()), 4);
        let lines = lines(&runs);
        let workflows: Vec<_> = lines.iter().map(|line| line["workflow"].as_str().unwrap()).collect();
        assert_eq!(workflows, ["hello-*", "nightly-*", "hello-there"]);
        assert_eq!(
            lines[0],
            serde_json::json!({
                "namespace": "a", "kind": "Pod", "workflow": "hello-*", "template": "say", "outcome": "unchanged",
                "reason": "", "count": 2, "first": "1970-01-01T00:00:01Z", "last": "1970-01-01T00:00:02Z",
                "example": "hello-b2k4d-1", "edits": 0, "commands": [],
                "warnings": [Warning::NotWrapped("proxy".to_owned()).to_string()], "verdicts": [],
            })
        );
    }

    #[test]
    fn a_full_namespace_loses_its_own() {
        let runs = DryRuns::default();
        let unchanged = Outcome::Unchanged(Findings::default());
        noted(&runs, &pod("quiet", "one", "t"), &unchanged, 0);
        for n in 0..ROWS.0 as i64 + 10 {
            noted(&runs, &pod("noisy", "many", &format!("t{n}")), &unchanged, n);
        }
        let lines = lines(&runs);
        assert_eq!(lines.len(), ROWS.0 + 1);
        assert_eq!(runs.dropped.get(), 10);
        assert!(lines.iter().any(|line| line["namespace"] == "quiet"));
        assert!(!lines.iter().any(|line| line["template"] == "t9"), "the oldest go first");
    }

    #[test]
    fn a_full_table_takes_from_who_has_most() {
        let runs = DryRuns::default();
        let unchanged = Outcome::Unchanged(Findings::default());
        noted(&runs, &pod("quiet", "one", "t"), &unchanged, 0);
        for n in 0..=ROWS.1 {
            let namespace = format!("n{}", n / ROWS.0);
            noted(&runs, &pod(&namespace, "many", &format!("t{n}")), &unchanged, 1 + n as i64);
        }
        let lines = lines(&runs);
        assert_eq!(lines.len(), ROWS.1);
        assert_eq!(runs.dropped.get(), 2);
        assert!(lines.iter().any(|line| line["namespace"] == "quiet"));
    }

    #[test]
    fn texts_are_cut_and_what_is_none_of_ours_is_left_out() {
        let runs = DryRuns::default();
        noted(&runs, &pod("a", &"w".repeat(5000), &"t".repeat(5000)), &Outcome::Unchanged(Findings::default()), 0);
        noted(&runs, &pod("a", "w", "t"), &Outcome::Skip(emissary_core::outcome::Skip::OptedOut), 0);
        let lines = lines(&runs);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].to_string().len() < 1500, "{}", lines[0]);
    }
}
