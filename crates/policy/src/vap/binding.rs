use super::matching::{InvalidMatching, Matching};
use super::policy::{ParamKind, Policy};
use crate::request::Request;
use crate::selector::{InvalidSelector, LabelSelector};
use serde_json::Value;
use std::collections::BTreeMap;

/// A ValidatingAdmissionPolicyBinding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) policy: String,
    pub(super) matching: Matching,
    pub(super) actions: Vec<String>,
    param_ref: Option<ParamRef>,
}

#[derive(Debug)]
struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<LabelSelector>,
    denies_if_missing: bool,
}

/// Why a binding is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidBinding {
    #[error(transparent)]
    Matching(#[from] InvalidMatching),
    #[error("{0}: Required value")]
    Required(&'static str),
    #[error(
        "spec.validationActions[{n}]: Unsupported value: {value:?}: supported values: \"Audit\", \"Deny\", \"Warn\""
    )]
    Action { n: usize, value: String },
    #[error("spec.validationActions[{n}]: Duplicate value: {value:?}")]
    Twice { n: usize, value: String },
    #[error(
        "spec.validationActions: Invalid value: {0}: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"
    )]
    DenyAndWarn(Value),
    #[error("spec.paramRef: either name or selector has to be given, and not both")]
    NameAndSelector,
    #[error("spec.paramRef.selector: {0}")]
    Selector(InvalidSelector),
    #[error("spec.paramRef.parameterNotFoundAction: Unsupported value: {0:?}: supported values: \"Allow\", \"Deny\"")]
    NotFoundAction(String),
}

/// The objects that may be parameters, by kind.
pub(super) type Params = BTreeMap<ParamKind, Vec<Value>>;

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn metadata<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get("metadata").map_or("", |metadata| text(metadata, key))
}

impl Binding {
    pub(super) fn read(document: &Value) -> Result<Self, InvalidBinding> {
        let name = metadata(document, "name");
        let spec = document.get("spec").unwrap_or(&Value::Null);
        if name.is_empty() {
            return Err(InvalidBinding::Required("metadata.name"));
        }
        if text(spec, "policyName").is_empty() {
            return Err(InvalidBinding::Required("spec.policyName"));
        }
        let resources = spec.get("matchResources").unwrap_or(&Value::Null);
        Ok(Self {
            name: name.to_owned(),
            policy: text(spec, "policyName").to_owned(),
            matching: Matching::read("spec.matchResources", resources)?,
            actions: actions(spec)?,
            param_ref: spec.get("paramRef").filter(|given| !given.is_null()).map(ParamRef::read).transpose()?,
        })
    }

    pub(super) fn has(&self, action: &str) -> bool {
        self.actions.iter().any(|one| one == action)
    }

    /// The parameters for a request: none stands for an evaluation without. An error is why the binding cannot be evaluated.
    pub(super) fn params<'p>(
        &self,
        policy: &Policy,
        all: &'p Params,
        request: &Request,
    ) -> Result<Vec<Option<&'p Value>>, String> {
        let (Some(kind), Some(wanted)) = (&policy.param_kind, &self.param_ref) else { return Ok(vec![None]) };
        let of_kind = all.get(kind).map(Vec::as_slice).unwrap_or_default();
        // Of a kind of which nothing is known, the reference tells whether it has namespaces.
        let has_namespaces = kind.api_version == "v1"
            || !wanted.namespace.is_empty()
            || of_kind.iter().any(|object| !metadata(object, "namespace").is_empty());
        let namespace = match (has_namespaces, wanted.namespace.as_str()) {
            (false, _) => "",
            (true, "") if request.namespace.is_empty() => {
                return Err("failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned());
            }
            (true, "") => &request.namespace,
            (true, namespace) => namespace,
        };
        let label =
            |object: &Value, key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str().map(str::to_owned);
        let is_wanted = |object: &&Value| {
            metadata(object, "namespace") == namespace
                && match &wanted.selector {
                    Some(selector) => selector.matches(|key| label(object, key)),
                    None => metadata(object, "name") == wanted.name,
                }
        };
        let found: Vec<Option<&Value>> = of_kind.iter().filter(is_wanted).map(Some).collect();
        match found.is_empty() && wanted.denies_if_missing {
            true => Err(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                    .to_owned(),
            ),
            false => Ok(found),
        }
    }
}

fn actions(spec: &Value) -> Result<Vec<String>, InvalidBinding> {
    let given = spec.get("validationActions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if given.is_empty() {
        return Err(InvalidBinding::Required("spec.validationActions"));
    }
    let mut actions: Vec<String> = Vec::with_capacity(given.len());
    for (n, action) in given.iter().enumerate() {
        let value = action.as_str().unwrap_or_default().to_owned();
        if !matches!(value.as_str(), "Deny" | "Warn" | "Audit") {
            return Err(InvalidBinding::Action { n, value });
        }
        if actions.contains(&value) {
            return Err(InvalidBinding::Twice { n, value });
        }
        actions.push(value);
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    match has("Deny") && has("Warn") {
        true => Err(InvalidBinding::DenyAndWarn(Value::from(given.to_vec()))),
        false => Ok(actions),
    }
}

impl ParamRef {
    fn read(given: &Value) -> Result<Self, InvalidBinding> {
        let selector = given.get("selector").filter(|selector| !selector.is_null());
        let name = text(given, "name");
        if name.is_empty() == selector.is_none() {
            return Err(InvalidBinding::NameAndSelector);
        }
        let denies_if_missing = match given.get("parameterNotFoundAction").and_then(Value::as_str) {
            Some("Allow") => false,
            Some("Deny") => true,
            Some(other) => return Err(InvalidBinding::NotFoundAction(other.to_owned())),
            None => return Err(InvalidBinding::Required("spec.paramRef.parameterNotFoundAction")),
        };
        Ok(Self {
            name: name.to_owned(),
            namespace: text(given, "namespace").to_owned(),
            selector: selector.map(LabelSelector::read).transpose().map_err(InvalidBinding::Selector)?,
            denies_if_missing,
        })
    }
}
