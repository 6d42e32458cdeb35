//! Gatekeeper 3: constraint templates, constraints, and what its webhook would say of a request.

mod constraint;
mod inventory;
mod matching;
mod native;
mod schema;
mod template;

pub use crate::refusal::Refusal;
use crate::rego::{EvaluationError, Input};
use crate::request::Request;
use crate::verdict::{Decision, Engine, Verdict};
use constraint::{Action, Constraint};
use inventory::Inventory;
use matching::NotMatchable;
use native::Subject;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use template::{Program, Template};

/// The templates and constraints of a cluster, compiled. A clone judges independently of the others, and shares what is
/// compiled.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    templates: BTreeMap<String, Template>,
    constraints: Vec<Constraint>,
}

/// One thing that a constraint has against a request.
#[derive(Debug, Clone, PartialEq)]
struct Violation {
    message: String,
    details: Value,
}

impl Gatekeeper {
    /// Compiles templates and constraints; all other documents are what Gatekeeper has synced (`data.inventory`).
    ///
    /// What would be refused is left out and listed.
    pub fn new<'d>(documents: impl IntoIterator<Item = &'d Value>) -> (Self, Vec<Refusal>) {
        let (mut templates, mut constraints, mut inventory) = (Vec::new(), Vec::new(), Inventory::default());
        for document in documents {
            let (api_version, kind) = (text(document, "apiVersion"), text(document, "kind"));
            match api_version.split('/').next() {
                Some("templates.gatekeeper.sh") if kind == "ConstraintTemplate" => templates.push(document),
                Some("constraints.gatekeeper.sh") => constraints.push(document),
                _ => inventory.add(document),
            }
        }
        let data = inventory.into_data();
        let mut refusals = Vec::new();
        let mut refuse = |document: &Value, why: String| refusals.push(Refusal::new(document, why));
        let mut gatekeeper = Self { templates: BTreeMap::new(), constraints: Vec::with_capacity(constraints.len()) };
        for document in templates {
            match Template::compile(document, &data) {
                Ok(template) => _ = gatekeeper.templates.insert(template.kind.clone(), template),
                Err(error) => refuse(document, error.to_string()),
            }
        }
        for document in constraints {
            let constraint = match gatekeeper.templates.get(text(document, "kind")) {
                Some(template) => Constraint::read(document, template).map_err(|error| error.to_string()),
                None => Err(format!("there is no template of kind {}", text(document, "kind"))),
            };
            match constraint {
                Ok(constraint) => gatekeeper.constraints.push(constraint),
                Err(why) => refuse(document, why),
            }
        }
        gatekeeper.constraints.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        (gatekeeper, refusals)
    }

    /// How many constraints there are.
    pub fn len(&self) -> usize {
        self.constraints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.constraints.is_empty()
    }

    /// The constraints, as verdicts name them.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.constraints.iter().map(Constraint::policy)
    }

    /// Keeps the constraints whose names are wanted; the others are not asked any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.constraints.retain(|constraint| wanted(&constraint.policy()));
    }

    /// What each constraint that matches says, in the order of kinds and names. Several violations are several lines.
    pub fn judge(&mut self, request: &Request) -> Vec<Verdict> {
        let review = review(request);
        let input = Input::new(&review);
        let subject = Subject::new(request);
        let mut verdicts = Vec::new();
        for constraint in &self.constraints {
            let found = match constraint.matching.matches(request) {
                Ok(false) => continue,
                // As Gatekeeper has it: what cannot be matched is violated.
                Err(error) => Ok(vec![unmatched(&error, request)]),
                Ok(true) if constraint.action == Action::Elsewhere => Ok(Vec::new()),
                Ok(true) => match self.templates.get_mut(&constraint.kind) {
                    None => continue,
                    Some(template) if !template.is_for(request.operation) => Ok(Vec::new()),
                    Some(Template { program: Program::Rego { modules, rule }, .. }) => {
                        let input = Input::of_parts([("review", &input), ("parameters", &constraint.parameters)]);
                        modules.evaluate(rule, &input).and_then(|result| violations(result.as_ref()))
                    }
                    Some(Template { program: Program::Native(native), .. }) => {
                        native.violations(&subject, &constraint.params)
                    }
                },
            };
            verdicts.push(verdict(constraint, found));
        }
        verdicts
    }
}

/// What follows of what was found.
fn verdict(constraint: &Constraint, found: Result<Vec<Violation>, EvaluationError>) -> Verdict {
    let (violations, unknown) = match found {
        Ok(violations) => (violations, None),
        Err(EvaluationError::MissingFunction(why)) => (Vec::new(), Some(why)),
        // Gatekeeper makes a violation of what fails at run time.
        Err(EvaluationError::Failed(why)) => (vec![Violation { message: why, details: json!({}) }], None),
    };
    let decision = match constraint.action {
        _ if unknown.is_some() => Decision::Unknown,
        _ if violations.is_empty() => Decision::Allowed,
        Action::Deny => Decision::Denied,
        Action::Warn => Decision::Warned,
        Action::Silent | Action::Elsewhere => Decision::Allowed,
    };
    let mut messages: Vec<String> = violations.into_iter().map(|violation| violation.message).collect();
    messages.sort_unstable();
    Verdict {
        engine: Engine::Gatekeeper,
        policy: constraint.policy(),
        decision,
        message: unknown.unwrap_or_else(|| messages.join("\n")),
    }
}

fn unmatched(error: &NotMatchable, request: &Request) -> Violation {
    let name = [&request.object, &request.old_object].into_iter().find_map(|object| object.pointer("/metadata/name"));
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let message = format!(
        "unable to match constraints: error matching the requested object: {name} :failed to run Match criteria: {error}"
    );
    Violation { message, details: json!({}) }
}

/// The elements of `violation`. Those without a message are not seen, equal ones are one.
fn violations(result: Option<&Value>) -> Result<Vec<Violation>, EvaluationError> {
    let mut violations: Vec<Violation> = Vec::new();
    for element in result.and_then(Value::as_array).into_iter().flatten() {
        let Some(message) = element.get("msg") else { continue };
        let Some(message) = message.as_str() else {
            return Err(EvaluationError::Failed(format!("msg is not a string: {message}")));
        };
        let details = element.get("details").cloned().unwrap_or_else(|| json!({}));
        let violation = Violation { message: message.to_owned(), details };
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    Ok(violations)
}

/// `input.review`: the request, with the namespace where it is known.
fn review(request: &Request) -> Value {
    let mut review = request.to_json();
    // A deleted object is what is judged: Gatekeeper puts it where policies look.
    if review["object"].is_null() && !review["oldObject"].is_null() {
        review["object"] = review["oldObject"].clone();
    }
    if let (Some(namespace), Value::Object(fields)) = (&request.namespace_object, &mut review) {
        fields.insert("namespaceObject".to_owned(), Value::Object(namespace.object.clone()));
    }
    review
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn fields<'v>(value: &'v Value, key: &str) -> Option<&'v Map<String, Value>> {
    value.get(key).and_then(Value::as_object)
}
