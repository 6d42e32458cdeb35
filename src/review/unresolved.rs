//! `{{…}}` that Argo fills in only when a workflow runs.
//!
//! What a policy says of a field with such a tag is no verdict. So the pod is judged again with other texts in the tags' place, and
//! where a policy says something else of one of them, or in other words, it is not known what it will say. This is a probe,
//! not a proof: a policy that reads the field and answers the same to all of them keeps its verdict.

use super::candidate::Candidate;
use super::verdict::{Judgement, Verdict};
use serde_json::Value;

/// What Argo's tags begin with (Argo 4.1, template variables).
const TAGS: [&str; 12] = [
    "inputs.",
    "outputs.",
    "steps.",
    "tasks.",
    "workflow.",
    "item",
    "pod.",
    "node.",
    "retries",
    "lastRetry.",
    "cronworkflow.",
    "=",
];

/// Texts in a tag's place: those that a registry's prefix, a tag, a user, a path and a number would be seen by.
const PROBES: [&str; 5] = ["", "0", "x:latest", "/", "root"];

/// The pod with other texts in place of its tags; none where it has no tag.
pub(super) fn variants(candidate: &Candidate) -> Vec<Candidate> {
    if !has_tag(&candidate.object) {
        return Vec::new();
    }
    let variant = |probe: &&str| {
        let mut variant = candidate.clone();
        fill(&mut variant.object, probe);
        variant
    };
    PROBES.iter().map(variant).collect()
}

/// Makes unknown what is said otherwise of another text.
pub(super) fn doubt(judgements: &mut Vec<Judgement>, other: &[Judgement]) {
    for judgement in judgements.iter_mut() {
        let same = other.iter().any(|other| {
            other.is_of(judgement)
                && other.stage == judgement.stage
                && (judgement.verdict == Verdict::Unknown
                    || other.verdict == judgement.verdict && other.message == judgement.message)
        });
        if !same {
            unknown(judgement);
        }
    }
    let news: Vec<&Judgement> = other
        .iter()
        .filter(|other| other.verdict.is_against() && !judgements.iter().any(|one| one.is_of(other)))
        .collect();
    for new in news {
        let mut judgement = new.clone();
        unknown(&mut judgement);
        judgements.push(judgement);
    }
}

fn unknown(judgement: &mut Judgement) {
    if judgement.verdict != Verdict::Unknown {
        judgement.verdict = Verdict::Unknown;
        judgement.blame = None;
        judgement.causes = Vec::new();
        judgement.message = match judgement.message.as_str() {
            "" => "it depends on {{…}}, which only a run fills in".to_owned(),
            message => format!("it depends on {{{{…}}}}, which only a run fills in; as it stands: {message}"),
        };
    }
}

/// Each tag in a text: what comes before it, and what comes behind.
fn tag(text: &str) -> Option<(&str, &str)> {
    text.match_indices("{{").find_map(|(at, _)| {
        let inner = text.get(at + 2..)?;
        let is_tag = TAGS.iter().any(|tag| inner.trim_start().starts_with(tag));
        let (_, behind) = inner.split_once("}}").filter(|_| is_tag)?;
        Some((text.get(..at)?, behind))
    })
}

fn has_tag(value: &Value) -> bool {
    match value {
        Value::String(text) => tag(text).is_some(),
        Value::Array(items) => items.iter().any(has_tag),
        Value::Object(fields) => fields.values().any(has_tag),
        _ => false,
    }
}

fn fill(value: &mut Value, probe: &str) {
    match value {
        Value::String(text) => {
            let (mut filled, mut rest) = (String::new(), text.as_str());
            while let Some((before, behind)) = tag(rest) {
                filled.push_str(before);
                filled.push_str(probe);
                rest = behind;
            }
            filled.push_str(rest);
            *text = filled;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, probe)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, probe)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tags_are_argos_and_filled_wherever_they_stand() {
        let mut value = json!({"a": ["x{{inputs.parameters.tag}}y{{ item }}", "{{.Names}}", "{{=1+1}}", "{{item"]});
        assert!(has_tag(&value));
        fill(&mut value, "0");
        assert_eq!(value, json!({"a": ["x0y0", "{{.Names}}", "0", "{{item"]}));
        assert!(!has_tag(&value));
    }
}
