//! Formats by name, and what the API server says of what does not have them.

use super::{Arguments, time, url};
use crate::cel::evaluate::Outcome;
use crate::cel::value::Value;

const NAMES: [&str; 13] = [
    "byte",
    "date",
    "datetime",
    "dns1035Label",
    "dns1035LabelPrefix",
    "dns1123Label",
    "dns1123LabelPrefix",
    "dns1123Subdomain",
    "dns1123SubdomainPrefix",
    "labelValue",
    "qualifiedName",
    "uri",
    "uuid",
];

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const OLD_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const QUALIFIED: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";

fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// `format.uuid()` and its like.
pub(super) fn by_name<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let name = arguments.name.strip_prefix("format.").and_then(known);
    name.map(Value::Format).ok_or_else(|| arguments.none())
}

/// `format.named(name)`.
pub(super) fn named<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(name)] = arguments.values else { return Err(arguments.none()) };
    Ok(known(name).map_or(Value::Optional(None), |name| Value::some(Value::Format(name))))
}

/// `validate(text)`: what is wrong with it, or nothing.
pub(super) fn validate<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::Format(format), Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    let problems = problems(format, text)?;
    Ok(match problems.is_empty() {
        true => Value::Optional(None),
        false => Value::some(Value::list(problems.into_iter().map(Value::text).collect())),
    })
}

fn problems(format: &str, text: &str) -> Result<Vec<String>, crate::cel::Failure> {
    // Of the beginning of a name a dash at the end is replaced.
    let masked = || match text.strip_suffix('-') {
        Some(rest) if text.len() > 1 => format!("{rest}a"),
        _ => text.to_owned(),
    };
    let is_wrong = |wrong: bool, why: &str| if wrong { vec![why.to_owned()] } else { Vec::new() };
    Ok(match format {
        "dns1123Label" => label(text, LABEL, false),
        "dns1123LabelPrefix" => label(&masked(), LABEL, false),
        "dns1035Label" => label(text, OLD_LABEL, true),
        "dns1035LabelPrefix" => label(&masked(), OLD_LABEL, true),
        "dns1123Subdomain" => subdomain(text),
        "dns1123SubdomainPrefix" => subdomain(&masked()),
        "labelValue" => named_part(text, true, VALUE),
        "qualifiedName" => qualified(text),
        "uri" => {
            let found = url::parse(Arguments { name: "isURL", values: &[Value::text(text)], regex: None })?;
            is_wrong(found != Value::Bool(true), "invalid URI")
        }
        "uuid" => is_wrong(!is_uuid(text), "does not match the UUID format"),
        "byte" => is_wrong(!is_base64(text), "invalid base64"),
        "date" => {
            is_wrong(text.len() != 10 || time::parse_timestamp(&format!("{text}T00:00:00Z")).is_none(), "invalid date")
        }
        "datetime" => is_wrong(time::parse_timestamp(text).is_none(), "invalid datetime"),
        _ => Vec::new(),
    })
}

fn too_long(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

fn is_label(text: &str) -> bool {
    let is_end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    is_end(bytes.first().copied())
        && is_end(bytes.last().copied())
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
}

fn label(text: &str, why: &str, has_letter_first: bool) -> Vec<String> {
    let is_right = is_label(text) && (!has_letter_first || !text.starts_with(|c: char| c.is_ascii_digit()));
    too_long(text, 63).into_iter().chain((!is_right).then(|| why.to_owned())).collect()
}

fn subdomain(text: &str) -> Vec<String> {
    let is_right = text.split('.').all(is_label);
    too_long(text, 253).into_iter().chain((!is_right).then(|| SUBDOMAIN.to_owned())).collect()
}

fn named_part(text: &str, may_be_empty: bool, why: &str) -> Vec<String> {
    let is_end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    let is_right = (may_be_empty && text.is_empty())
        || (is_end(bytes.first().copied())
            && is_end(bytes.last().copied())
            && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')));
    too_long(text, 63).into_iter().chain((!is_right).then(|| why.to_owned())).collect()
}

fn qualified(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            match prefix.is_empty() {
                true => problems.push("prefix part must be non-empty".to_owned()),
                false => problems.extend(subdomain(prefix).into_iter().map(|why| format!("prefix part {why}"))),
            }
            name
        }
        _ => return vec![QUALIFIED.to_owned()],
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if let Some(why) = too_long(name, 63) {
        problems.push(format!("name part {why}"));
    }
    problems.extend(named_part(name, false, NAME).into_iter().filter(|why| why == NAME));
    problems
}

fn is_uuid(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|c| *c != b'-').collect();
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    bytes.len() == 32 && bytes.iter().all(u8::is_ascii_hexdigit) && (dashes.is_empty() || dashes == [8, 13, 18, 23])
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && body.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
}
