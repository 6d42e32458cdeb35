//! What policies say of a pod that a dry run sees, as it is told: in the answer what was known by then, elsewhere all of it.

use super::dry_run::{DryRuns, Noted};
use super::message::{cut, one_line};
use crate::review::{Cell, Judgement, Row, Verdict, worst};
use serde::Serialize;

/// How many warnings policies get: the answer has others, and all share a few kilobytes.
const WARNINGS: usize = 4;
/// How many verdicts a row of the table of dry runs has.
const VERDICTS: usize = 16;
/// Of each text in a verdict of that table, in characters.
const TEXT: usize = 256;

/// What a policy says for one executor, in a row of the table of dry runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    executor: &'static str,
    engine: &'static str,
    policy: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<&'static str>,
    message: String,
}

fn all(row: &Row) -> impl Iterator<Item = (&Cell, &Judgement)> {
    let worth_telling = |judgement: &&Judgement| judgement.verdict != Verdict::Allowed;
    row.iter()
        .flat_map(move |cell| cell.judgements.iter().filter(worth_telling).map(move |judgement| (cell, judgement)))
}

/// The text of an audit annotation: a line for each executor and policy that does not simply allow. Nothing where all do.
pub(super) fn annotation(row: &Row) -> Option<String> {
    let lines: Vec<String> = all(row)
        .map(|(cell, Judgement { engine, policy, verdict, message, .. })| {
            format!("{}: {engine} {policy}: {}: {}", cell.column.name(), verdict.name(), message.replace('\n', " "))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What a user is warned of: that a policy would deny the pod, and whether it is so because of what is injected.
pub(super) fn warnings(row: &Row) -> Vec<String> {
    let denials = |cell: &Cell| {
        let denied = |judgement: &&Judgement| matches!(judgement.verdict, Verdict::Denied | Verdict::WontStart);
        cell.judgements.iter().filter(denied).cloned().collect::<Vec<Judgement>>()
    };
    let [as_is, emissary] = &row[..] else { return Vec::new() };
    let (as_is, mut emissary) = (denials(as_is), denials(emissary));
    // The webhook's own refusal has a warning already.
    emissary.retain(|judgement| judgement.engine != "emissary");
    let same = |one: &Judgement, others: &[Judgement]| {
        others.iter().any(|other| other.engine == one.engine && other.policy == one.policy)
    };
    let told = |what: &str, judgement: &Judgement| {
        let Judgement { engine, policy, message, .. } = judgement;
        one_line(&format!("dry run: {what}: {engine} {policy}: {message}"))
    };
    let rewritten = emissary.iter().filter(|judgement| !same(judgement, &as_is));
    let either = emissary.iter().filter(|judgement| same(judgement, &as_is));
    let sent = as_is.iter().filter(|judgement| !same(judgement, &emissary));
    rewritten
        .map(|judgement| told("a policy would deny it rewritten, not as it is", judgement))
        .chain(either.map(|judgement| told("a policy denies it either way", judgement)))
        .chain(sent.map(|judgement| told("a policy denies it as it is", judgement)))
        .take(WARNINGS)
        .collect()
}

/// Where the whole of it goes: the log, and the table of dry runs.
pub(super) fn keep(dry_runs: &DryRuns, noted: &Noted, row: &Row) {
    let [as_is, emissary] = &row[..] else { return };
    let worst = [as_is, emissary].map(|cell| worst(&cell.judgements));
    let first = emissary.judgements.iter().find(|judgement| judgement.verdict == worst[1]);
    let (engine, policy) = first.map_or(("", ""), |judgement| (judgement.engine, judgement.policy.as_str()));
    if worst == [Verdict::Allowed; 2] {
        tracing::debug!(as_is = worst[0].name(), emissary = worst[1].name(), "reviewed");
    } else {
        tracing::info!(as_is = worst[0].name(), emissary = worst[1].name(), engine, policy, "reviewed");
    }
    let said = all(row).take(VERDICTS).map(|(cell, judgement)| Said {
        executor: cell.column.name(),
        engine: judgement.engine,
        policy: cut(&judgement.policy, TEXT),
        verdict: judgement.verdict.name(),
        blame: judgement.blame.map(crate::review::Blame::name),
        message: cut(&judgement.message, TEXT),
    });
    dry_runs.judged(noted, said.collect());
}
