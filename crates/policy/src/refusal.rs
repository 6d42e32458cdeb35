use serde_json::Value;

/// A policy, or part of one, that its engine would not take, so that nothing follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

impl Refusal {
    pub(crate) fn new(document: &Value, why: String) -> Self {
        let text = |key| document.pointer(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { kind: text("/kind"), name: text("/metadata/name"), why }
    }
}
