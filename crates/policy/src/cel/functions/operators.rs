use super::{Arguments, BYTES, ELEMENTS};
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::{Key, Value};
use std::cmp::Ordering;

pub(super) fn equal<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [a, b] => Ok(Value::Bool(a == b)),
        _ => Err(arguments.none()),
    }
}

pub(super) fn unequal<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [a, b] => Ok(Value::Bool(a != b)),
        _ => Err(arguments.none()),
    }
}

pub(super) fn compare<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [a, b] = arguments.values else { return Err(arguments.none()) };
    let is_number = |value: &Value<'_>| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_));
    let found = match a.compare(b) {
        Some(order) => match arguments.name {
            "_<_" => order == Ordering::Less,
            "_<=_" => order != Ordering::Greater,
            "_>_" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        },
        // Not a number.
        None if is_number(a) && is_number(b) => false,
        None => return Err(missing(&arguments, a)),
    };
    Ok(Value::Bool(found))
}

pub(super) fn not<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::Bool(bool)] => Ok(Value::Bool(!bool)),
        _ => Err(arguments.none()),
    }
}

pub(super) fn negate<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::Int(number)] => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        _ => Err(arguments.none()),
    }
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

fn unsigned_overflow() -> Failure {
    Failure::error("unsigned integer overflow")
}

/// Times that the API can write: of the years 1 to 9999.
fn time<'v>(nanos: i128) -> Outcome<'v> {
    let seconds = nanos.div_euclid(super::time::SECOND);
    match (-62_135_596_800..=253_402_300_799).contains(&seconds) {
        true => Ok(Value::Timestamp(nanos)),
        false => Err(Failure::error("timestamp overflow")),
    }
}

pub(super) fn add<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [a, b] = arguments.values else { return Err(arguments.none()) };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint).ok_or_else(unsigned_overflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => {
            if a.len() + b.len() > BYTES {
                return Err(Failure::Cost);
            }
            Ok(Value::text([&**a, &**b].concat()))
        }
        (Value::Bytes(a), Value::Bytes(b)) if a.len() + b.len() <= BYTES => {
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        (Value::List(a), Value::List(b)) => match (a.len(), b.len()) {
            (0, _) => Ok(Value::List(b.clone())),
            (_, 0) => Ok(Value::List(a.clone())),
            (a, b) if a + b > ELEMENTS => Err(Failure::Cost),
            _ => {
                let mut all = a.to_vec();
                all.extend(b.to_vec());
                Ok(Value::list(all))
            }
        },
        (Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration).ok_or_else(overflow),
        (Value::Timestamp(time), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(time)) => {
            self::time(time + i128::from(*by))
        }
        _ => Err(missing(&arguments, a)),
    }
}

pub(super) fn subtract<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [a, b] = arguments.values else { return Err(arguments.none()) };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.checked_sub(*b).map(Value::Int).ok_or_else(overflow),
        (Value::Uint(a), Value::Uint(b)) => a.checked_sub(*b).map(Value::Uint).ok_or_else(unsigned_overflow),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => a.checked_sub(*b).map(Value::Duration).ok_or_else(overflow),
        (Value::Timestamp(time), Value::Duration(by)) => self::time(time - i128::from(*by)),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            i64::try_from(a - b).map(Value::Duration).map_err(|_error| overflow())
        }
        _ => Err(missing(&arguments, a)),
    }
}

/// `*`, `/` and `%`.
pub(super) fn multiply<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [a, b] = arguments.values else { return Err(arguments.none()) };
    let by_zero = || Failure::error(if arguments.name == "_%_" { "modulus by zero" } else { "division by zero" });
    match (a, b) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) if arguments.name != "_*_" => Err(by_zero()),
        (Value::Int(a), Value::Int(b)) => {
            let result = match arguments.name {
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let result = match arguments.name {
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result.map(Value::Uint).ok_or_else(unsigned_overflow)
        }
        (Value::Double(a), Value::Double(b)) if arguments.name == "_*_" => Ok(Value::Double(a * b)),
        (Value::Double(a), Value::Double(b)) if arguments.name == "_/_" => Ok(Value::Double(a / b)),
        _ => Err(missing(&arguments, a)),
    }
}

/// What can be calculated with says less than what cannot.
fn missing(arguments: &Arguments<'_, '_>, first: &Value<'_>) -> Failure {
    match first {
        Value::Null | Value::Map(_) | Value::Optional(_) | Value::Type(_) => {
            Failure::error(format!("no such overload: {}", arguments.name))
        }
        _ => Failure::overload(),
    }
}

pub(super) fn is_in<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [value, Value::List(list)] => {
            Ok(Value::Bool((0..list.len()).any(|n| list.get(n).is_some_and(|item| item == *value))))
        }
        [key, Value::Map(fields)] => Ok(Value::Bool(Key::of(key).is_some_and(|key| fields.get(&key).is_some()))),
        _ => Err(arguments.none()),
    }
}

pub(super) fn size<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(arguments.none()),
    }
}
