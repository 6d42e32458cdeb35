use super::{fields, text};
use crate::request::Request;
use crate::selector::{InvalidSelector, LabelSelector};
use serde_json::Value;

/// `spec.match` of a constraint.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    kinds: Vec<(Vec<String>, Vec<String>)>,
    namespaces: Option<Vec<String>>,
    excluded_namespaces: Vec<String>,
    labels: Option<LabelSelector>,
    namespace_labels: Option<LabelSelector>,
    scope: String,
    name: String,
    source: String,
}

/// Why a `spec.match` is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidMatch {
    #[error("spec.match has no field {0}")]
    UnknownField(String),
    #[error("spec.match.{field}: {problem}")]
    Selector { field: &'static str, problem: InvalidSelector },
    #[error("spec.match.source is one of All, Generated and Original, and not {0:?}")]
    Source(String),
    #[error("spec.match.{field}: {pattern:?} has a `*` that is neither first nor last, or characters that no name has")]
    Pattern { field: &'static str, pattern: String },
    #[error("spec.match.{0} is of the wrong type")]
    Type(&'static str),
}

/// Why a constraint cannot be matched against a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMatchable {
    #[error("namespace selector for namespace-scoped object but missing Namespace")]
    NamespaceUnknown,
}

const FIELDS: [&str; 8] =
    ["excludedNamespaces", "kinds", "labelSelector", "name", "namespaceSelector", "namespaces", "scope", "source"];

impl Matching {
    pub(super) fn read(spec: &Value) -> Result<Self, InvalidMatch> {
        let Some(given) = spec.get("match").filter(|given| !given.is_null()) else { return Ok(Self::default()) };
        let Some(all) = given.as_object() else { return Err(InvalidMatch::Type("")) };
        if let Some(unknown) = all.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(InvalidMatch::UnknownField(unknown.clone()));
        }
        let strings = |value: &Value, field| -> Result<Vec<String>, InvalidMatch> {
            let all = value.as_array().ok_or(InvalidMatch::Type(field))?;
            all.iter().map(|one| one.as_str().map(str::to_owned).ok_or(InvalidMatch::Type(field))).collect()
        };
        let patterns = |field: &'static str| -> Result<Option<Vec<String>>, InvalidMatch> {
            let Some(value) = given.get(field) else { return Ok(None) };
            let patterns = strings(value, field)?;
            match patterns.iter().find(|pattern| !is_pattern(pattern)) {
                Some(pattern) => Err(InvalidMatch::Pattern { field, pattern: pattern.clone() }),
                None => Ok(Some(patterns)),
            }
        };
        let selector = |field: &'static str| match given.get(field) {
            None => Ok(None),
            Some(value) => {
                LabelSelector::read(value).map(Some).map_err(|problem| InvalidMatch::Selector { field, problem })
            }
        };
        let source = text(given, "source").to_owned();
        if !matches!(source.as_str(), "" | "All" | "Generated" | "Original") {
            return Err(InvalidMatch::Source(source));
        }
        let mut kinds = Vec::new();
        for entry in given.get("kinds").and_then(Value::as_array).into_iter().flatten() {
            let of = |field| entry.get(field).map_or(Ok(Vec::new()), |value| strings(value, "kinds"));
            kinds.push((of("apiGroups")?, of("kinds")?));
        }
        Ok(Self {
            kinds,
            namespaces: patterns("namespaces")?,
            excluded_namespaces: patterns("excludedNamespaces")?.unwrap_or_default(),
            labels: selector("labelSelector")?,
            namespace_labels: selector("namespaceSelector")?,
            scope: text(given, "scope").to_owned(),
            name: text(given, "name").to_owned(),
            source,
        })
    }

    /// Whether the constraint is about the request. Either of an update's two objects is enough.
    pub(super) fn matches(&self, request: &Request) -> Result<bool, NotMatchable> {
        let objects = [&request.object, &request.old_object].into_iter().filter(|object| !object.is_null());
        for object in objects {
            if self.matches_object(request, object)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn matches_object(&self, request: &Request, object: &Value) -> Result<bool, NotMatchable> {
        let Self { kinds, namespaces, excluded_namespaces, labels, namespace_labels, scope, name, source } = self;
        let is_namespace = request.kind.group.is_empty() && request.kind.kind == "Namespace";
        let metadata = |key: &str| object.get("metadata").map_or("", |metadata| text(metadata, key));
        let of_any = |wanted: &[String], value: &str| wanted.iter().any(|one| one == "*" || one == value);
        let of_kind = |(groups, kinds): &(Vec<String>, Vec<String>)| {
            of_any(groups, &request.kind.group) && of_any(kinds, &request.kind.kind)
        };
        // A namespace is in itself; other objects of the cluster are in none, and no list leaves them out.
        let namespace = if is_namespace { metadata("name") } else { &request.namespace };
        let within = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, namespace));
        let object_name = match metadata("name") {
            "" => metadata("generateName"),
            name => name,
        };
        let cheap = source != "Generated"
            && (kinds.is_empty() || kinds.iter().any(of_kind))
            && match scope.as_str() {
                "Cluster" => request.namespace.is_empty(),
                "Namespaced" => !request.namespace.is_empty(),
                _ => true,
            }
            && (namespace.is_empty() || namespaces.as_deref().is_none_or(within))
            && (namespace.is_empty() || !within(excluded_namespaces))
            && (name.is_empty() || fits(name, object_name));
        if !cheap {
            return Ok(false);
        }
        let labels_of = |object: &Value, key: &str| -> Option<String> {
            fields(object.get("metadata")?, "labels")?.get(key)?.as_str().map(str::to_owned)
        };
        if labels.as_ref().is_some_and(|labels| !labels.matches(|key| labels_of(object, key))) {
            return Ok(false);
        }
        match (namespace_labels, &request.namespace_object) {
            (None, _) => Ok(true),
            (Some(labels), _) if is_namespace => Ok(labels.matches(|key| labels_of(object, key))),
            (Some(_), _) if request.namespace.is_empty() => Ok(true),
            (Some(labels), Some(namespace)) => Ok(labels.matches(|key| namespace.label(key).map(str::to_owned))),
            (Some(_), None) => Err(NotMatchable::NamespaceUnknown),
        }
    }
}

/// A name, or the beginning, end or middle of one, with `*` for the rest.
fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

fn is_pattern(pattern: &str) -> bool {
    let inner = pattern.strip_prefix('*').unwrap_or(pattern);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    inner.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | ':'))
}

#[cfg(test)]
mod tests {
    use super::{fits, is_pattern};

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("prod", "prod", true),
            ("prod", "prod-a", false),
            ("prod-*", "prod-a", true),
            ("*-b", "team-b", true),
            ("*-b", "team-b2", false),
            ("*eam*", "team-b", true),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
            assert!(is_pattern(pattern));
        }
        assert!(!is_pattern("pr*d") && !is_pattern("Prod"));
    }
}
