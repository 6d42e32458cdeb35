//! What operators and functions do with values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex_lite::{Regex, RegexBuilder};

use super::ExpressionError;
use super::evaluate::{Budget, count, from_end, order, unfit};
use super::strings;
use super::syntax::Operator;
use super::text;
use super::value::{Key, Map, Value};

/// The largest pattern once it is compiled, bytes.
const LARGEST_PATTERN: usize = 256 << 10;

type Called = Result<Value, ExpressionError>;

/// A function: how many arguments it takes, and what it does with them.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) call: fn(&mut Budget, &[Value]) -> Called,
}

const fn function(
    name: &'static str,
    least: usize,
    most: usize,
    call: fn(&mut Budget, &[Value]) -> Called,
) -> Function {
    Function { name, least, most, call }
}

/// More arguments than an expression can have.
const ANY: usize = usize::MAX;

/// Every function without a predicate.
static FUNCTIONS: [Function; 52] = [
    function("trim", 1, 2, strings::trim),
    function("trimPrefix", 1, 2, strings::trim_prefix),
    function("trimSuffix", 1, 2, strings::trim_suffix),
    function("upper", 1, 1, strings::upper),
    function("lower", 1, 1, strings::lower),
    function("split", 2, 3, strings::split),
    function("splitAfter", 2, 3, strings::split_after),
    function("replace", 3, 4, strings::replace),
    function("repeat", 2, 2, strings::repeat),
    function("join", 1, 2, strings::join),
    function("indexOf", 2, 2, strings::index_of),
    function("lastIndexOf", 2, 2, strings::last_index_of),
    function("hasPrefix", 2, 2, strings::has_prefix),
    function("hasSuffix", 2, 2, strings::has_suffix),
    function("max", 1, ANY, |_, values| extreme(values, Ordering::Greater)),
    function("min", 1, ANY, |_, values| extreme(values, Ordering::Less)),
    function("mean", 1, ANY, mean),
    function("median", 1, ANY, median),
    function("abs", 1, 1, |_, values| match first(values) {
        Value::Int(number) => Ok(Value::Int(number.wrapping_abs())),
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => Err(unfit("abs", &[other])),
    }),
    function("ceil", 1, 1, |_, values| float(values, f64::ceil)),
    function("floor", 1, 1, |_, values| float(values, f64::floor)),
    function("round", 1, 1, |_, values| float(values, f64::round)),
    function("concat", 1, ANY, concat),
    function("flatten", 1, 1, |budget, values| {
        let mut flat = Vec::new();
        flatten(budget, elements(first(values))?, &mut flat)?;
        Ok(Value::list_of(flat))
    }),
    function("uniq", 1, 1, uniq),
    function("first", 1, 1, |_, values| Ok(elements(first(values))?.first().cloned().unwrap_or_default())),
    function("last", 1, 1, |_, values| Ok(elements(first(values))?.last().cloned().unwrap_or_default())),
    function("take", 2, 2, |budget, values| {
        let list = elements(first(values))?;
        let taken = usize::try_from(int(values, 1)?).map_err(|_| ExpressionError::new("the number is below zero"))?;
        let taken = list.get(..taken).unwrap_or(list);
        budget.elements(taken.len())?;
        Ok(Value::list_of(taken.iter().cloned()))
    }),
    function("reverse", 1, 1, |budget, values| {
        let list = elements(first(values))?;
        budget.elements(list.len())?;
        Ok(Value::list_of(list.iter().rev().cloned()))
    }),
    function("sort", 1, 2, |budget, values| {
        let list = elements(first(values))?;
        budget.elements(list.len())?;
        sorted(list, list, values.get(1))
    }),
    function("keys", 1, 1, |_, values| Ok(Value::list_of(map(values)?.entries().keys().map(Key::value)))),
    function("values", 1, 1, |_, values| Ok(Value::list_of(map(values)?.entries().values().cloned()))),
    function("toPairs", 1, 1, |budget, values| {
        let entries = map(values)?.entries();
        budget.elements(3 * entries.len())?;
        Ok(Value::list_of(entries.iter().map(|(key, value)| Value::list_of([key.value(), value.clone()]))))
    }),
    function("fromPairs", 1, 1, from_pairs),
    function("type", 1, 1, |_, values| Ok(Value::text(first(values).kind()))),
    function("int", 1, 1, |_, values| match first(values) {
        Value::Text(text) => match text.parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Err(ExpressionError::new("the string is no whole number")),
        },
        other => integer(other).map(Value::Int).ok_or_else(|| unfit("it", &[other])),
    }),
    function("float", 1, 1, |_, values| match first(values) {
        Value::Text(text) => match text.parse() {
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => Err(ExpressionError::new("the string is no number")),
        },
        _ => float(values, |number| number),
    }),
    function("string", 1, 1, |budget, values| {
        let text = text::plain(first(values));
        budget.bytes(text.len())?;
        Ok(Value::text(&text))
    }),
    function("toJSON", 1, 1, |budget, values| match text::json(first(values)) {
        Some(text) => {
            budget.bytes(text.len())?;
            Ok(Value::text(&text))
        }
        None => Err(ExpressionError::new("JSON has no number such as this")),
    }),
    function("fromJSON", 1, 1, |budget, values| {
        let text = strings::of(values, 0)?;
        // Two bytes are an element in the worst case.
        budget.elements(text.len() / 2)?;
        match serde_json::from_str(text) {
            Ok(json) => Ok(Value::of_json(&json)),
            Err(error) => Err(ExpressionError::new(format!("the string is no JSON: {error}"))),
        }
    }),
    function("toBase64", 1, 1, |budget, values| {
        let text = strings::of(values, 0)?;
        budget.bytes(2 * text.len())?;
        Ok(Value::text(&STANDARD.encode(text)))
    }),
    function("fromBase64", 1, 1, |budget, values| {
        let text = strings::of(values, 0)?;
        budget.bytes(text.len())?;
        match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::text(&String::from_utf8_lossy(&bytes))),
            Err(error) => Err(ExpressionError::new(format!("the string is no base64: {error}"))),
        }
    }),
    function("len", 1, 1, |_, values| match first(values) {
        Value::Text(text) => Ok(Value::Int(count(text.chars().count()))),
        Value::Map(map) => Ok(Value::Int(count(map.entries().len()))),
        other => Ok(Value::Int(count(elements(other)?.len()))),
    }),
    function("get", 2, 2, get),
    function("bitand", 2, 2, |_, values| bits(values, |one, other| Some(one & other))),
    function("bitor", 2, 2, |_, values| bits(values, |one, other| Some(one | other))),
    function("bitxor", 2, 2, |_, values| bits(values, |one, other| Some(one ^ other))),
    function("bitnand", 2, 2, |_, values| bits(values, |one, other| Some(one & !other))),
    function("bitshl", 2, 2, |_, values| bits(values, |one, by| Some(one.checked_shl(shift(by)?).unwrap_or(0)))),
    function("bitshr", 2, 2, |_, values| bits(values, |one, by| Some(one >> shift(by)?.min(63)))),
    function("bitushr", 2, 2, |_, values| {
        bits(values, |one, by| Some(one.cast_unsigned().checked_shr(shift(by)?).unwrap_or(0).cast_signed()))
    }),
    function("bitnot", 1, 1, |_, values| match first(values) {
        Value::Int(number) => Ok(Value::Int(!number)),
        other => Err(unfit("bitnot", &[other])),
    }),
];

