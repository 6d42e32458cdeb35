//! Merging as Kubernetes' strategic merge patch does, for the lists that a pod or a template has.
//!
//! Objects merge field by field; a list merges by the field that tells its entries apart, and otherwise is replaced; null
//! removes. Entries keep the order of the original, and what only the patch has goes where the patch has it (Kubernetes,
//! "strategic merge patch": `$patch` directives included, `$retainKeys` and the like left aside).

use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";

/// By which field the entries of a list are told apart (`patchMergeKey` of the Kubernetes API and of Argo's). The lists of
/// one name have one key wherever they stand.
fn key_of(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "sidecars"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "parameters"
        | "artifacts"
        | "templates"
        | "resourceClaims"
        | "schedulingGates" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => "containerPort",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// Merges `patch` over `base`.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *base = patch.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(fields) = base else { return };
    match changes.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => fields.clear(),
        Some("delete") => return fields.clear(),
        _ => {}
    }
    for (name, change) in changes {
        if name.starts_with('$') {
            continue;
        }
        match (fields.get_mut(name), change) {
            (_, Value::Null) => {
                fields.remove(name);
            }
            (Some(Value::Array(entries)), Value::Array(changes)) if key_of(name).is_some() => {
                let key = key_of(name).unwrap_or_default();
                let merged = merge_lists(std::mem::take(entries), changes, key);
                *entries = merged;
            }
            (Some(old), _) => merge(old, change),
            (None, Value::Object(_)) => {
                let mut new = Value::Object(Map::new());
                merge(&mut new, change);
                fields.insert(name.clone(), new);
            }
            (None, _) => {
                fields.insert(name.clone(), change.clone());
            }
        }
    }
}

fn merge_lists(original: Vec<Value>, changes: &[Value], key: &str) -> Vec<Value> {
    if changes.iter().any(|change| change[DIRECTIVE] == "replace") {
        return changes.iter().filter(|change| change[DIRECTIVE].is_null()).cloned().collect();
    }
    let place = |list: &[Value], entry: &Value| list.iter().position(|other| other[key] == entry[key]);
    let mut changed: Vec<Value> = Vec::with_capacity(changes.len());
    for change in changes {
        if change[DIRECTIVE] == "delete" {
            continue;
        }
        let mut entry = place(&original, change).and_then(|at| original.get(at)).cloned().unwrap_or_default();
        merge(&mut entry, change);
        changed.push(entry);
    }
    let untouched: Vec<&Value> = original.iter().filter(|entry| place(changes, entry).is_none()).collect();

    // An untouched entry goes before a changed one that the original has behind it.
    let mut merged = Vec::with_capacity(untouched.len() + changed.len());
    let mut untouched = untouched.into_iter().peekable();
    for entry in changed {
        if let Some(at) = place(&original, &entry) {
            while let Some(before) = untouched.next_if(|other| place(&original, other).is_some_and(|other| other < at))
            {
                merged.push(before.clone());
            }
        }
        merged.push(entry);
    }
    merged.extend(untouched.cloned());
    merged
}

/// Lays `over` upon `base` as a JSON decoder does that reads one text after the other into one value: objects merge, anything
/// else is replaced (Argo 3.3, `mainContainer`).
pub(super) fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, value) in over {
                overlay(fields.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::{Value, json};

    #[test]
    fn lists_merge_by_their_key() {
        let table: [(Value, Value, Value); 9] = [
            (json!({"a": 1, "b": 2}), json!({"a": null, "c": 3}), json!({"b": 2, "c": 3})),
            (json!({"args": ["a", "b"]}), json!({"args": ["c"]}), json!({"args": ["c"]})),
            (
                json!({"containers": [{"name": "wait"}, {"name": "main", "image": "a"}]}),
                json!({"containers": [{"name": "main", "image": "b"}, {"name": "new"}]}),
                json!({"containers": [{"name": "wait"}, {"name": "main", "image": "b"}, {"name": "new"}]}),
            ),
            (
                json!({"containers": [{"name": "wait"}, {"name": "main"}]}),
                json!({"containers": [{"name": "new"}]}),
                json!({"containers": [{"name": "new"}, {"name": "wait"}, {"name": "main"}]}),
            ),
            (
                json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
                json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
                json!({"volumes": [{"name": "b"}]}),
            ),
            (
                json!({"env": [{"name": "a", "value": "1"}]}),
                json!({"env": [{"$patch": "replace"}, {"name": "b"}]}),
                json!({"env": [{"name": "b"}]}),
            ),
            (
                json!({"securityContext": {"runAsUser": 1, "runAsNonRoot": true}}),
                json!({"securityContext": {"$patch": "replace", "runAsUser": 2}}),
                json!({"securityContext": {"runAsUser": 2}}),
            ),
            (
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}]}),
                json!({"tolerations": [{"key": "b"}]}),
            ),
            (json!([1]), json!({"a": {"b": null}}), json!({"a": {}})),
        ];
        for (base, patch, expected) in table {
            let mut merged = base.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{base} and {patch}");
        }
    }
}
