//! Templates in Common Expression Language (the engine `K8sNativeValidation`), which run as a ValidatingAdmissionPolicy's rules do.

use super::{Violation, text};
use crate::cel::{Globals, Value as CelValue};
use crate::rego::EvaluationError;
use crate::request::Request;
use crate::vap::rules::{Finding, Rules};
use serde_json::{Map, Value, json};

/// The variables that every template has: the constraint's parameters, and the object, which is the old one where it is deleted.
const GIVEN: [(&str, &str); 2] = [
    ("params", "!has(params.spec) ? null : !has(params.spec.parameters) ? null : params.spec.parameters"),
    ("anyObject", "has(request.operation) && request.operation == \"DELETE\" && object == null ? oldObject : object"),
];
/// How names of Gatekeeper's own begin.
const RESERVED: &str = "gatekeeper_internal_";

/// A template in CEL, compiled.
#[derive(Debug)]
pub(super) struct Native {
    rules: Rules,
}

/// Why one is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidNative {
    #[error("invalid failure policy: unrecognized failure policy: {0}")]
    FailurePolicy(String),
    #[error("invalid variable definition: {0} an invalid variable name, {0:?} is a reserved keyword")]
    Given(String),
    #[error("{0} is not a valid name; cannot have {RESERVED:?} as a prefix")]
    Reserved(String),
}

impl Native {
    /// Compiles it. An expression that does not compile is no reason to refuse: Gatekeeper says so to whoever is judged.
    pub(super) fn compile(source: &Value) -> Result<Self, InvalidNative> {
        let policy = text(source, "failurePolicy");
        if !matches!(policy, "" | "Fail" | "Ignore") {
            return Err(InvalidNative::FailurePolicy(policy.to_owned()));
        }
        let items = |key: &str| source.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let conditions = [items("matchCondition"), items("matchConditions")].concat();
        for variable in items("variables") {
            let name = text(variable, "name");
            if GIVEN.iter().any(|(given, _)| *given == name) {
                return Err(InvalidNative::Given(name.to_owned()));
            }
        }
        let named = items("variables").iter().chain(&conditions).map(|item| text(item, "name"));
        if let Some(name) = named.into_iter().find(|name| name.starts_with(RESERVED)) {
            return Err(InvalidNative::Reserved(name.to_owned()));
        }
        Ok(Self { rules: Rules::compile(source, &conditions, true, &GIVEN) })
    }

    /// What it has against a request.
    pub(super) fn violations(&self, subject: &Subject<'_>, params: &Value) -> Result<Vec<Violation>, EvaluationError> {
        let findings = self.rules.evaluate(Globals {
            object: CelValue::from(&subject.request.object),
            old_object: CelValue::from(&subject.request.old_object),
            request: CelValue::from(&subject.json),
            // Null where Gatekeeper does not know it.
            namespace_object: Some(subject.namespace.map_or(CelValue::Null, CelValue::of_fields)),
            params: CelValue::from(params),
        });
        let mut violations = Vec::new();
        for finding in findings.validations {
            match finding {
                Finding::Nothing => {}
                Finding::Unknown(why) => return Err(EvaluationError::MissingFunction(why)),
                Finding::Against { message, .. } => violations.push(Violation { message, details: json!({}) }),
            }
        }
        Ok(violations)
    }
}

/// A request as expressions see it, made once for all constraints.
pub(super) struct Subject<'r> {
    request: &'r Request,
    json: Value,
    namespace: Option<&'r Map<String, Value>>,
}

impl<'r> Subject<'r> {
    pub(super) fn new(request: &'r Request) -> Self {
        Self {
            request,
            json: request.to_json_without_objects(),
            namespace: request.namespace_object.as_ref().map(|namespace| &namespace.object),
        }
    }
}

/// A constraint as `params`. Gatekeeper's numbers are floating-point ones by then.
pub(super) fn params(parameters: Option<&Value>) -> Value {
    match parameters {
        Some(parameters) => json!({"spec": {"parameters": floating(parameters)}}),
        None => json!({"spec": {}}),
    }
}

fn floating(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter().map(floating).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), floating(value))).collect(),
        other => other.clone(),
    }
}
