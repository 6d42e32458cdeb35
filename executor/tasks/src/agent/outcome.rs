//! What came of a task, as the controller reads it: `NodeResult` of Argo's API.

use serde_json::{Map, Value, json};

/// What a node can be.
const PHASES: [(&str, bool); 7] = [
    ("Pending", false),
    ("Running", false),
    ("Succeeded", true),
    ("Skipped", true),
    ("Failed", true),
    ("Error", true),
    ("Omitted", true),
];

/// The longest message, bytes. It is kept in the Workflow as well.
const LONGEST_MESSAGE: usize = 4 << 10;

/// Fields of a parameter that are texts, whatever they are written as.
const TEXTS: [&str; 2] = ["value", "default"];

/// A phase by its name; nothing where it is none.
pub(super) fn phase(name: &str) -> Option<&'static str> {
    PHASES.iter().find(|(known, _)| *known == name).map(|(known, _)| *known)
}

/// Whether nothing more comes of a node in this phase.
pub(super) fn is_final(phase: &str) -> bool {
    PHASES.iter().any(|(known, last)| *known == phase && *last)
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) phase: &'static str,
    pub(super) message: String,
    pub(super) outputs: Option<Map<String, Value>>,
    pub(super) progress: Option<String>,
}

impl Outcome {
    /// Without outputs.
    pub(super) fn new(phase: &'static str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self { phase, message, outputs: None, progress: None }
    }

    /// The task could not be done.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new("Failed", message)
    }

    /// Its outcome cannot be told.
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self::new("Error", message)
    }

    /// As it is told. The message is always there: patches are merged, and one of an earlier phase would stay.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("phase".to_owned(), self.phase.into());
        fields.insert("message".to_owned(), self.message.clone().into());
        if let Some(outputs) = &self.outputs {
            fields.insert("outputs".to_owned(), outputs.clone().into());
        }
        if let Some(progress) = &self.progress {
            fields.insert("progress".to_owned(), progress.clone().into());
        }
        fields.into()
    }
}

/// Turns numbers and truths that parameters have for values into texts, which the API server insists on.
pub(super) fn with_texts(mut outputs: Map<String, Value>) -> Map<String, Value> {
    let parameters = outputs.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        for name in TEXTS {
            if let Some(value @ (Value::Number(_) | Value::Bool(_))) = parameter.get_mut(name) {
                *value = json!(value.to_string());
            }
        }
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_an_earlier_phase_does_not_stay() {
        assert_eq!(Outcome::new("Succeeded", "").to_json(), json!({ "phase": "Succeeded", "message": "" }));
        let long = Outcome::failed("é".repeat(5000));
        assert_eq!(long.message.len(), 4096);
    }

    #[test]
    fn values_of_parameters_are_texts() {
        let outputs = json!({ "parameters": [{ "name": "a", "value": 5 }, { "name": "b", "value": true, "default": 1.5 },
            { "name": "c", "value": "x" }, 7], "result": "r" });
        let Value::Object(outputs) = outputs else { unreachable!() };
        let expected = json!({ "parameters": [{ "name": "a", "value": "5" }, { "name": "b", "value": "true", "default": "1.5" },
            { "name": "c", "value": "x" }, 7], "result": "r" });
        assert_eq!(Value::from(with_texts(outputs)), expected);
    }

    #[test]
    fn phases_are_argos() {
        for (name, known, last) in
            [("Succeeded", true, true), ("Running", true, false), ("Done", false, false), ("", false, false)]
        {
            assert_eq!((phase(name).is_some(), is_final(name)), (known, last), "{name}");
        }
    }
}
