//! Kyverno 1.19: ClusterPolicies and Policies, as far as their rules are Pod Security Standards or expressions, and
//! ValidatingPolicies.
//!
//! A rule of another kind is judged [`Decision::Unknown`] where it matches, and never passed; one that mutates or generates is refused by
//! name. Kyverno's own configuration (its resource filters, excluded users) is not known here.

mod exclude;
mod fields;
mod matching;
mod policy;
mod rule;
mod validating;

pub use crate::refusal::Refusal;
use crate::request::Request;
use crate::verdict::{Decision, Engine, Verdict};
use policy::Policy;
use serde_json::Value;
use std::sync::Arc;
use validating::ValidatingPolicy;

/// The policies of a cluster, compiled. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Kyverno {
    policies: Arc<Vec<Arc<Policy>>>,
    validating: Arc<Vec<Arc<ValidatingPolicy>>>,
}

/// What follows of a rule's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The request is blocked.
    Enforce,
    /// It is reported.
    Audit,
}

impl Action {
    /// As policies write it; all but `Enforce` is `Audit`.
    fn read(text: &str) -> Self {
        if matches!(text, "Enforce" | "enforce") { Self::Enforce } else { Self::Audit }
    }

    fn decision(self) -> Decision {
        match self {
            Self::Enforce => Decision::Denied,
            Self::Audit => Decision::Warned,
        }
    }
}

/// What a rule says of a request that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Pass,
    /// It does not apply after all.
    Skip,
    /// What fails to be evaluated fails too.
    Fail(String),
    Unknown(String),
}

impl Kyverno {
    /// Compiles policies; all other documents are left alone. What would be refused, and what is not simulated, is listed.
    pub fn new<'d>(documents: impl IntoIterator<Item = &'d Value>) -> (Self, Vec<Refusal>) {
        let (mut policies, mut validating, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for document in documents {
            let text = |key| document.get(key).and_then(Value::as_str).unwrap_or_default();
            let group = text("apiVersion").split('/').next().unwrap_or_default();
            let read = match (group, text("kind")) {
                ("kyverno.io", "ClusterPolicy" | "Policy") => Policy::read(document).map(|(policy, problems)| {
                    refusals.extend(problems.into_iter().map(|why| Refusal::new(document, why)));
                    policies.push(Arc::new(policy));
                }),
                ("policies.kyverno.io", "ValidatingPolicy" | "NamespacedValidatingPolicy") => {
                    ValidatingPolicy::read(document).map(|policy| validating.push(Arc::new(policy)))
                }
                ("kyverno.io" | "policies.kyverno.io", kind) => Err(format!("{kind} is not simulated")),
                _ => continue,
            };
            refusals.extend(read.err().map(|why| Refusal::new(document, why)));
        }
        policies.sort_by(|a: &Arc<Policy>, b| a.name.cmp(&b.name));
        validating.sort_by(|a: &Arc<ValidatingPolicy>, b| a.name.cmp(&b.name));
        (Self { policies: Arc::new(policies), validating: Arc::new(validating) }, refusals)
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies.len() + self.validating.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The policies, by their names; verdicts have a rule behind a slash.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let policies = self.policies.iter().map(|policy| policy.name.as_str());
        policies.chain(self.validating.iter().map(|policy| policy.name.as_str()))
    }

    /// Keeps the policies whose names are wanted; the others are not asked any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.policies = Arc::new(self.policies.iter().filter(|policy| wanted(&policy.name)).cloned().collect());
        self.validating = Arc::new(self.validating.iter().filter(|policy| wanted(&policy.name)).cloned().collect());
    }

    /// What each rule that matches says, in the order of policies, and of rules in them.
    pub fn judge(&self, request: &Request) -> Vec<Verdict> {
        let policies = self.policies.iter().flat_map(|policy| policy.judge(request));
        policies.chain(self.validating.iter().filter_map(|policy| policy.judge(request))).collect()
    }
}

fn verdict(policy: String, outcome: Outcome, action: Action) -> Verdict {
    let (decision, message) = match outcome {
        Outcome::Pass | Outcome::Skip => (Decision::Allowed, String::new()),
        Outcome::Fail(message) => (action.decision(), message),
        Outcome::Unknown(why) => (Decision::Unknown, why),
    };
    Verdict { engine: Engine::Kyverno, policy, decision, message }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A list of strings; what is none in it is left out.
fn texts(value: &Value, key: &str) -> Vec<String> {
    items(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a text fits a pattern with `*` for anything and `?` for one character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and what of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_have_stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c*", "abcbd", true),
            ("a*c", "abcd", false),
            ("?b", "ab", true),
            ("a?", "a", false),
            ("quay.io/*/argoexec:?*", "quay.io/argoproj/argoexec:v4", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
