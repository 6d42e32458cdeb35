//! `text.format([…])`.

use super::{Arguments, BYTES, convert, made, time};
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;

/// The most digits after the point.
const PRECISION: usize = 1_000;

pub(super) fn format<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(format), Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let mut given = 0;
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if rest.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision =
                Some(digits.parse().ok().filter(|digits| *digits <= PRECISION).ok_or_else(|| {
                    Failure::error(format!("could not parse formatting clause: precision {digits:?}"))
                })?);
        }
        let Some(verb) = rest.next() else { return Err(Failure::error("unexpected end of string")) };
        let Some(value) = list.get(given) else {
            return Err(Failure::error(format!("index {given} out of range")));
        };
        given += 1;
        out.push_str(&directive(verb, precision, &value)?);
        if out.len() > BYTES {
            return Err(Failure::Cost);
        }
    }
    made(out)
}

fn directive(verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<String, Failure> {
    let wrong = |what: &str| {
        let of = value.type_name();
        Failure::error(format!("error during formatting: {what} clause can only be used on numbers, was given {of}"))
    };
    match (verb, value) {
        ('s', value) => written(value),
        ('d', Value::Int(number)) => Ok(number.to_string()),
        ('d', Value::Uint(number)) => Ok(number.to_string()),
        ('d' | 'f' | 'e', Value::Double(number)) if !number.is_finite() => Ok(not_finite(*number)),
        ('f', value) => {
            let number = double(value).ok_or_else(|| wrong("fixed-point"))?;
            Ok(format!("{number:.*}", precision.unwrap_or(6)))
        }
        ('e', value) => {
            let number = double(value).ok_or_else(|| wrong("scientific"))?;
            let text = format!("{number:.*e}", precision.unwrap_or(6));
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            Ok(format!("{mantissa}e{sign}{exponent:0>2}"))
        }
        ('b', Value::Bool(bool)) => Ok(if *bool { "1" } else { "0" }.to_owned()),
        ('b' | 'o' | 'x' | 'X', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            Ok(format!("{sign}{}", based(verb, number.unsigned_abs())))
        }
        ('b' | 'o' | 'x' | 'X', Value::Uint(number)) => Ok(based(verb, *number)),
        ('x' | 'X', Value::String(text)) => Ok(hexadecimal(verb, text.as_bytes())),
        ('x' | 'X', Value::Bytes(bytes)) => Ok(hexadecimal(verb, bytes)),
        ('d', _) => Err(wrong("decimal")),
        ('b' | 'o' | 'x' | 'X', _) => Err(wrong("integer")),
        _ => Err(Failure::error(format!("could not parse formatting clause: unrecognized formatting clause {verb:?}"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "as the language has it")]
fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

fn not_finite(number: f64) -> String {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
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
        _ => text,
    })
}

/// `%s` of any value.
fn written(value: &Value<'_>) -> Result<String, Failure> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Double(number) if !number.is_finite() => not_finite(*number),
        Value::Double(number) => format!("{number}"),
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
        other => {
            let what = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
            return Err(Failure::error(format!("error during formatting: {what}, was given {}", other.type_name())));
        }
    })
}

fn bounded(text: &str) -> Result<(), Failure> {
    if text.len() > BYTES { Err(Failure::Cost) } else { Ok(()) }
}
