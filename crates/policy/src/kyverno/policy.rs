use super::rule::{Override, Rule};
use super::{Action, Outcome, items, text, verdict};
use crate::request::Request;
use crate::verdict::Verdict;
use serde_json::Value;

/// A ClusterPolicy, or a Policy, which is for its own namespace.
#[derive(Debug)]
pub(super) struct Policy {
    /// As verdicts name it; a Policy's namespace stands before its name.
    pub(super) name: String,
    namespace: Option<String>,
    rules: Vec<Rule>,
    /// Whether the first rule that applies is the last.
    applies_one: bool,
    overrides: Vec<Override>,
    action: Action,
}

impl Policy {
    /// Reads it, and what of it judges nothing.
    pub(super) fn read(document: &Value) -> Result<(Self, Vec<String>), String> {
        let metadata = document.get("metadata").unwrap_or(&Value::Null);
        let spec = document.get("spec").unwrap_or(&Value::Null);
        let name = text(metadata, "name");
        if name.is_empty() {
            return Err("metadata.name is missing".to_owned());
        }
        let namespace = (text(document, "kind") == "Policy").then(|| match text(metadata, "namespace") {
            "" => "default".to_owned(),
            namespace => namespace.to_owned(),
        });
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        // One that is for what exists already says nothing to admission.
        let is_for_admission = spec.get("admission").and_then(Value::as_bool) != Some(false);
        for rule in items(spec, "rules").iter().filter(|_| is_for_admission) {
            match Rule::read(rule) {
                Ok(rule) => rules.extend(rule),
                Err(why) => problems.push(why),
            }
        }
        let policy = Self {
            name: namespace.iter().map(|namespace| format!("{namespace}/")).collect::<String>() + name,
            namespace,
            rules,
            applies_one: text(spec, "applyRules") == "One",
            overrides: items(spec, "validationFailureActionOverrides").iter().filter_map(Override::read).collect(),
            action: Action::read(text(spec, "validationFailureAction")),
        };
        Ok((policy, problems))
    }

    pub(super) fn judge(&self, request: &Request) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != request.namespace) {
            return verdicts;
        }
        for rule in &self.rules {
            let Some(outcome) = rule.judge(request) else { continue };
            let action = rule.action(request).or_else(|| Override::action(&self.overrides, request));
            let applies = !matches!(outcome, Outcome::Skip);
            let name = format!("{}/{}", self.name, rule.name);
            verdicts.push(verdict(name, outcome, action.unwrap_or(self.action)));
            if self.applies_one && applies {
                break;
            }
        }
        verdicts
    }
}
