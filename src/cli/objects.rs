use crate::manifest::{Document, Place};
use crate::mutation::{Facts, Kind, Labels, Subject, Surroundings, Unreadable};
use anyhow::anyhow;
use emissary_registry::Keyring;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// An object of a file as the API server would send it.
pub(super) struct Object {
    place: Place,
    pub(super) kind: Kind,
    /// `kind/name`, as kubectl writes it; the kind alone where there is no name.
    pub(super) title: String,
    pub(super) value: Value,
    text: String,
    operation: String,
    sub_resource: Option<String>,
    name: Option<String>,
    pub(super) namespace: Option<String>,
    old: Option<Box<RawValue>>,
}

impl Object {
    /// A manifest's object, or the one inside an AdmissionReview.
    pub(super) fn of(document: Document) -> anyhow::Result<Self> {
        let Document { place, value, .. } = document;
        let string = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let kind = string(&value, "/kind").unwrap_or_default();
        if !value.is_object() || kind.is_empty() {
            return Err(anyhow!("{place}: not a Kubernetes object: it has no kind"));
        }
        let (value, operation, sub_resource, by_request, old) = if kind == "AdmissionReview" {
            let request = value.get("request").cloned().unwrap_or_default();
            let object = match request.get("object") {
                Some(object) if object.is_object() => object.clone(),
                _ => return Err(anyhow!("{place}: the AdmissionReview has no request.object")),
            };
            let old = match request.get("oldObject") {
                Some(old) if old.is_object() => Some(RawValue::from_string(old.to_string())?),
                _ => None,
            };
            let names = (string(&request, "/name"), string(&request, "/namespace"));
            let operation = string(&request, "/operation").unwrap_or_else(|| "CREATE".to_owned());
            (object, operation, string(&request, "/subResource"), names, old)
        } else {
            (value, "CREATE".to_owned(), None, (None, None), None)
        };
        let kind = string(&value, "/kind").unwrap_or_default();
        let api_version = string(&value, "/apiVersion").unwrap_or_default();
        let own =
            string(&value, "/metadata/name").or_else(|| string(&value, "/metadata/generateName").map(|n| n + "…"));
        let (name, namespace) = by_request;
        Ok(Self {
            place,
            kind: Kind::of_manifest(&api_version, &kind),
            title: match name.as_ref().or(own.as_ref()) {
                Some(name) => format!("{}/{name}", kind.to_lowercase()),
                None => kind.to_lowercase(),
            },
            text: value.to_string(),
            namespace: namespace.or_else(|| string(&value, "/metadata/namespace")),
            value,
            operation,
            sub_resource,
            name,
            old,
        })
    }

    /// What is said of an object that is not what its kind says. The parser's own position is one in the JSON that was
    /// made of the input, which nobody sees.
    pub(super) fn unreadable(&self, why: &Unreadable) -> anyhow::Error {
        let why = why.to_string();
        let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
        anyhow!("{}: {}: {why}", self.place, self.title)
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            kind: self.kind,
            operation: &self.operation,
            sub_resource: self.sub_resource.as_deref(),
            name: self.name.as_deref(),
            namespace: self.namespace.as_deref(),
            object: &self.text,
            old_object: self.old.as_deref().map(RawValue::get),
        }
    }
}

/// Surroundings as far as the documents that came before tell them: the labels of Namespace objects.
pub(super) struct Told {
    pub(super) namespaces: HashMap<String, Labels>,
    pub(super) keyring: Arc<Keyring>,
}

impl Told {
    pub(super) fn new(keyring: Keyring) -> Self {
        Self { namespaces: HashMap::new(), keyring: Arc::new(keyring) }
    }

    /// Remembers the object if it is a Namespace.
    pub(super) fn learn(&mut self, object: &Value) {
        if object.get("kind").and_then(Value::as_str) != Some("Namespace") {
            return;
        }
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        if let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) {
            self.namespaces.insert(name.to_owned(), labels);
        }
    }
}

impl Surroundings for Told {
    fn facts(&self, subject: &Subject<'_>) -> Facts {
        let labels = subject.namespace.and_then(|namespace| self.namespaces.get(namespace));
        Facts {
            namespace_labels: labels.cloned().unwrap_or_default(),
            keyring: Arc::clone(&self.keyring),
            ..Facts::default()
        }
    }
}
