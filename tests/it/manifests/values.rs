//! The chart's values: each has a comment and a place in the schema, and the schema has no others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::generated::values;
use super::{CHART, documents, read};

/// The paths of a schema's properties that are no sections; a section has properties of its own and its values are no choice.
fn properties(schema: &Value, path: &str, sections: &Value, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().unwrap() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match &sections[name] {
            Value::Object(values) if !values.is_empty() && property["properties"].is_object() => {
                assert_eq!(property["additionalProperties"], false, "{path}: a wrong key has to be told");
                properties(property, &path, &sections[name], found);
            }
            _ => drop(found.insert(path)),
        }
    }
}

#[test]
fn every_value_is_in_the_schema_and_has_a_comment() {
    let text = read(&format!("{CHART}/values.yaml"));
    let [defaults] = documents(&text).try_into().unwrap_or_else(|all| panic!("one document: {all:?}"));
    let schema: Value = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let mut known = BTreeSet::new();
    properties(&schema, "", &defaults, &mut known);
    // What Helm itself hands to every chart.
    assert!(known.remove("global"));
    let commented: BTreeSet<String> = values(&text).unwrap().into_iter().map(|value| value.name).collect();
    assert_eq!(known, commented);
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = read(&format!("{CHART}/Chart.yaml"));
    let version = env!("CARGO_PKG_VERSION");
    for key in ["version", "appVersion"] {
        assert!(chart.lines().any(|line| line == format!("{key}: {version}")), "{key} is not {version}");
    }
    assert!(read("webhook/base/deployment.yaml").contains(&format!("image: emissary-webhook:{version}\n")));
}
