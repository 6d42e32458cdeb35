use regorus::Value;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A document that modules see as `input`; made once for all modules that are asked about it.
#[derive(Debug, Clone)]
pub struct Input(pub(super) Value);

impl Input {
    /// Makes it of JSON.
    pub fn new(json: &serde_json::Value) -> Self {
        Self(of_json(json))
    }

    /// An object of parts, which are shared and not copied.
    pub fn of_parts<'p>(parts: impl IntoIterator<Item = (&'p str, &'p Self)>) -> Self {
        let fields: BTreeMap<Value, Value> =
            parts.into_iter().map(|(name, part)| (Value::from(name), part.0.clone())).collect();
        Self(Value::from(fields))
    }
}

pub(super) fn of_json(json: &serde_json::Value) -> Value {
    // Every JSON document is a value; an error would be of a number that none can hold.
    Value::deserialize(json).unwrap_or(Value::Undefined)
}

pub(super) fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}
