use super::candidate::text;
use crate::manifest::{Document, Place, Problem, parse_yaml};
use serde_json::{Map, Value};

/// How deeply a text of YAML may nest.
const DEEPEST: usize = 64;

/// The configuration of a workflow controller, as one value: of a ConfigMap in either of Argo's encodings, or of a document that
/// is the configuration itself.
///
/// # Errors
/// A [`Problem`] for a text that is no YAML, and for what is no mapping.
pub fn configuration(document: Document) -> Result<Value, Problem> {
    let Document { place, value, .. } = document;
    if text(&value, "/kind") != "ConfigMap" {
        let expected = "the controller's configuration is expected: a ConfigMap, or what its key `config` holds";
        return if value.is_object() { Ok(value) } else { Err(Problem::new(place, expected)) };
    }
    let fields = value.get("data").and_then(Value::as_object).into_iter().flatten();
    let mut configuration = Map::new();
    for (key, field) in fields {
        let start = Place::whole(format!("{place}, key {key}"));
        let field = parse_yaml::<Value>(field.as_str().unwrap_or_default(), &start, DEEPEST)?.value;
        match field {
            Value::Object(fields) if key == "config" => configuration.extend(fields),
            Value::Null => {}
            _ if key == "config" => return Err(Problem::new(start, "a mapping is expected")),
            field => _ = configuration.insert(key.clone(), field),
        }
    }
    Ok(Value::Object(configuration))
}

/// Reads YAML of a stranger, such as a `podSpecPatch`; `None` where it is none.
pub(super) fn yaml(text: &str) -> Option<Value> {
    parse_yaml(text, &Place::whole("podSpecPatch"), DEEPEST).ok().map(|parsed| parsed.value)
}
