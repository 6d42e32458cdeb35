use super::matching::{InvalidMatch, Matching};
use super::native;
use super::schema;
use super::template::{Program, Template};
use super::text;
use crate::rego::Input;
use serde_json::{Value, json};
use std::sync::Arc;

/// The enforcement point of Gatekeeper's webhook.
const WEBHOOK: &str = "validation.gatekeeper.sh";

/// A constraint, ready to be asked.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) matching: Matching,
    /// With the schema's defaults.
    pub(super) parameters: Input,
    /// The constraint as expressions see it; null where the template is in Rego.
    pub(super) params: Arc<Value>,
    pub(super) action: Action,
}

/// What the webhook does about violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Warn,
    /// They are counted, and nobody is told: `dryrun`, and what Gatekeeper does not know.
    Silent,
    /// Scoped to other enforcement points than the webhook.
    Elsewhere,
}

/// Why a constraint is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidConstraint {
    #[error("metadata.name is missing or no name that Kubernetes takes: {0:?}")]
    Name(String),
    #[error("spec.enforcementAction is not a string")]
    Action,
    #[error("spec.scopedEnforcementActions is missing, and enforcementAction is `scoped`")]
    NoScopes,
    #[error(transparent)]
    Match(#[from] InvalidMatch),
    #[error("spec.parameters{0}")]
    Parameters(schema::Violation),
}

impl Constraint {
    /// Its name in verdicts.
    pub(super) fn policy(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub(super) fn read(document: &Value, template: &Template) -> Result<Self, InvalidConstraint> {
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
            return Err(InvalidConstraint::Name(name.to_owned()));
        }
        let spec = document.get("spec").unwrap_or(&Value::Null);
        let parameters = match spec.get("parameters") {
            None => json!({}),
            Some(given) => {
                let mut parameters = given.clone();
                schema::default(&template.schema, &mut parameters);
                schema::check(&template.schema, &parameters, template.structural)
                    .map_err(InvalidConstraint::Parameters)?;
                parameters
            }
        };
        Ok(Self {
            kind: template.kind.clone(),
            name: name.to_owned(),
            matching: Matching::read(spec)?,
            params: Arc::new(match template.program {
                Program::Native(_) => native::params(spec.get("parameters").map(|_| &parameters)),
                Program::Rego { .. } => Value::Null,
            }),
            parameters: Input::new(&parameters),
            action: Action::read(spec)?,
        })
    }
}

impl Action {
    fn read(spec: &Value) -> Result<Self, InvalidConstraint> {
        match spec.get("enforcementAction") {
            None => Ok(Self::Deny),
            Some(Value::String(name)) if name == "scoped" => Self::scoped(spec),
            Some(Value::String(name)) => Ok(Self::of_name(name)),
            Some(_) => Err(InvalidConstraint::Action),
        }
    }

    fn of_name(name: &str) -> Self {
        match name {
            "" | "deny" => Self::Deny,
            "warn" => Self::Warn,
            _ => Self::Silent,
        }
    }

    /// The strictest of the actions that are for the webhook.
    fn scoped(spec: &Value) -> Result<Self, InvalidConstraint> {
        let Some(scopes) = spec.get("scopedEnforcementActions").and_then(Value::as_array) else {
            return Err(InvalidConstraint::NoScopes);
        };
        let is_for_the_webhook = |scope: &&Value| {
            let points = scope.get("enforcementPoints").and_then(Value::as_array).into_iter().flatten();
            points.map(|point| text(point, "name")).any(|name| matches!(name, "*" | WEBHOOK))
        };
        let actions = scopes.iter().filter(is_for_the_webhook).map(|scope| Self::of_name(text(scope, "action")));
        let strictness = |action: &Self| match action {
            Self::Deny => 2,
            Self::Warn => 1,
            Self::Silent | Self::Elsewhere => 0,
        };
        Ok(actions.max_by_key(strictness).unwrap_or(Self::Elsewhere))
    }
}
