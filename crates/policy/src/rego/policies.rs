//! Modules by themselves, without a framework around them: the rules that conftest and kube-mgmt look for, and OPA's own
//! answer to an AdmissionReview.

use super::{CompileError, EvaluationError, Host, Input, Module, Modules, Version};
use crate::request::Request;
use crate::verdict::{Decision, Engine, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// OPA's own entry point (`opa run` as a webhook without a framework).
const MAIN: &str = "data.system.main";

/// Rules that are asked about each request.
#[derive(Debug, Clone)]
pub struct Policies {
    modules: Modules,
    rules: Vec<Rule>,
}

/// A rule that is asked, and what its answer means: by whom it is evaluated is another matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `data.main.deny_root`.
    reference: String,
    /// Of the package, where it has one: what it names is excepted.
    exception: Option<String>,
    kind: Kind,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// `deny`, `violation`, and these with a suffix.
    Deny,
    /// `warn`, also with a suffix.
    Warn,
    /// A whole AdmissionReview.
    Review,
}

/// What a package reads as `input`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    /// The object itself: conftest.
    Object,
    /// An AdmissionReview: OPA and kube-mgmt.
    AdmissionReview,
    /// `{review, parameters}`: Gatekeeper's, without its framework.
    Review,
}

/// A request as each shape of input, made when it is first asked for.
#[derive(Debug)]
pub struct RequestInputs<'r> {
    request: &'r Request,
    object: Option<Input>,
    admission_review: Option<Input>,
    review: Option<Input>,
}

impl<'r> RequestInputs<'r> {
    /// Of a request.
    pub fn new(request: &'r Request) -> Self {
        Self { request, object: None, admission_review: None, review: None }
    }

    fn of(&mut self, shape: Shape) -> &Input {
        let request = self.request;
        let made = match shape {
            // Not copied as JSON first.
            Shape::Object => return self.object.get_or_insert_with(|| Input::new(&request.object)),
            Shape::AdmissionReview => &mut self.admission_review,
            Shape::Review => &mut self.review,
        };
        made.get_or_insert_with(|| Input::new(&shape.of(request)))
    }
}

impl Shape {
    fn of(self, request: &Request) -> Value {
        match self {
            Self::Object => request.object.clone(),
            Self::AdmissionReview => json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request.to_json(),
            }),
            Self::Review => json!({"review": request.to_json(), "parameters": {}}),
        }
    }
}

impl Policies {
    /// Compiles modules and finds the rules that are to be asked, in every package: `deny`, `violation` and `warn`, also
    /// with a suffix behind an underscore. Where there is a `main` in the package `system`, it is asked in place of the
    /// packages that read AdmissionReviews, since it is what OPA would answer.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(modules: &[Module], data: &Value) -> Result<Self, CompileError> {
        let compiled = Modules::compile(modules, Version::Either, Host::Opa, &Input::new(data))?;
        let shapes: Vec<(&str, Shape)> =
            compiled.packages().iter().map(|package| (package.as_str(), shape(package, modules))).collect();
        let main = compiled.rules().contains(MAIN);
        let mut rules = Vec::new();
        for reference in compiled.rules() {
            let Some((package, rule)) = reference.rsplit_once('.') else { continue };
            let shape = shapes.iter().find(|(name, _)| *name == package).map_or(Shape::Object, |(_, shape)| *shape);
            let kind = match kind(rule) {
                _ if reference == MAIN => Kind::Review,
                Some(_) if main && shape == Shape::AdmissionReview => continue,
                Some(kind) => kind,
                None => continue,
            };
            let shape = if kind == Kind::Review { Shape::AdmissionReview } else { shape };
            let exception = format!("{package}.exception");
            let exception = compiled.rules().contains(&exception).then_some(exception);
            rules.push(Rule { reference: reference.clone(), exception, kind, shape });
        }
        Ok(Self { modules: compiled, rules })
    }

    /// How many rules are asked.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules that are asked, as verdicts name them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(Rule::policy)
    }

    /// Keeps the rules whose names are wanted; the others are not asked any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.rules.retain(|rule| wanted(rule.policy()));
    }

    /// What each rule says, in the order of their references.
    pub fn judge(&mut self, inputs: &mut RequestInputs<'_>) -> Vec<Verdict> {
        let Self { modules, rules } = self;
        rules.iter().map(|rule| rule.judge(modules, inputs)).collect()
    }

    /// The rules that are asked, for whoever has another OPA to ask.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// As verdicts name it: `main.deny_root`.
    pub fn policy(&self) -> &str {
        self.reference.strip_prefix("data.").unwrap_or(&self.reference)
    }

    /// What is evaluated: `data.main.deny_root`.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// What says which rules of the package are excepted, if something does.
    pub fn exception(&self) -> Option<&str> {
        self.exception.as_deref()
    }

    /// What it reads as `input`.
    pub fn input(&self, request: &Request) -> Value {
        self.shape.of(request)
    }

    /// What follows from its value and from that of its exception; `None` where they are undefined.
    pub fn verdict(&self, value: Option<&Value>, excepted: Option<&Value>) -> Verdict {
        let found = self.messages(value);
        self.verdict_of(Ok(if self.is_excepted(excepted) { BTreeSet::new() } else { found }))
    }

    fn judge(&self, modules: &mut Modules, inputs: &mut RequestInputs<'_>) -> Verdict {
        self.verdict_of(self.found(modules, inputs.of(self.shape)))
    }

    fn verdict_of(&self, found: Result<BTreeSet<String>, EvaluationError>) -> Verdict {
        let (decision, message) = match found {
            Err(error) => (Decision::Unknown, error.to_string()),
            Ok(messages) if messages.is_empty() => (Decision::Allowed, String::new()),
            Ok(messages) => {
                let decision = if self.kind == Kind::Warn { Decision::Warned } else { Decision::Denied };
                (decision, messages.into_iter().collect::<Vec<_>>().join("\n"))
            }
        };
        Verdict { engine: Engine::Rego, policy: self.policy().to_owned(), decision, message }
    }

    fn found(&self, modules: &mut Modules, input: &Input) -> Result<BTreeSet<String>, EvaluationError> {
        let found = self.messages(modules.evaluate(&self.reference, input)?.as_ref());
        let Some(exception) = self.exception().filter(|_| !found.is_empty()) else { return Ok(found) };
        let excepted = modules.evaluate(exception, input)?;
        Ok(if self.is_excepted(excepted.as_ref()) { BTreeSet::new() } else { found })
    }

    fn messages(&self, value: Option<&Value>) -> BTreeSet<String> {
        match self.kind {
            Kind::Review => answer(value),
            Kind::Deny | Kind::Warn => messages(value),
        }
    }

    fn is_excepted(&self, excepted: Option<&Value>) -> bool {
        let rule = self.reference.rsplit_once('.').map_or("", |(_, rule)| rule);
        // conftest names a rule by its suffix; the bare rule by the empty string.
        let suffix = rule.split_once('_').map_or("", |(_, suffix)| suffix);
        let lists = excepted.and_then(Value::as_array).into_iter().flatten();
        lists.flat_map(|list| list.as_array().into_iter().flatten()).any(|name| name == suffix)
    }
}

