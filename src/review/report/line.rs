use crate::review::candidate::Candidate;
use crate::review::verdict::{Column, Judgement, Verdict};
use serde::Serialize;

/// A verdict on a line of its own; the keys and words are part of the interface.
#[derive(Serialize)]
struct Line<'a> {
    pod: &'a str,
    namespace: &'a str,
    executor: &'static str,
    engine: &'static str,
    policy: &'a str,
    stage: &'static str,
    verdict: Verdict,
    message: &'a str,
    blame: Option<&'static str>,
}

/// One judgement as JSON, without a line break.
pub fn json_line(candidate: &Candidate, column: Column, judgement: &Judgement) -> String {
    let Judgement { stage, engine, policy, verdict, message, blame, causes: _ } = judgement;
    let line = Line {
        pod: &candidate.title,
        namespace: &candidate.namespace,
        executor: column.name(),
        engine,
        policy,
        stage: stage.name(),
        verdict: *verdict,
        message,
        blame: blame.map(crate::review::Blame::name),
    };
    // Strings and words only: nothing of it can fail to be written.
    serde_json::to_string(&line).unwrap_or_default()
}
