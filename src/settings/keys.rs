//! The table of keys, taken from the schema of [`Settings`].

use super::options::Settings;
use super::tree::{Content, Node};
use super::values::{Period, Size};
use crate::manifest::Problem;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::LazyLock;

/// One key that holds a value and not further keys.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// `server.maxBody`, cut at the dots.
    pub(super) path: Vec<String>,
    pub(super) description: String,
    /// What kind of value, for people.
    pub(super) kind: String,
    pub(super) default: Value,
    /// Takes effect only when the webhook starts.
    pub(super) restart: bool,
    /// One value and no list or mapping: then there is a variable for it.
    pub(super) scalar: bool,
    pub(super) range: Option<Range>,
}

/// Bounds, both included, of what is written in `unit`.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) minimum: Option<String>,
    pub(super) maximum: Option<String>,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Number,
    Period,
    Size,
}

/// Every key, sections in the order of the alphabet.
pub(super) static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    collect(&SCHEMA, &mut Vec::new(), &mut keys);
    keys
});

/// JSON Schema (2020-12) of the settings file, every definition in its place.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Settings>().to_value()
});

impl Key {
    pub(super) fn name(&self) -> String {
        self.path.join(".")
    }

    /// `EMISSARY_WEBHOOK_SERVER_MAX_BODY`, less the prefix.
    pub(super) fn variable(&self) -> String {
        let mut name = String::new();
        for segment in &self.path {
            if !name.is_empty() {
                name.push('_');
            }
            let mut before = '_';
            for letter in segment.chars() {
                // A word starts at a capital; a run of them (`plainHTTP`) is one word.
                if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
                before = letter;
            }
        }
        name
    }

    /// Whether a value that was read as the right type is within the range.
    pub(super) fn check(&self, node: &Node) -> Result<(), Problem> {
        let Some(range) = &self.range else { return Ok(()) };
        let typed = match &node.value {
            Content::Text(text) => text.clone(),
            Content::Number(number) => number.to_string(),
            _ => return Ok(()),
        };
        let measure = |text: &String| range.unit.measure(text);
        let value = measure(&typed);
        let low = range.minimum.as_ref().and_then(measure).is_some_and(|minimum| value < Some(minimum));
        let high = range.maximum.as_ref().and_then(measure).is_some_and(|maximum| value > Some(maximum));
        if low || high { Err(node.problem(format!("{}: {typed} is not {range}", self.name()))) } else { Ok(()) }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.minimum, &self.maximum) {
            (Some(minimum), Some(maximum)) => write!(f, "from {minimum} to {maximum}"),
            (Some(minimum), None) => write!(f, "at least {minimum}"),
            (None, Some(maximum)) => write!(f, "at most {maximum}"),
            (None, None) => Ok(()),
        }
    }
}

impl Unit {
    /// Numbers, milliseconds or bytes.
    fn measure(self, text: &str) -> Option<u128> {
        match self {
            Self::Number => text.parse().ok(),
            Self::Period => text.parse().ok().map(|Period(period)| period.as_millis()),
            Self::Size => text.parse().ok().map(|Size(size)| size.into()),
        }
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, keys: &mut Vec<Key>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        path.push(name.clone());
        if property.get("properties").is_some() {
            collect(property, path, keys);
        } else {
            keys.push(key(property, path.clone()));
        }
        path.pop();
    }
}

fn key(schema: &Value, path: Vec<String>) -> Key {
    let bound = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| schema.get(name))?;
        Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    };
    let kind = kind(schema);
    let unit = match kind.as_str() {
        "time" => Unit::Period,
        "size" => Unit::Size,
        _ => Unit::Number,
    };
    // The 0 that schemars gives every unsigned number says nothing.
    let minimum = bound(["x-minimum", "minimum"]).filter(|minimum| minimum != "0");
    let maximum = bound(["x-maximum", "maximum"]);
    let is_number = kind == "whole number";
    let range = (minimum.is_some() || maximum.is_some()).then_some(Range { minimum, maximum, unit });
    Key {
        path,
        description: schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
        scalar: is_number || !(kind.starts_with("list") || kind.starts_with("mapping")),
        kind,
        default: schema.get("default").cloned().unwrap_or(Value::Null),
        restart: schema.get("x-reload").is_some_and(|reload| reload == "restart"),
        range,
    }
}

/// In people's words.
fn kind(schema: &Value) -> String {
    if let Some(is) = schema.get("x-is").and_then(Value::as_str) {
        return is.to_owned();
    }
    if let Some(variants) = variants(schema) {
        return variants.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(inner) = schema.get("anyOf").and_then(Value::as_array) {
        return inner.iter().map(kind).find(|kind| kind != "null").unwrap_or_default();
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => "",
    };
    match name {
        "array" => format!("list of {}", plural(&schema.get("items").map(kind).unwrap_or_default())),
        "object" => "mapping".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "text" => "texts".to_owned(),
        "name or pattern" => "names or patterns".to_owned(),
        "mapping" | "network" | "Pod Security Standard" => format!("{kind}s"),
        "registry" => "registries".to_owned(),
        other => other.to_owned(),
    }
}

/// The names of an enumeration, whichever way the schema writes them.
fn variants(schema: &Value) -> Option<Vec<&str>> {
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return Some(names.iter().filter_map(Value::as_str).collect());
    }
    let alternatives = schema.get("oneOf").and_then(Value::as_array)?;
    let name = |schema: &'_ Value| schema.get("const").and_then(Value::as_str).map(str::to_owned);
    alternatives
        .iter()
        .all(|schema| name(schema).is_some())
        .then(|| alternatives.iter().filter_map(|schema| schema.get("const").and_then(Value::as_str)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_described_and_has_a_variable_of_its_own() {
        let mut variables = std::collections::BTreeSet::new();
        for key in KEYS.iter() {
            assert!(!key.description.is_empty() && !key.kind.is_empty(), "{}: {key:?}", key.name());
            assert!(variables.insert(key.variable()), "{} is there twice", key.variable());
        }
        for name in ["MODE", "SERVER_MAX_BODY", "REGISTRY_PLAIN_HTTP", "EXECUTOR_IMAGE_PULL_POLICY"] {
            assert!(variables.contains(name), "{name} in {variables:?}");
        }
    }

    #[test]
    fn every_default_is_within_its_range() {
        for key in KEYS.iter() {
            let node = Node::parse(&key.default.to_string(), &"default".into()).unwrap();
            assert_eq!(key.check(&node), Ok(()));
        }
    }
}
