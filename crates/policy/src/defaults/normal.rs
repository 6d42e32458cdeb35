use serde_json::{Map, Value, json};

use super::quantity;
use super::types::{Field, Kind, Type};

/// An object as Go writes it after having read it into a type. Its depth is that of the type, whatever the object's.
pub(super) fn normal(value: &Value, of: &Type) -> Value {
    let Value::Object(fields) = value else {
        return if value.is_null() { empty(of) } else { value.clone() };
    };
    let mut written = Map::new();
    for Field { name, kind } in of.0 {
        let value = fields.get(*name).filter(|value| !value.is_null());
        if let Some(value) = value.map_or_else(|| absent(*kind), |value| present(value, *kind)) {
            written.insert((*name).to_owned(), value);
        }
    }
    Value::Object(written)
}

fn empty(of: &Type) -> Value {
    normal(&Value::Object(Map::new()), of)
}

/// What is written of a field that is not there.
fn absent(kind: Kind) -> Option<Value> {
    match kind {
        Kind::Text { is_required: true } => Some(json!("")),
        Kind::Number { is_required: true } | Kind::Port => Some(json!(0)),
        Kind::Flag { is_required: true } => Some(json!(false)),
        Kind::Quantity { is_required: true } => Some(json!("0")),
        Kind::Nullable | Kind::Items { is_required: true, .. } => Some(Value::Null),
        Kind::Struct(of) => Some(empty(of)),
        _ => None,
    }
}

/// What is written of a field that is there.
fn present(value: &Value, kind: Kind) -> Option<Value> {
    let is_zero = match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null => true,
    };
    match (kind, value) {
        (Kind::Text { is_required: false }, Value::String(_))
        | (Kind::Number { is_required: false }, Value::Number(_))
        | (Kind::Flag { is_required: false }, Value::Bool(_))
        | (Kind::Items { is_required: false, .. }, Value::Array(_))
        | (Kind::Map | Kind::Quantities, Value::Object(_))
            if is_zero =>
        {
            None
        }
        (Kind::Map, Value::Object(texts)) => {
            let text = |value: &Value| if value.is_null() { json!("") } else { value.clone() };
            Some(texts.iter().map(|(key, value)| (key.clone(), text(value))).collect())
        }
        (Kind::Quantity { .. }, value) => Some(quantity::canonical(value)),
        (Kind::Quantities, Value::Object(quantities)) => {
            Some(quantities.iter().map(|(name, value)| (name.clone(), quantity::canonical_in_list(value))).collect())
        }
        (Kind::Pointer(of) | Kind::Struct(of), value) => Some(normal(value, of)),
        (Kind::Items { of: Some(of), .. }, Value::Array(items)) => {
            Some(items.iter().map(|item| normal(item, of)).collect())
        }
        (Kind::Items { of: None, .. }, Value::Array(items)) => {
            Some(items.iter().map(|item| if item.is_null() { json!("") } else { item.clone() }).collect())
        }
        (_, value) => Some(value.clone()),
    }
}
