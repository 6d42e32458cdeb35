//! Functions that regorus lacks or has otherwise than OPA, under names of ours where the name is taken.

mod glob;
mod semver;
mod sprintf;

use regorus::{Engine, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

const COUNT: &str = "emissary.count";
const SPRINTF: &str = "emissary.sprintf";
const GLOB_MATCH: &str = "emissary.glob_match";
const LOWER: &str = "emissary.lower";
const SEMVER_COMPARE: &str = "emissary.semver_compare";
const SEMVER_IS_VALID: &str = "emissary.semver_is_valid";
const TO_NUMBER: &str = "emissary.to_number";
const UPPER: &str = "emissary.upper";

/// What is called in place of what. `re_match` is `regex.match` by its old name.
pub(super) const RENAMED: [(&str, &str); 9] = [
    ("count", COUNT),
    ("glob.match", GLOB_MATCH),
    ("lower", LOWER),
    ("re_match", "regex.match"),
    ("semver.compare", SEMVER_COMPARE),
    ("semver.is_valid", SEMVER_IS_VALID),
    ("sprintf", SPRINTF),
    ("to_number", TO_NUMBER),
    ("upper", UPPER),
];

type Function = fn(&[Value]) -> Value;

/// Adds them to an engine.
pub(super) fn add(engine: &mut Engine) -> anyhow::Result<()> {
    let mut globs = glob::Compiled::default();
    engine.add_extension(SPRINTF.to_owned(), 2, Box::new(|arguments: Vec<Value>| Ok(sprintf::sprintf(&arguments))))?;
    engine.add_extension(
        GLOB_MATCH.to_owned(),
        3,
        Box::new(move |arguments: Vec<Value>| Ok(globs.matches(&arguments))),
    )?;
    let functions: [(&str, u8, Function); 8] = [
        ("all", 1, all),
        ("any", 1, any),
        ("cast_string", 1, cast_string),
        (COUNT, 1, count),
        (SEMVER_COMPARE, 2, semver::compare),
        (SEMVER_IS_VALID, 1, semver::is_valid),
        ("set_diff", 2, set_diff),
        (TO_NUMBER, 1, to_number),
    ];
    for (name, arity, function) in functions {
        engine.add_extension(
            name.to_owned(),
            arity,
            Box::new(move |arguments: Vec<Value>| Ok(function(&arguments))),
        )?;
    }
    for (name, case) in [(LOWER, lower as fn(char) -> char), (UPPER, upper)] {
        let map = move |arguments: Vec<Value>| Ok(of_text(&arguments, |text| text.chars().map(case).collect()));
        engine.add_extension(name.to_owned(), 1, Box::new(map))?;
    }
    engine.add_extension(
        "crypto.sha256".to_owned(),
        1,
        Box::new(|arguments: Vec<Value>| Ok(of_text(&arguments, sha256))),
    )
}

/// Applies a function to the one argument; undefined where that is no string.
fn of_text(arguments: &[Value], function: impl Fn(&str) -> String) -> Value {
    match arguments {
        [Value::String(text)] => Value::from(function(text)),
        _ => Value::Undefined,
    }
}

/// The elements of a list or a set.
fn elements(arguments: &[Value]) -> Option<Vec<&Value>> {
    match arguments {
        [Value::Array(items)] => Some(items.iter().collect()),
        [Value::Set(items)] => Some(items.iter().collect()),
        _ => None,
    }
}

/// `all(x)`, of modules before OPA 1.0.
fn all(arguments: &[Value]) -> Value {
    let is_true = |item: &&Value| **item == Value::Bool(true);
    elements(arguments).map_or(Value::Undefined, |items| Value::from(items.iter().all(is_true)))
}

/// `any(x)`, likewise.
fn any(arguments: &[Value]) -> Value {
    let is_true = |item: &&Value| **item == Value::Bool(true);
    elements(arguments).map_or(Value::Undefined, |items| Value::from(items.iter().any(is_true)))
}

/// `cast_string(x)`, likewise.
fn cast_string(arguments: &[Value]) -> Value {
    of_text(arguments, str::to_owned)
}

/// `set_diff(x, y)`, likewise.
fn set_diff(arguments: &[Value]) -> Value {
    match arguments {
        [Value::Set(all), Value::Set(others)] => {
            let kept: BTreeSet<Value> = all.iter().filter(|item| !others.contains(item)).cloned().collect();
            Value::from(kept)
        }
        _ => Value::Undefined,
    }
}

/// `count(x)`: of a string its characters.
fn count(arguments: &[Value]) -> Value {
    match arguments {
        [Value::String(text)] => Value::from(text.chars().count()),
        [Value::Array(items)] => Value::from(items.len()),
        [Value::Set(items)] => Value::from(items.len()),
        [Value::Object(fields)] => Value::from(fields.len()),
        _ => Value::Undefined,
    }
}

/// `to_number(x)`: nothing around the number is let through.
fn to_number(arguments: &[Value]) -> Value {
    match arguments {
        [Value::Null] => Value::from(0),
        [Value::Bool(bool)] => Value::from(i64::from(*bool)),
        [number @ Value::Number(_)] => number.clone(),
        [Value::String(text)] if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            Value::from_numeric_string(text).unwrap_or(Value::Undefined)
        }
        _ => Value::Undefined,
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As Go does: one character for one, so that those whose other case is longer keep theirs.
fn upper(c: char) -> char {
    only(c.to_uppercase()).unwrap_or(c)
}

/// See [`upper`]; the one character whose lower case is longer has a short one too.
fn lower(c: char) -> char {
    only(c.to_lowercase()).unwrap_or(if c == 'İ' { 'i' } else { c })
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    characters.next().filter(|_| characters.next().is_none())
}
