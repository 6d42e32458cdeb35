use emissary_policy::defaults;
use serde_json::Value;

use crate::oracle;

/// The ways to what differs, with both values.
fn differences(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
                let value = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                if ours.contains_key(key) != theirs.contains_key(key) {
                    found.push(format!("{path}.{key}: {} and {}", value(ours), value(theirs)));
                } else {
                    differences(&format!("{path}.{key}"), &value(ours), &value(theirs), found);
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differences(&format!("{path}[{index}]"), ours, theirs, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {ours} and {theirs}")),
    }
}

#[test]
fn every_recorded_pod_is_ours() {
    let mut found = Vec::new();
    for case in oracle::lines("vap/defaults.jsonl.gz") {
        differences("", &defaults::pod(&case["pod"]), &case["object"], &mut found);
    }
    assert!(found.is_empty(), "ours and the API server's: {} differ\n{}", found.len(), found.join("\n"));
}
