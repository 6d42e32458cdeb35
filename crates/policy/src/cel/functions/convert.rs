use super::Arguments;
use super::time;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::{Text, Value};

pub(super) fn type_of<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [value] => Ok(Value::Type(Text::Shared(value.type_name().into()))),
        _ => Err(arguments.none()),
    }
}

pub(super) fn to_dyn<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    arguments.values.first().cloned().ok_or_else(|| arguments.none())
}

fn unconvertible(value: &Value<'_>, to: &str) -> Failure {
    Failure::error(format!("type conversion error from '{}' to '{to}'", value.type_name()))
}

pub(super) fn to_bool<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::Bool(bool)] => Ok(Value::Bool(*bool)),
        [value @ Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(unconvertible(value, "bool")),
        },
        _ => Err(arguments.none()),
    }
}

pub(super) fn to_bytes<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [bytes @ Value::Bytes(_)] => Ok(bytes.clone()),
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(arguments.none()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "as the language has it")]
pub(super) fn to_double<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::Double(number)] => Ok(Value::Double(*number)),
        [Value::Int(number)] => Ok(Value::Double(*number as f64)),
        [Value::Uint(number)] => Ok(Value::Double(*number as f64)),
        [value @ Value::String(text)] => {
            text.parse().map(Value::Double).map_err(|_error| unconvertible(value, "double"))
        }
        _ => Err(arguments.none()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is out of range was refused")]
pub(super) fn to_int<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let overflow = || Failure::error("integer overflow");
    match arguments.values {
        [Value::Int(number)] => Ok(Value::Int(*number)),
        [Value::Uint(number)] => i64::try_from(*number).map(Value::Int).map_err(|_error| overflow()),
        [Value::Double(number)] if number.is_nan() || number.abs() >= 9_223_372_036_854_775_807.0 => Err(overflow()),
        [Value::Double(number)] => Ok(Value::Int(*number as i64)),
        [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
        [Value::Timestamp(nanos)] => {
            i64::try_from(nanos.div_euclid(time::SECOND)).map(Value::Int).map_err(|_error| overflow())
        }
        [value @ Value::String(text)] => text.parse().map(Value::Int).map_err(|_error| unconvertible(value, "int")),
        _ => Err(arguments.none()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range was refused")]
pub(super) fn to_uint<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let overflow = || Failure::error("unsigned integer overflow");
    match arguments.values {
        [Value::Uint(number)] => Ok(Value::Uint(*number)),
        [Value::Int(number)] => u64::try_from(*number).map(Value::Uint).map_err(|_error| overflow()),
        [Value::Double(number)] if !(0.0..18_446_744_073_709_551_615.0).contains(number) => Err(overflow()),
        [Value::Double(number)] => Ok(Value::Uint(*number as u64)),
        [value @ Value::String(text)] => text.parse().map(Value::Uint).map_err(|_error| unconvertible(value, "uint")),
        _ => Err(arguments.none()),
    }
}

pub(super) fn to_string<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [text @ Value::String(_)] => Ok(text.clone()),
        [Value::Bytes(bytes)] => std::str::from_utf8(bytes)
            .map(Value::text)
            .map_err(|_error| Failure::error("invalid UTF-8 in bytes, cannot convert to string")),
        [value] => plain_of(value).map(Value::text).ok_or_else(|| arguments.none()),
        _ => Err(arguments.none()),
    }
}

/// What `string(x)` makes of it, where it makes something.
fn plain_of(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::String(text) => text.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => shortest(*number),
        Value::Duration(nanos) => time::show_duration(*nanos),
        Value::Timestamp(nanos) => time::show_timestamp(*nanos),
        Value::Address(address) => address.to_string(),
        Value::Network(network) => network.to_string(),
        _ => return None,
    })
}

/// A value within a message of ours.
pub(crate) fn plain(value: &Value<'_>) -> String {
    plain_of(value).unwrap_or_else(|| value.type_name().to_owned())
}

/// The shortest that reads back the same, as Go writes it: with an exponent below 1e-4 and from 1e6 on.
pub(super) fn shortest(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

pub(super) fn to_duration<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [duration @ Value::Duration(_)] => Ok(duration.clone()),
        [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [value @ Value::String(text)] => time::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| unconvertible(value, "google.protobuf.Duration")),
        _ => Err(arguments.none()),
    }
}

pub(super) fn to_timestamp<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [timestamp @ Value::Timestamp(_)] => Ok(timestamp.clone()),
        [Value::Int(seconds)] => Ok(Value::Timestamp(i128::from(*seconds) * time::SECOND)),
        [value @ Value::String(text)] => time::parse_timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| unconvertible(value, "google.protobuf.Timestamp")),
        _ => Err(arguments.none()),
    }
}
