//! `text.format([…])`.

use super::{Arguments, BYTES, convert, made, time};
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;
use std::iter::Peekable;
use std::str::Chars;

/// The most digits after the point.
const PRECISION: usize = 1_000;

/// What is said of a value that a clause cannot write, by the clauses' letters.
pub(in crate::cel) const UNWRITABLE: [(&str, &str); 7] = [
    (
        "s",
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
    ),
    ("d", "decimal clause can only be used on integers"),
    ("f", "fixed-point clause can only be used on doubles"),
    ("e", "scientific clause can only be used on doubles"),
    ("xX", "only integers, byte buffers, and strings can be formatted as hex"),
    ("b", "only integers and bools can be formatted as binary"),
    ("o", "octal clause can only be used on integers"),
];

/// A part of a format.
pub(in crate::cel) enum Clause {
    /// As it stands there.
    Text(char),
    /// A value.
    Value {
        /// How it is written.
        verb: char,
        /// The digits after the point.
        precision: Option<usize>,
    },
}

/// The parts of a format, until one that is wrong.
pub(in crate::cel) struct Clauses<'f> {
    rest: Peekable<Chars<'f>>,
}

impl<'f> Clauses<'f> {
    pub(in crate::cel) fn new(format: &'f str) -> Self {
        Self { rest: format.chars().peekable() }
    }

    fn clause(&mut self) -> Result<Clause, String> {
        if self.rest.next_if_eq(&'%').is_some() {
            return Ok(Clause::Text('%'));
        }
        let mut precision = None;
        if self.rest.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = Some(digits.parse().ok().filter(|digits| *digits <= PRECISION).ok_or_else(|| {
                format!(
                    "could not parse formatting clause: error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing {digits:?}: invalid syntax"
                )
            })?);
        }
        match self.rest.next() {
            None => Err("unexpected end of string".to_owned()),
            Some(verb) if UNWRITABLE.iter().any(|(verbs, _)| verbs.contains(verb)) => {
                Ok(Clause::Value { verb, precision })
            }
            Some(verb) => Err(format!("could not parse formatting clause: unrecognized formatting clause \"{verb}\"")),
        }
    }
}

impl Iterator for Clauses<'_> {
    type Item = Result<Clause, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rest.next()? {
            '%' => Some(self.clause()),
            c => Some(Ok(Clause::Text(c))),
        }
    }
}

pub(super) fn format<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(format), Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let mut given = 0;
    let mut out = String::new();
    for clause in Clauses::new(format) {
        match clause.map_err(Failure::Error)? {
            Clause::Text(c) => out.push(c),
            Clause::Value { verb, precision } => {
                let Some(value) = list.get(given) else {
                    return Err(Failure::error(format!("index {given} out of range")));
                };
                given += 1;
                out.push_str(&directive(verb, precision, &value)?);
                bounded(&out)?;
            }
        }
    }
    made(out)
}

fn unwritable(verb: char, value: &Value<'_>) -> Failure {
    let why = UNWRITABLE.iter().find(|(verbs, _)| verbs.contains(verb)).map_or("", |(_, why)| why);
    Failure::error(format!("error during formatting: {why}, was given {}", value.type_name()))
}

fn directive(verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<String, Failure> {
    match (verb, value) {
        ('s', value) => written(value),
        ('d', Value::Int(number)) => Ok(number.to_string()),
        ('d', Value::Uint(number)) => Ok(number.to_string()),
        ('f' | 'e', Value::Double(number)) if !number.is_finite() => Ok(not_finite(*number)),
        ('f', Value::Double(number)) => Ok(format!("{number:.*}", precision.unwrap_or(6))),
        ('e', Value::Double(number)) => {
            // As the API server writes it, which forgets the precision.
            let text = format!("{number:.6e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, digits) = exponent.strip_prefix('-').map_or(("", exponent), |digits| ("⁻", digits));
            let raised = format!("{digits:0>2}")
                .chars()
                .filter_map(|digit| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10)? as usize))
                .collect::<String>();
            Ok(format!("{mantissa}×10{sign}{raised}"))
        }
        ('f' | 'e', Value::String(text)) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => Ok(text.to_string()),
        ('b', Value::Bool(bool)) => Ok(if *bool { "1" } else { "0" }.to_owned()),
        ('b' | 'o' | 'x' | 'X', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            Ok(format!("{sign}{}", based(verb, number.unsigned_abs())))
        }
        ('b' | 'o' | 'x' | 'X', Value::Uint(number)) => Ok(based(verb, *number)),
        ('x' | 'X', Value::String(text)) => Ok(hexadecimal(verb, text.as_bytes())),
        ('x' | 'X', Value::Bytes(bytes)) => Ok(hexadecimal(verb, bytes)),
        (verb, value) => Err(unwritable(verb, value)),
    }
}

fn not_finite(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN",
        number if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
    .to_owned()
}

fn based(verb: char, number: u64) -> String {
    match verb {
        'b' => format!("{number:b}"),
        'o' => format!("{number:o}"),
        'x' => format!("{number:x}"),
        _ => format!("{number:X}"),
    }
}

fn hexadecimal(verb: char, bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") }).collect()
}

/// A value within a list or a map: as it would stand in an expression.
fn nested(value: &Value<'_>) -> Result<String, Failure> {
    let text = written(value)?;
    Ok(match value {
        Value::String(_) => format!("\"{text}\""),
        Value::Bytes(_) => format!("b\"{text}\""),
        Value::Timestamp(_) => format!("timestamp(\"{text}\")"),
        Value::Duration(_) => format!("duration(\"{text}\")"),
        Value::Double(number) if !number.is_finite() => format!("\"{text}\""),
        Value::Double(number) => format!("{number:.6}"),
        _ => text,
    })
}

/// `%s` of any value.
fn written(value: &Value<'_>) -> Result<String, Failure> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Double(number) if !number.is_finite() => not_finite(*number),
        Value::Double(number) => convert::shortest(*number),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Type(name) => name.to_string(),
        Value::Duration(nanos) => time::show_duration(*nanos),
        Value::List(list) => {
            let mut out = String::from("[");
            for n in 0..list.len() {
                if n > 0 {
                    out.push_str(", ");
                }
                out.push_str(&nested(&list.get(n).unwrap_or(Value::Null))?);
                bounded(&out)?;
            }
            out.push(']');
            out
        }
        Value::Map(fields) => {
            let mut out = String::from("{");
            for (n, key) in fields.keys().iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                out.push_str(&nested(&key.to_value())?);
                out.push(':');
                out.push_str(&nested(&fields.get(key).unwrap_or(Value::Null))?);
                bounded(&out)?;
            }
            out.push('}');
            out
        }
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::String(_) | Value::Timestamp(_) => {
            convert::plain(value)
        }
        other => return Err(unwritable('s', other)),
    })
}

fn bounded(text: &str) -> Result<(), Failure> {
    if text.len() > BYTES { Err(Failure::Cost) } else { Ok(()) }
}
