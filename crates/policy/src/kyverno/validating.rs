use super::rule::evaluate;
use super::{Action, Outcome, items, text, texts, verdict};
use crate::request::Request;
use crate::vap::matching::{Matching, NamespaceUnknown};
use crate::vap::rules::Rules;
use crate::verdict::Verdict;
use serde_json::{Value, json};

/// A ValidatingPolicy (`policies.kyverno.io`): a ValidatingAdmissionPolicy with its actions in it, and Kyverno's functions.
#[derive(Debug)]
pub(super) struct ValidatingPolicy {
    pub(super) name: String,
    namespace: Option<String>,
    matching: Matching,
    /// Or why it cannot be judged here.
    rules: Result<Rules, String>,
    actions: Vec<String>,
}

impl ValidatingPolicy {
    pub(super) fn read(document: &Value) -> Result<Self, String> {
        let metadata = document.get("metadata").unwrap_or(&Value::Null);
        let spec = document.get("spec").unwrap_or(&Value::Null);
        let name = text(metadata, "name").to_owned();
        if name.is_empty() {
            return Err("metadata.name is missing".to_owned());
        }
        let namespace =
            (text(document, "kind") == "NamespacedValidatingPolicy").then(|| text(metadata, "namespace").to_owned());
        let constraints = spec.get("matchConstraints").unwrap_or(&Value::Null);
        let matching = Matching::read("spec.matchConstraints", constraints).map_err(|error| error.to_string())?;
        let validations = items(spec, "validations").iter().enumerate().map(|(n, validation)| {
            let mut validation = validation.clone();
            if text(&validation, "message").is_empty() && validation.is_object() {
                validation["message"] = Value::from(format!("CEL expression validation failed at index {n}"));
            }
            validation
        });
        let program = json!({
            "validations": validations.collect::<Vec<_>>(),
            "variables": spec.get("variables").cloned().unwrap_or_default(),
            "auditAnnotations": spec.get("auditAnnotations").cloned().unwrap_or_default(),
            "failurePolicy": text(spec, "failurePolicy"),
        });
        let rules = Rules::compile(&program, items(spec, "matchConditions"), false, &[]);
        // Kyverno has functions and variables that are not here.
        let rules = match rules.problems().into_iter().next() {
            Some((place, _, error)) => Err(format!("{place} cannot be judged here: {error}")),
            None => Ok(rules),
        };
        Ok(Self {
            name: namespace.iter().map(|namespace| format!("{namespace}/")).collect::<String>() + &name,
            namespace,
            matching,
            rules,
            actions: texts(spec, "validationActions"),
        })
    }

    /// `None` where it does not match.
    pub(super) fn judge(&self, request: &Request) -> Option<Verdict> {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != request.namespace) {
            return None;
        }
        let outcome = match (self.matching.matches(request), &self.rules) {
            (Ok(false), _) => return None,
            (Err(NamespaceUnknown), _) => {
                Outcome::Unknown("the labels of the request's namespace are not known".to_owned())
            }
            (Ok(true), Err(why)) => Outcome::Unknown(why.clone()),
            (Ok(true), Ok(rules)) => match evaluate(rules, request) {
                Outcome::Fail(message) => Outcome::Fail(as_error(&message).unwrap_or(message)),
                other => other,
            },
        };
        let denies = self.actions.iter().any(|action| action == "Deny");
        let action = if denies { Action::Enforce } else { Action::Audit };
        Some(verdict(self.name.clone(), outcome, action))
    }
}

/// What an expression fails with, in Kyverno's words; `None` for what it says by itself.
fn as_error(message: &str) -> Option<String> {
    let (_, error) = message.strip_prefix("expression '")?.split_once("' resulted in error: ")?;
    Some(format!("error: {error}"))
}
