//! How values are written: for `string()` as Go prints them, for `toJSON()` as Go's library writes JSON.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::value::Value;

/// Floats from here on, and below that, are written with an exponent.
const LARGE: f64 = 1e6;
const SMALL: f64 = 1e-4;

/// A value as text.
pub(super) fn plain(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Nil => text.push_str("<nil>"),
        // A string takes anything that is written to it.
        Value::Bool(truth) => drop(write!(text, "{truth}")),
        Value::Int(number) => drop(write!(text, "{number}")),
        Value::Float(number) => text.push_str(&float(*number)),
        Value::Text(inner) => text.push_str(inner),
        Value::List(_) | Value::NoList => {
            text.push('[');
            for (place, value) in value.list().unwrap_or_default().iter().enumerate() {
                if place > 0 {
                    text.push(' ');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Map(map) => {
            text.push_str("map[");
            for (place, (key, value)) in map.entries().iter().enumerate() {
                if place > 0 {
                    text.push(' ');
                }
                let _ = write!(text, "{key}:");
                write(value, text);
            }
            text.push(']');
        }
    }
}

/// A float, in as few digits as tell it from every other.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    if number == 0.0 || (SMALL..LARGE).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    // Go writes a sign and at least two digits.
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

/// A value as JSON of several lines; nothing where JSON has no such value.
pub(super) fn json(value: &Value) -> Option<String> {
    let written = serde_json::to_string_pretty(&finite(value)?).ok()?;
    let mut text = String::with_capacity(written.len());
    for character in written.chars() {
        match character {
            // As Go does it, so that no page takes a text for markup.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(text, "\\u{:04x}", u32::from(character))),
            other => text.push(other),
        }
    }
    Some(text)
}

/// As JSON, if each of its numbers is one there.
fn finite(value: &Value) -> Option<Json> {
    fn has(value: &Value) -> bool {
        match value {
            Value::Float(number) => number.is_finite(),
            Value::List(_) => value.list().unwrap_or_default().iter().all(has),
            Value::Map(map) => map.entries().values().all(has),
            _ => true,
        }
    }
    has(value).then(|| value.to_json())
}
