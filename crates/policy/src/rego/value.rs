use regorus::Value;
use serde::Deserialize;

/// A document that modules see as `input`; made once for all modules that are asked about it.
#[derive(Debug, Clone)]
pub struct Input(pub(super) Value);

impl Input {
    /// Makes it of JSON.
    pub fn new(json: &serde_json::Value) -> Self {
        Self(of_json(json))
    }
}

pub(super) fn of_json(json: &serde_json::Value) -> Value {
    // Every JSON document is a value; an error would be of a number that none can hold.
    Value::deserialize(json).unwrap_or(Value::Undefined)
}

pub(super) fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
}
