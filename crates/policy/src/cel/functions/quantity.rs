//! Quantities: `500m`, `1Gi`.

use super::Arguments;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;
use crate::defaults::quantity;
use std::cmp::Ordering;
use std::rc::Rc;

const UNIT: i128 = 1_000_000_000;

/// A number of billionths; how it was written does not matter to expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i128);

impl Quantity {
    fn to_integer(self) -> Option<i64> {
        (self.0 % UNIT == 0).then(|| i64::try_from(self.0 / UNIT).ok()).flatten()
    }
}

/// `quantity` and `isQuantity`.
pub(super) fn parse<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    let found = quantity::nanos(text);
    match (arguments.name, found) {
        ("isQuantity", found) => Ok(Value::Bool(found.is_some())),
        (_, Some(nanos)) => Ok(Value::Quantity(Rc::new(Quantity(nanos)))),
        (_, None) if text.contains(['e', 'E']) && why_not(text).starts_with("unable") => {
            Err(Failure::Unknown(format!("the quantity {text:?} is beyond what is reckoned with here")))
        }
        (_, None) => Err(Failure::error(why_not(text))),
    }
}

/// What the API server says of what is no quantity.
fn why_not(text: &str) -> &'static str {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = unsigned.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
    let suffix = unsigned.get(number..).unwrap_or_default();
    let letters = suffix.bytes().take_while(|c| b"eEinumkKMGTP".contains(c)).count();
    let exponent = suffix.get(letters..).unwrap_or_default();
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_shaped = number > 0 && exponent.bytes().all(|c| c.is_ascii_digit());
    match (is_shaped, suffix.is_empty()) {
        (true, false) => "unable to parse quantity's suffix",
        _ => "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    }
}

/// `isInteger`, `asInteger`, `asApproximateFloat`, `sign`.
#[expect(clippy::cast_precision_loss, reason = "it is approximate by name")]
pub(super) fn of_one<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::Quantity(quantity)] = arguments.values else { return Err(arguments.none()) };
    match arguments.name {
        "isInteger" => Ok(Value::Bool(quantity.to_integer().is_some())),
        "asInteger" => {
            quantity.to_integer().map(Value::Int).ok_or_else(|| Failure::error("cannot convert value to integer"))
        }
        "sign" => Ok(Value::Int(quantity.0.signum() as i64)),
        _ => {
            let whole = quantity.0 / UNIT;
            let rest = quantity.0 % UNIT;
            Ok(Value::Double(if rest == 0 { whole as f64 } else { quantity.0 as f64 / UNIT as f64 }))
        }
    }
}

/// `add` and `sub`.
pub(super) fn add<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (a, b) = match arguments.values {
        [Value::Quantity(a), Value::Quantity(b)] => (a.0, b.0),
        [Value::Quantity(a), Value::Int(b)] => (a.0, i128::from(*b) * UNIT),
        _ => return Err(arguments.none()),
    };
    let result = if arguments.name == "add" { a.checked_add(b) } else { a.checked_sub(b) };
    let result = result.ok_or_else(|| Failure::error("quantity overflow"))?;
    Ok(Value::Quantity(Rc::new(Quantity(result))))
}

/// `isGreaterThan`, `isLessThan` and `compareTo`, of versions too.
pub(super) fn compare<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let order = match arguments.values {
        [Value::Quantity(a), Value::Quantity(b)] => a.cmp(b),
        [Value::Semver(a), Value::Semver(b)] => a.cmp(b),
        _ => return Err(arguments.none()),
    };
    Ok(match arguments.name {
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        _ => Value::Int(order as i64),
    })
}
