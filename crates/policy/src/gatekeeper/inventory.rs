use crate::rego::Input;
use serde_json::{Map, Value, json};

/// What Gatekeeper has synced of the cluster, as policies see it: `data.inventory`.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    cluster: Map<String, Value>,
    namespace: Map<String, Value>,
}

impl Inventory {
    /// Adds an object under its namespace, version, kind and name; what lacks one of these is left out.
    pub(super) fn add(&mut self, object: &Value) {
        let metadata = |key| object.pointer(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(version), Some(kind), Some(name)) =
            (metadata("/apiVersion"), metadata("/kind"), metadata("/metadata/name"))
        else {
            return;
        };
        let scope = match metadata("/metadata/namespace") {
            Some(namespace) => below(&mut self.namespace, namespace),
            None => &mut self.cluster,
        };
        below(below(scope, version), kind).insert(name.to_owned(), object.clone());
    }

    pub(super) fn into_data(self) -> Input {
        let Self { cluster, namespace } = self;
        Input::new(&json!({"inventory": {"cluster": cluster, "namespace": namespace}}))
    }
}

/// The object under a key, made where there is none.
fn below<'m>(map: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}
