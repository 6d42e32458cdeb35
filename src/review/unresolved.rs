//! `{{…}}` that Argo fills in only when a workflow runs.
//!
//! What a policy says of a field with such a tag is no verdict. So the pod is judged again with other texts in the tags' place, and
//! where a policy says something else of one of them, or in other words, it is not known what it will say. This is a probe,
//! not a proof: a policy that reads the field and answers the same to all of them keeps its verdict.

use super::candidate::Candidate;
use super::doubt::Doubt;
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

/// By what a run names things. Rendering puts these into every pod, and policies quote them where they decide by other things:
/// what is said with the name in its place is the same.
const NAMES: [&str; 5] = ["pod.name", "node.name", "node.id", "workflow.name", "workflow.uid"];

/// A text in a name's place: what has a name has no empty one.
fn name_of(probe: &str) -> &str {
    if probe.is_empty() { "a" } else { probe }
}

/// A pod as it may be by the time it is created.
pub(super) struct Variant {
    pub(super) candidate: Candidate,
    /// What stands in the tags' place.
    probe: Option<&'static str>,
}

/// The pod with other texts in place of its tags, and other values where there are doubts; none where it is known.
pub(super) fn variants(candidate: &Candidate, doubts: &[Doubt]) -> Vec<Variant> {
    let with = |object: Value, probe: Option<&'static str>| {
        let mut other = candidate.with(object, candidate.old_object.clone());
        // A text in a tag's place is no new field, for which the API server would have a default.
        other.is_defaulted = candidate.is_defaulted && probe.is_some();
        Variant { candidate: other, probe }
    };
    let probes = if has_tag(&candidate.object) { &PROBES[..] } else { &[] };
    let tagged = probes.iter().map(|probe| {
        let mut object = candidate.object.clone();
        fill(&mut object, probe);
        with(object, Some(*probe))
    });
    let doubted = doubts.iter().flat_map(|doubt| doubt.open.variants(&candidate.object));
    tagged.chain(doubted.map(|object| with(object, None))).collect()
}

/// Makes unknown what is said otherwise of a variant.
pub(super) fn doubt(judgements: &mut Vec<Judgement>, variant: &Variant, other: &[Judgement]) {
    let is_said = |message: &str, other: &str| match variant.probe {
        _ if message == other => true,
        Some(probe) if message.contains("{{") => {
            let named = |message: String, name: &&str| message.replace(&format!("{{{{{name}}}}}"), name_of(probe));
            NAMES.iter().fold(message.to_owned(), named) == other
        }
        _ => false,
    };
    for judgement in judgements.iter_mut() {
        let same = other.iter().any(|other| {
            other.is_of(judgement)
                && other.stage == judgement.stage
                && (judgement.verdict == Verdict::Unknown
                    || other.verdict == judgement.verdict && is_said(&judgement.message, &other.message))
        });
        if !same {
            unknown(judgement, variant.because());
        }
    }
    let news: Vec<&Judgement> = other
        .iter()
        .filter(|other| other.verdict.is_against() && !judgements.iter().any(|one| one.is_of(other)))
        .collect();
    for new in news {
        let mut judgement = new.clone();
        unknown(&mut judgement, variant.because());
        judgements.push(judgement);
    }
}

impl Variant {
    fn because(&self) -> &'static str {
        match self.probe {
            Some(_) => "it depends on {{…}}, which only a run fills in",
            None => UNTOLD,
        }
    }
}

const UNTOLD: &str = "it depends on what is not known of the pod";

/// Makes all of them unknown: any field may be another.
pub(super) fn doubt_all(judgements: &mut [Judgement]) {
    judgements.iter_mut().for_each(|judgement| unknown(judgement, UNTOLD));
}

fn unknown(judgement: &mut Judgement, because: &str) {
    if judgement.verdict != Verdict::Unknown {
        judgement.verdict = Verdict::Unknown;
        judgement.blame = None;
        judgement.causes = Vec::new();
        judgement.message = match judgement.message.as_str() {
            "" => because.to_owned(),
            message => format!("{because}; as it stands: {message}"),
        };
    }
}

/// The first tag in a text: what comes before it, what is in it, and what comes behind.
fn tag(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices("{{").find_map(|(at, _)| {
        let inner = text.get(at + 2..)?;
        let is_tag = TAGS.iter().any(|tag| inner.trim_start().starts_with(tag));
        let (inner, behind) = inner.split_once("}}").filter(|_| is_tag)?;
        Some((text.get(..at)?, inner.trim(), behind))
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
            while let Some((before, inner, behind)) = tag(rest) {
                filled.push_str(before);
                filled.push_str(if NAMES.contains(&inner) { name_of(probe) } else { probe });
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
        let mut names = json!(["{{pod.name}}{{inputs.parameters.tag}}"]);
        fill(&mut names, "");
        assert_eq!(names, json!(["a"]), "what has a name has no empty one");
    }
}
