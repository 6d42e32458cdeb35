//! `matchConstraints` of a policy and `matchResources` of a binding (Kubernetes API, `MatchResources`).

use crate::request::Request;
use crate::selector::{InvalidSelector, LabelSelector};
use serde_json::Value;

/// What requests a policy or binding is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    namespace_labels: Option<LabelSelector>,
    labels: Option<LabelSelector>,
}

#[derive(Debug, Clone)]
struct Rule {
    groups: Vec<String>,
    versions: Vec<String>,
    operations: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

/// Why it is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidMatching {
    #[error("{place}.{field}: Required value")]
    Required { place: String, field: &'static str },
    #[error("{place}.{field}: Unsupported value: {value:?}: supported values: {supported}")]
    Unsupported { place: String, field: &'static str, value: String, supported: &'static str },
    #[error("{place}.{field}: {problem}")]
    Selector { place: String, field: &'static str, problem: InvalidSelector },
}

/// The namespace's labels are asked for, and nobody knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamespaceUnknown;

impl Matching {
    pub(crate) fn read(place: &str, value: &Value) -> Result<Self, InvalidMatching> {
        let selector = |field: &'static str| match value.get(field).filter(|given| !given.is_null()) {
            None => Ok(None),
            Some(given) => LabelSelector::read(given).map(Some).map_err(|problem| InvalidMatching::Selector {
                place: place.to_owned(),
                field,
                problem,
            }),
        };
        let rules = |field: &'static str| -> Result<Vec<Rule>, InvalidMatching> {
            let all = value.get(field).and_then(Value::as_array).into_iter().flatten().enumerate();
            all.map(|(n, rule)| Rule::read(&format!("{place}.{field}[{n}]"), rule)).collect()
        };
        if let Some(policy) = value.get("matchPolicy").and_then(Value::as_str)
            && !matches!(policy, "Exact" | "Equivalent")
        {
            return Err(InvalidMatching::Unsupported {
                place: place.to_owned(),
                field: "matchPolicy",
                value: policy.to_owned(),
                supported: "\"Equivalent\", \"Exact\"",
            });
        }
        Ok(Self {
            rules: rules("resourceRules")?,
            excluded: rules("excludeResourceRules")?,
            namespace_labels: selector("namespaceSelector")?,
            labels: selector("objectSelector")?,
        })
    }

    /// Whether there is any rule: a policy has to have one, a binding is for all that its policy is for.
    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(crate) fn matches(&self, request: &Request) -> Result<bool, NamespaceUnknown> {
        let Self { rules, excluded, namespace_labels, labels } = self;
        let applies = (rules.is_empty() || rules.iter().any(|rule| rule.matches(request)))
            && !excluded.iter().any(|rule| rule.matches(request))
            && labels.as_ref().is_none_or(|labels| selects(labels, request));
        match namespace_labels {
            Some(labels) if applies => selects_namespace(labels, request),
            _ => Ok(applies),
        }
    }
}

fn label(object: &Value, key: &str) -> Option<String> {
    object.get("metadata")?.get("labels")?.get(key)?.as_str().map(str::to_owned)
}

/// Either of an update's two objects is enough.
fn selects(labels: &LabelSelector, request: &Request) -> bool {
    let objects = [&request.object, &request.old_object].into_iter().filter(|object| !object.is_null());
    let mut objects = objects.map(|object| labels.matches(|key| label(object, key)));
    objects.any(|selected| selected)
}

fn selects_namespace(labels: &LabelSelector, request: &Request) -> Result<bool, NamespaceUnknown> {
    if request.kind.group.is_empty() && request.kind.kind == "Namespace" {
        let object = if request.object.is_null() { &request.old_object } else { &request.object };
        return Ok(labels.matches(|key| label(object, key)));
    }
    match &request.namespace_object {
        // Nothing of the cluster is left out.
        _ if request.namespace.is_empty() => Ok(true),
        Some(namespace) => Ok(labels.matches(|key| namespace.label(key).map(str::to_owned))),
        None if labels.is_empty() => Ok(true),
        None => Err(NamespaceUnknown),
    }
}

impl Rule {
    fn read(place: &str, rule: &Value) -> Result<Self, InvalidMatching> {
        let strings = |field| -> Vec<String> {
            let all = rule.get(field).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let required = |field| match strings(field) {
            none if none.is_empty() => Err(InvalidMatching::Required { place: place.to_owned(), field }),
            some => Ok(some),
        };
        let (operations, scope) =
            (required("operations")?, rule.get("scope").and_then(Value::as_str).unwrap_or("*").to_owned());
        let unsupported = |field, value: &str, supported| InvalidMatching::Unsupported {
            place: place.to_owned(),
            field,
            value: value.to_owned(),
            supported,
        };
        let is_known = |one: &&String| matches!(one.as_str(), "*" | "CREATE" | "UPDATE" | "DELETE" | "CONNECT");
        if let Some(wrong) = operations.iter().find(|one| !is_known(one)) {
            let supported = "\"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"";
            return Err(unsupported("operations", wrong, supported));
        }
        if !matches!(scope.as_str(), "*" | "Cluster" | "Namespaced") {
            return Err(unsupported("scope", &scope, "\"*\", \"Cluster\", \"Namespaced\""));
        }
        Ok(Self {
            groups: required("apiGroups")?,
            versions: required("apiVersions")?,
            operations,
            resources: required("resources")?,
            names: strings("resourceNames"),
            scope,
        })
    }

    fn matches(&self, request: &Request) -> bool {
        let of_any = |all: &[String], value: &str| all.iter().any(|one| one == "*" || one == value);
        let is_namespace = request.kind.group.is_empty() && request.kind.kind == "Namespace";
        let is_of_cluster = request.namespace.is_empty() || is_namespace;
        let of_resource = |one: &String| {
            let (resource, sub_resource) = one.split_once('/').unwrap_or((one, ""));
            (resource == "*" || resource == request.resource)
                && (sub_resource == "*" || sub_resource == request.sub_resource)
        };
        of_any(&self.operations, request.operation.as_str())
            && of_any(&self.groups, &request.kind.group)
            && of_any(&self.versions, &request.kind.version)
            && self.resources.iter().any(of_resource)
            && (self.scope == "*" || (self.scope == "Cluster") == is_of_cluster)
            && (self.names.is_empty() || self.names.contains(&request.name))
    }
}