/// A function by its name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// A regular expression, which may not become large.
pub(super) fn pattern(pattern: &str) -> Result<Regex, ExpressionError> {
    let built = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build();
    built.map_err(|error| ExpressionError::new(format!("matches: {error}")))
}

/// What an operator makes of two values.
pub(super) fn binary(budget: &mut Budget, operator: Operator, left: &Value, right: &Value) -> Called {
    let sign = match operator {
        Operator::Or => "or",
        Operator::And => "and",
        Operator::Equal => "==",
        Operator::Unequal => "!=",
        Operator::Less => "<",
        Operator::Above => ">",
        Operator::AtMost => "<=",
        Operator::AtLeast => ">=",
        Operator::In => "in",
        Operator::Matches => "matches",
        Operator::Contains => "contains",
        Operator::StartsWith => "startsWith",
        Operator::EndsWith => "endsWith",
        Operator::Range => "..",
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        Operator::Power => "**",
        Operator::Else => "??",
    };
    let wrong = || unfit(sign, &[left, right]);
    Ok(match operator {
        Operator::Or | Operator::And => match (left, right) {
            (Value::Bool(_), Value::Bool(right)) => Value::Bool(*right),
            _ => return Err(wrong()),
        },
        Operator::Equal | Operator::Unequal => {
            budget.scan(left.weight().min(right.weight()))?;
            Value::Bool(left.equals(right) == (operator == Operator::Equal))
        }
        Operator::Less => Value::Bool(order(left, right)? == Ordering::Less),
        Operator::Above => Value::Bool(order(left, right)? == Ordering::Greater),
        Operator::AtMost => Value::Bool(order(left, right)? != Ordering::Greater),
        Operator::AtLeast => Value::Bool(order(left, right)? != Ordering::Less),
        Operator::In => match right {
            Value::Nil => Value::Bool(false),
            Value::Map(map) => Value::Bool(map.find(left).is_some()),
            other => {
                let list = other.list().ok_or_else(wrong)?;
                budget.scan(other.weight())?;
                Value::Bool(list.iter().any(|element| element.equals(left)))
            }
        },
        Operator::Matches | Operator::Contains | Operator::StartsWith | Operator::EndsWith => match (left, right) {
            (Value::Text(text), Value::Text(part)) => {
                budget.scan(text.len())?;
                Value::Bool(match operator {
                    Operator::Matches => {
                        budget.search(text.len())?;
                        pattern(part)?.is_match(text)
                    }
                    Operator::Contains => text.contains(&**part),
                    Operator::StartsWith => text.starts_with(&**part),
                    _ => text.ends_with(&**part),
                })
            }
            _ if left.is_nil() || right.is_nil() => Value::Bool(false),
            _ => return Err(wrong()),
        },
        Operator::Range => {
            let (from, to) = integer(left).zip(integer(right)).ok_or_else(wrong)?;
            let length = to.saturating_sub(from).saturating_add(1).max(0);
            budget.elements(usize::try_from(length).unwrap_or(usize::MAX))?;
            Value::list_of((from..=to).map(Value::Int))
        }
        Operator::Divide => Value::Float(numbers(left, right, |one, other| one / other).ok_or_else(wrong)?),
        Operator::Power => Value::Float(numbers(left, right, f64::powf).ok_or_else(wrong)?),
        Operator::Modulo => match (left, right) {
            (Value::Int(_), Value::Int(0)) => return Err(ExpressionError::new("% by zero")),
            (Value::Int(one), Value::Int(other)) => Value::Int(one.wrapping_rem(*other)),
            _ => return Err(wrong()),
        },
        Operator::Add => match (left, right) {
            (Value::Int(one), Value::Int(other)) => Value::Int(one.wrapping_add(*other)),
            (Value::Text(one), Value::Text(other)) => {
                budget.bytes(one.len() + other.len())?;
                Value::Text(format!("{one}{other}").into())
            }
            _ => Value::Float(numbers(left, right, |one, other| one + other).ok_or_else(wrong)?),
        },
        Operator::Subtract => match (left, right) {
            (Value::Int(one), Value::Int(other)) => Value::Int(one.wrapping_sub(*other)),
            _ => Value::Float(numbers(left, right, |one, other| one - other).ok_or_else(wrong)?),
        },
        Operator::Multiply => match (left, right) {
            (Value::Int(one), Value::Int(other)) => Value::Int(one.wrapping_mul(*other)),
            _ => Value::Float(numbers(left, right, |one, other| one * other).ok_or_else(wrong)?),
        },
        Operator::Else => if left.is_nil() { right } else { left }.clone(),
    })
}

