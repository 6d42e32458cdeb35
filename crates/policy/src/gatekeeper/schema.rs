//! OpenAPI v3 schemas as CustomResourceDefinitions have them (Kubernetes API, structural schemas): defaults, and what is
//! refused.

use regex::Regex;
use serde_json::{Map, Value};
use std::fmt;

/// What does not fit a schema.
#[derive(Debug)]
pub(super) struct Violation {
    path: String,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what } = self;
        write!(f, "{path}: {what}")
    }
}

/// Fills in defaults, from the outside in, as the API server does on writing.
pub(super) fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                if let (Some(given), false) = (schema.get("default"), fields.contains_key(name)) {
                    fields.insert(name.clone(), given.clone());
                }
            }
            for (name, value) in fields {
                let property = properties.and_then(|properties| properties.get(name));
                if let Some(schema) = property.or_else(|| schema.get("additionalProperties")) {
                    default(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| default(schema, item));
            }
        }
        _ => {}
    }
}

/// Checks a value. Where `structural` is off, fields that the schema does not list are let through.
pub(super) fn check(schema: &Value, value: &Value, structural: bool) -> Result<(), Violation> {
    Check { structural }.value(schema, value, &mut String::new())
}

struct Check {
    structural: bool,
}

impl Check {
    fn value(&self, schema: &Value, value: &Value, path: &mut String) -> Result<(), Violation> {
        let violation = |what: String| Err(Violation { path: path.clone(), what });
        let Some(schema) = schema.as_object() else { return Ok(()) };
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        if either && !(value.is_string() || value.is_i64() || value.is_u64()) {
            return violation("has to be an integer or a string".to_owned());
        }
        if !either && !is_of_type(value, wanted) {
            return violation(format!("has to be of type {wanted}"));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            return violation(format!("has to be one of {}", allowed.join(", ")));
        }
        if let Some(what) = out_of_bounds(schema, value) {
            return violation(what);
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return Ok(()) };
                for (n, item) in items.iter().enumerate() {
                    self.below(path, &format!("[{n}]"), |path| self.value(schema, item, path))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        fields: &Map<String, Value>,
        path: &mut String,
    ) -> Result<(), Violation> {
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !fields.contains_key(required) {
                return Err(Violation { path: path.clone(), what: format!("the field {required} is missing") });
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
            || additional == Some(&Value::Bool(true))
            || !self.structural;
        for (name, value) in fields {
            let known = properties
                .and_then(|properties| properties.get(name))
                .or(additional.filter(|schema| schema.is_object()));
            match known {
                Some(schema) => self.below(path, &format!(".{name}"), |path| self.value(schema, value, path))?,
                None if open => {}
                None => return Err(Violation { path: path.clone(), what: format!("the schema has no field {name}") }),
            }
        }
        Ok(())
    }

    fn below<T>(&self, path: &mut String, step: &str, check: impl FnOnce(&mut String) -> T) -> T {
        let length = path.len();
        path.push_str(step);
        let result = check(path);
        path.truncate(length);
        result
    }
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    }
}

/// What is too long, too short, too much or too little, or does not fit a pattern.
fn out_of_bounds(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (size, least, most, unit) = match value {
        Value::Array(items) => (items.len() as f64, "minItems", "maxItems", " items"),
        Value::Object(fields) => (fields.len() as f64, "minProperties", "maxProperties", " fields"),
        Value::String(text) => (text.chars().count() as f64, "minLength", "maxLength", " characters"),
        Value::Number(number) => (number.as_f64()?, "minimum", "maximum", ""),
        Value::Null | Value::Bool(_) => return None,
    };
    if let Some(least) = bound(least).filter(|least| size < *least) {
        return Some(format!("has to be at least {least}{unit}"));
    }
    if let Some(most) = bound(most).filter(|most| size > *most) {
        return Some(format!("has to be at most {most}{unit}"));
    }
    let pattern = schema.get("pattern").and_then(Value::as_str)?;
    let text = value.as_str()?;
    match Regex::new(pattern) {
        Ok(regex) if !regex.is_match(text) => Some(format!("has to match {pattern}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_fill_what_is_there() {
        let schema = json!({"properties": {
            "max": {"type": "integer", "default": 89},
            "grace": {"type": "object", "default": {"max": 60}, "properties": {"max": {}, "min": {"default": 1}}},
            "list": {"items": {"properties": {"x": {"default": "y"}}}},
        }});
        for (given, expected) in [
            (json!({}), json!({"max": 89, "grace": {"max": 60, "min": 1}})),
            (json!({"max": 1, "grace": {}}), json!({"max": 1, "grace": {"min": 1}})),
            (json!({"grace": {"min": 0}, "list": [{}]}), json!({"max": 89, "grace": {"min": 0}, "list": [{"x": "y"}]})),
        ] {
            let mut value = given.clone();
            default(&schema, &mut value);
            assert_eq!(value, expected, "{given}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let schema = json!({"type": "object", "properties": {
            "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^[a-z]+$"}},
            "mode": {"enum": ["a", "b"]},
            "port": {"x-kubernetes-int-or-string": true},
        }});
        for (given, expected) in [
            (json!({"names": ["a", "b"], "mode": "a", "port": "http"}), None),
            (json!({"names": ["a", "b", "c"]}), Some(".names: has to be at most 2 items")),
            (json!({"names": ["a", "B"]}), Some(".names[1]: has to match ^[a-z]+$")),
            (json!({"names": "a"}), Some(".names: has to be of type array")),
            (json!({"mode": "c"}), Some(".mode: has to be one of \"a\", \"b\"")),
            (json!({"port": true}), Some(".port: has to be an integer or a string")),
            (json!({"other": 1}), Some(": the schema has no field other")),
            (json!(null), Some(": has to be of type object")),
        ] {
            let found = check(&schema, &given, true).err().map(|violation| violation.to_string());
            assert_eq!(found.as_deref(), expected, "{given}");
        }
        assert!(check(&schema, &json!({"other": 1}), false).is_ok());
    }
}