/// The rules that are asked, by name.
fn kind(rule: &str) -> Option<Kind> {
    let stem = rule.split_once('_').map_or(rule, |(stem, _)| stem);
    match stem {
        "deny" | "violation" => Some(Kind::Deny),
        "warn" => Some(Kind::Warn),
        _ => None,
    }
}

/// What a package reads, by what its modules mention.
fn shape(package: &str, modules: &[Module]) -> Shape {
    let name = package.strip_prefix("data.").unwrap_or(package);
    let of_package = |module: &&Module| {
        let declared = module.text.lines().find_map(|line| line.trim_start().strip_prefix("package "));
        declared.is_some_and(|declared| declared.split('#').next().is_some_and(|declared| declared.trim() == name))
    };
    let mentions = |text: &str| modules.iter().filter(of_package).any(|module| module.text.contains(text));
    if mentions("input.request") {
        Shape::AdmissionReview
    } else if mentions("input.review") {
        Shape::Review
    } else {
        Shape::Object
    }
}

/// The messages of a rule's elements: strings, or objects with a `msg`. A rule that is just true says its own name's worth.
fn messages(result: Option<&Value>) -> BTreeSet<String> {
    let of_element = |element: &Value| match element {
        Value::String(message) => message.clone(),
        Value::Object(fields) => match fields.get("msg").or_else(|| fields.get("message")) {
            Some(Value::String(message)) => message.clone(),
            _ => element.to_string(),
        },
        other => other.to_string(),
    };
    match result {
        None | Some(Value::Bool(false) | Value::Null) => BTreeSet::new(),
        Some(Value::Bool(true)) => BTreeSet::from([String::new()]),
        Some(Value::Array(elements)) => elements.iter().map(of_element).collect(),
        // A partial object: messages by key.
        Some(Value::Object(elements)) => elements.values().map(of_element).collect(),
        Some(other) => BTreeSet::from([of_element(other)]),
    }
}

/// What a whole AdmissionReview refuses, and why.
fn answer(review: Option<&Value>) -> BTreeSet<String> {
    let Some(response) = review.and_then(|review| review.get("response")) else { return BTreeSet::new() };
    if response.get("allowed") == Some(&Value::Bool(true)) {
        return BTreeSet::new();
    }
    let status = |key: &str| response.get("status").and_then(|status| status.get(key)).and_then(Value::as_str);
    BTreeSet::from([status("message").or_else(|| status("reason")).unwrap_or_default().to_owned()])
}