fn numbers(one: &Value, other: &Value, of: impl Fn(f64, f64) -> f64) -> Option<f64> {
    Some(of(one.number()?, other.number()?))
}

/// A whole number, or what is before a float's point.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "as the language does it, up to its limits")]
        Value::Float(number) => Some(*number as i64),
        _ => None,
    }
}

/// Elements in the order of their keys: numbers or texts, but not both.
pub(super) fn sorted(list: &[Value], keys: &[Value], wanted: Option<&Value>) -> Called {
    let descending = match wanted {
        None => false,
        Some(Value::Text(text)) if &**text == "asc" => false,
        Some(Value::Text(text)) if &**text == "desc" => true,
        Some(_) => return Err(ExpressionError::new("the order has to be \"asc\" or \"desc\"")),
    };
    for pair in keys.windows(2) {
        let [one, other] = pair else { continue };
        order(one, other)?;
    }
    let mut both: Vec<_> = keys.iter().zip(list).collect();
    both.sort_by(|(one, _), (other, _)| {
        let order = one.order(other).unwrap_or(Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    Ok(Value::list_of(both.into_iter().map(|(_, element)| element.clone())))
}

/// The first argument; the parser has made sure that there is one.
fn first(values: &[Value]) -> &Value {
    values.first().unwrap_or(&Value::Nil)
}

fn elements(value: &Value) -> Result<&[Value], ExpressionError> {
    value.list().ok_or_else(|| unfit("it", &[value]))
}

fn map(values: &[Value]) -> Result<&Rc<Map>, ExpressionError> {
    match first(values) {
        Value::Map(map) => Ok(map),
        other => Err(unfit("it", &[other])),
    }
}

/// An argument that has to be a whole number.
pub(super) fn int(values: &[Value], place: usize) -> Result<i64, ExpressionError> {
    let value = values.get(place).unwrap_or(&Value::Nil);
    integer(value).ok_or_else(|| unfit("it", &[value]))
}

fn float(values: &[Value], of: impl Fn(f64) -> f64) -> Called {
    let value = first(values);
    Ok(Value::Float(of(value.number().ok_or_else(|| unfit("it", &[value]))?)))
}

/// All numbers in values and in lists of values.
fn all_numbers<'a>(values: &'a [Value], found: &mut Vec<&'a Value>) -> Result<(), ExpressionError> {
    for value in values {
        match value.list() {
            Some(list) => all_numbers(list, found)?,
            None if value.number().is_some() => found.push(value),
            None => return Err(unfit("it", &[value])),
        }
    }
    Ok(())
}

fn extreme(values: &[Value], wanted: Ordering) -> Called {
    let mut numbers = Vec::new();
    all_numbers(values, &mut numbers)?;
    let mut extreme: Option<&Value> = None;
    for number in numbers {
        if extreme.is_none_or(|extreme| number.order(extreme) == Some(wanted)) {
            extreme = Some(number);
        }
    }
    Ok(extreme.cloned().unwrap_or_default())
}

fn floats(values: &[Value]) -> Result<Vec<f64>, ExpressionError> {
    let mut numbers = Vec::new();
    all_numbers(values, &mut numbers)?;
    Ok(numbers.into_iter().filter_map(Value::number).collect())
}

fn mean(_: &mut Budget, values: &[Value]) -> Called {
    let numbers = floats(values)?;
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many numbers")]
    let count = numbers.len().max(1) as f64;
    Ok(Value::Float(numbers.iter().sum::<f64>() / count))
}

fn median(_: &mut Budget, values: &[Value]) -> Called {
    let mut numbers = floats(values)?;
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let at = |place: usize| numbers.get(place).copied().unwrap_or_default();
    Ok(Value::Float(match numbers.len() % 2 {
        1 => at(middle),
        _ => f64::midpoint(at(middle.wrapping_sub(1)), at(middle)),
    }))
}

fn concat(budget: &mut Budget, values: &[Value]) -> Called {
    let mut all = Vec::new();
    for value in values {
        let list = elements(value)?;
        budget.elements(list.len())?;
        all.extend_from_slice(list);
    }
    Ok(Value::list_of(all))
}

fn flatten(budget: &mut Budget, list: &[Value], flat: &mut Vec<Value>) -> Result<(), ExpressionError> {
    budget.elements(list.len())?;
    for value in list {
        match value.list() {
            Some(inner) => flatten(budget, inner, flat)?,
            None => flat.push(value.clone()),
        }
    }
    Ok(())
}

fn uniq(budget: &mut Budget, values: &[Value]) -> Called {
    let mut unique: Vec<Value> = Vec::new();
    for value in elements(first(values))? {
        budget.steps(unique.len())?;
        budget.scan(value.weight().saturating_mul(unique.len()))?;
        budget.elements(1)?;
        if !unique.iter().any(|known| known.equals(value)) {
            unique.push(value.clone());
        }
    }
    Ok(Value::list_of(unique))
}

fn from_pairs(budget: &mut Budget, values: &[Value]) -> Called {
    let list = elements(first(values))?;
    budget.elements(2 * list.len())?;
    let mut map = BTreeMap::new();
    for pair in list {
        let [key, value] = elements(pair)? else {
            return Err(ExpressionError::new("a pair has two elements"));
        };
        let key = Key::of(key).ok_or_else(|| unfit("a key", &[key]))?;
        map.insert(key, value.clone());
    }
    Ok(Map::of_entries(map, false))
}

fn get(_: &mut Budget, values: &[Value]) -> Called {
    let [of, key] = values else { return Ok(Value::Nil) };
    let place = |length: usize| usize::try_from(from_end(integer(key)?, length)).ok();
    Ok(match of {
        Value::Map(map) => map.find(key).cloned(),
        Value::Text(text) => {
            place(text.len()).and_then(|place| text.as_bytes().get(place)).map(|byte| Value::Int(i64::from(*byte)))
        }
        other => other.list().and_then(|list| list.get(place(list.len())?).cloned()),
    }
    .unwrap_or_default())
}

fn bits(values: &[Value], of: impl Fn(i64, i64) -> Option<i64>) -> Called {
    match values {
        [Value::Int(one), Value::Int(other)] => {
            of(*one, *other).map(Value::Int).ok_or_else(|| ExpressionError::new("a shift below zero"))
        }
        other => Err(unfit("it", &other.iter().collect::<Vec<_>>())),
    }
}

/// How far bits are shifted; nothing where that is below zero.
fn shift(by: i64) -> Option<u32> {
    (by >= 0).then(|| u32::try_from(by).unwrap_or(u32::MAX))
}
