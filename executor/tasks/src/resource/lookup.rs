//! Values out of an object by a path, as far as JSONPath, jq and conditions have them in common.

use serde_json::Value;

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    Place(usize),
    All,
}

/// A value as parameters have it: texts as they are, everything else as JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// kubectl's JSONPath: text with paths in braces. Without braces all of it is a path.
///
/// # Errors
/// Where a path is none, is of a kind that is not there, or leads nowhere.
pub(super) fn json_path(object: &Value, template: &str) -> Result<String, String> {
    if !template.contains('{') {
        return several(object, template);
    }
    let mut found = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let (path, behind) = behind.split_once('}').ok_or_else(|| format!("{template}: a brace is open"))?;
        found.push_str(before);
        found.push_str(&several(object, path.trim())?);
        rest = behind;
    }
    found.push_str(rest);
    Ok(found)
}

/// A jq filter that is a path.
///
/// # Errors
/// As [`json_path`].
pub(super) fn jq(object: &Value, filter: &str) -> Result<String, String> {
    match filter.trim() {
        "." => Ok(object.to_string()),
        path => several(object, path),
    }
}

fn several(object: &Value, path: &str) -> Result<String, String> {
    let steps =
        steps(path).ok_or_else(|| format!("{path}: only paths such as .status.items[0]['a.b'] are supported"))?;
    let found = follow(object, &steps);
    match found.is_empty() {
        true => Err(format!("{path} is not in the object")),
        false => Ok(found.into_iter().map(text).collect::<Vec<_>>().join(" ")),
    }
}

/// A path of a condition: names and places with dots between; a dot in a name has a backslash before it.
pub(super) fn dotted<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = object;
    let mut name = String::new();
    let mut characters = path.chars();
    loop {
        match characters.next() {
            Some('\\') => name.extend(characters.next()),
            Some('.') => at = child(at, &std::mem::take(&mut name))?,
            Some(other) => name.push(other),
            None => return child(at, &name),
        }
    }
}

fn child<'a>(at: &'a Value, name: &str) -> Option<&'a Value> {
    match at {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    }
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('[') {
            let (inner, behind) = behind.split_once(']')?;
            let quoted = inner.strip_prefix(['\'', '"']).and_then(|inner| inner.strip_suffix(['\'', '"']));
            steps.push(match (quoted, inner) {
                (Some(name), _) => Step::Field(name),
                (None, "*" | "") => Step::All,
                (None, place) => Step::Place(place.parse().ok()?),
            });
            rest = behind;
        } else {
            let behind = rest.strip_prefix('.').unwrap_or(rest);
            // A dot before a bracket is jq's.
            if behind.starts_with('[') && rest != behind {
                rest = behind;
                continue;
            }
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            let (name, left) = behind.split_at(end);
            let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '/');
            steps.push(match name {
                "*" => Step::All,
                name if !name.is_empty() && name.chars().all(is_name) => Step::Field(name),
                _ => return None,
            });
            rest = left;
        }
    }
    (!steps.is_empty()).then_some(steps)
}

fn follow<'a>(object: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    steps.iter().fold(vec![object], |found, step| {
        found
            .into_iter()
            .flat_map(|value| match (step, value) {
                (Step::Field(name), value) => value.get(*name).into_iter().collect(),
                (Step::Place(place), value) => value.get(*place).into_iter().collect(),
                (Step::All, Value::Array(list)) => list.iter().collect(),
                (Step::All, Value::Object(fields)) => fields.values().collect::<Vec<_>>(),
                (Step::All, _) => Vec::new(),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({ "metadata": { "name": "n", "labels": { "a.b/c": "l" } }, "items": [{ "v": 1 }, { "v": true }], "empty": "" });
        let cases = [
            ("{.metadata.name}", Some("n")),
            ("name: {.metadata.name}!", Some("name: n!")),
            ("{.items[1].v}", Some("true")),
            ("{.items[*].v}", Some("1 true")),
            ("{$.metadata.labels['a.b/c']}", Some("l")),
            (".metadata.name", Some("n")),
            ("{.items[0]}", Some("{\"v\":1}")),
            ("{.empty}", Some("")),
            ("{.none}", None),
            ("{.items[9]}", None),
            ("{.metadata.name", None),
            ("{range .items[*]}", None),
            ("{}", None),
        ];
        for (path, expected) in cases {
            assert_eq!(json_path(&object, path).ok().as_deref(), expected, "{path}");
        }
        let filters = [
            (".metadata.name", Some("n")),
            (".items[].v", Some("1 true")),
            (".items | length", None),
            (".[\"empty\"]", Some("")),
        ];
        for (filter, expected) in filters {
            assert_eq!(jq(&object, filter).ok().as_deref(), expected, "{filter}");
        }
        assert_eq!(dotted(&object, "items.0.v"), Some(&json!(1)));
        assert_eq!(dotted(&object, "metadata.labels.a\\.b/c"), Some(&json!("l")));
        assert_eq!(dotted(&object, "items.x"), None);
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "[{}$.*'a0\\[\\]\\\\]{0,12}|.*") {
            let object = json!({ "a": [{ "a": 0 }], "0": null });
            let _ = json_path(&object, &path);
            let _ = jq(&object, &path);
            let _ = dotted(&object, &path);
        }
    }
}
