use super::candidate::text;
use emissary_core::pod::{LimitRangeItem, Limits};
use emissary_policy::limits;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The LimitRanges and ResourceQuotas of one namespace, as the API server stores them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    pub(super) documents: Vec<Value>,
    /// What LimitRanges allow to what is injected; `None` where there are none.
    pub(super) injected: Option<Arc<Limits>>,
}

/// Those of all namespaces that are known.
#[derive(Debug, Default)]
pub struct KnownBounds(BTreeMap<String, Arc<Bounds>>);

impl KnownBounds {
    /// Learns a document, which holds in its own namespace, or in this one where it names none. Of two of one kind and name
    /// the later counts.
    pub fn learn(&mut self, document: &Value, namespace: &str) {
        let own = text(document, "/metadata/namespace");
        let namespace = if own.is_empty() { namespace } else { own };
        let bounds = Arc::make_mut(self.0.entry(namespace.to_owned()).or_default());
        let key = |value: &Value| (text(value, "/kind").to_owned(), text(value, "/metadata/name").to_owned());
        bounds.documents.retain(|other| key(other) != key(document));
        bounds.documents.push(limits::Limits::stored(document));
        bounds.injected = injected(&bounds.documents);
    }

    /// Those of a namespace.
    pub fn of(&self, namespace: &str) -> Option<Arc<Bounds>> {
        self.0.get(namespace).map(Arc::clone)
    }
}

impl Bounds {
    /// Of documents as the API server stores them; `None` for none.
    pub(super) fn stored(documents: Vec<Value>) -> Option<Arc<Self>> {
        (!documents.is_empty()).then(|| Arc::new(Self { documents, injected: None }))
    }

    /// As the engines judge by them.
    pub(super) fn limits(&self) -> limits::Limits {
        // What is wrong with one was told when it was read.
        limits::Limits::new(&self.documents).0
    }
}

/// As the webhook's own watch reads them.
fn injected(documents: &[Value]) -> Option<Arc<Limits>> {
    let ranges = documents.iter().filter(|document| text(document, "/kind") == "LimitRange");
    let items: Vec<LimitRangeItem> = ranges
        .filter_map(|range| serde_json::from_value::<Vec<LimitRangeItem>>(range.pointer("/spec/limits")?.clone()).ok())
        .flatten()
        .collect();
    (!items.is_empty()).then(|| Arc::new(Limits::of(&items)))
}
