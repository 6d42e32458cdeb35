//! YAML as a person would write it: on one line what fits there, in blocks what does not.

use serde_json::Value;

const WIDTH: usize = 118;

/// The lines of a value, each indented by `indent` spaces.
pub(crate) fn block(value: &Value, indent: usize) -> Vec<String> {
    let space = " ".repeat(indent);
    let mut lines = Vec::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in ordered(fields) {
                push(&mut lines, format!("{space}{}:", scalar(key, false)), value, indent + 2);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                let line = format!("{space}- {}", flow(element));
                if line.len() <= WIDTH || !is_nested(element) {
                    lines.push(line);
                    continue;
                }
                let mut inner = block(element, indent + 2);
                inner[0].replace_range(indent..=indent, "-");
                lines.extend(inner);
            }
        }
        other => lines.push(format!("{space}{}", flow(other))),
    }
    lines
}

fn push(lines: &mut Vec<String>, head: String, value: &Value, indent: usize) {
    let line = format!("{head} {}", flow(value));
    if line.len() <= WIDTH || !is_nested(value) {
        lines.push(line);
    } else {
        lines.push(head);
        lines.extend(block(value, indent));
    }
}

/// Whether a block would read better than one long line: not for a command's words.
fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(elements) => {
            let is_long = |element: &Value| element.as_str().is_none_or(|text| text.len() > WIDTH / 2);
            elements.iter().any(is_long)
        }
        _ => false,
    }
}

/// What a reader looks for first comes first, the rest by the alphabet.
fn ordered(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    const FIRST: [&str; 12] = [
        "outcome",
        "skip",
        "transient",
        "problems",
        "asked",
        "operations",
        "op",
        "path",
        "container",
        "name",
        "image",
        "command",
    ];
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| rank(key));
    fields
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let inner: Vec<String> = ordered(fields)
                .into_iter()
                .map(|(key, value)| format!("{}: {}", scalar(key, true), flow(value)))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text, true),
        other => other.to_string(),
    }
}

/// Plain where every YAML reader takes it for the same text; in single quotes where it has double ones; else as in JSON.
fn scalar(text: &str, in_flow: bool) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let inner = |byte: u8| is_word(byte) || b" ()$+=".contains(&byte) || (!in_flow && byte == b'~');
    let begins = text.strip_prefix("--").unwrap_or(text);
    let plain = begins.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && text.bytes().all(inner)
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let quoted = text.contains('"') && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\'');
    match (plain, quoted) {
        (true, _) => text.to_owned(),
        (false, true) => format!("'{text}'"),
        (false, false) => Value::from(text).to_string(),
    }
}
