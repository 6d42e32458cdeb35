//! Functions on texts.

use super::ExpressionError;
use super::evaluate::{Budget, count, unfit};
use super::functions::int;
use super::value::Value;

type Called = Result<Value, ExpressionError>;

/// An argument that has to be a text.
pub(super) fn of(values: &[Value], place: usize) -> Result<&str, ExpressionError> {
    match values.get(place).unwrap_or(&Value::Nil) {
        Value::Text(text) => Ok(text),
        other => Err(unfit("it", &[other])),
    }
}

/// One that may be left out.
fn or<'a>(values: &'a [Value], place: usize, default: &'a str) -> Result<&'a str, ExpressionError> {
    if place < values.len() { of(values, place) } else { Ok(default) }
}

/// A text that is made of one argument.
fn made(budget: &mut Budget, text: &str) -> Called {
    budget.bytes(text.len())?;
    Ok(Value::text(text))
}

pub(super) fn trim(budget: &mut Budget, values: &[Value]) -> Called {
    let text = of(values, 0)?;
    match values.get(1) {
        None => made(budget, text.trim()),
        Some(_) => {
            let characters = of(values, 1)?;
            made(budget, text.trim_matches(|character| characters.contains(character)))
        }
    }
}

pub(super) fn trim_prefix(budget: &mut Budget, values: &[Value]) -> Called {
    let text = of(values, 0)?;
    made(budget, text.strip_prefix(or(values, 1, " ")?).unwrap_or(text))
}

pub(super) fn trim_suffix(budget: &mut Budget, values: &[Value]) -> Called {
    let text = of(values, 0)?;
    made(budget, text.strip_suffix(or(values, 1, " ")?).unwrap_or(text))
}

pub(super) fn upper(budget: &mut Budget, values: &[Value]) -> Called {
    made(budget, &of(values, 0)?.to_uppercase())
}

pub(super) fn lower(budget: &mut Budget, values: &[Value]) -> Called {
    made(budget, &of(values, 0)?.to_lowercase())
}

pub(super) fn split(budget: &mut Budget, values: &[Value]) -> Called {
    pieces(budget, values, 0)
}

pub(super) fn split_after(budget: &mut Budget, values: &[Value]) -> Called {
    pieces(budget, values, of(values, 1)?.len())
}

/// What a delimiter stands between, with so many bytes of it at the end. An empty one stands behind every character.
fn pieces(budget: &mut Budget, values: &[Value], kept: usize) -> Called {
    let (text, delimiter) = (of(values, 0)?, of(values, 1)?);
    let most = match values.get(2) {
        None => usize::MAX,
        Some(_) => match int(values, 2)? {
            0 => return Ok(Value::NoList),
            most => usize::try_from(most).unwrap_or(usize::MAX),
        },
    };
    budget.bytes(text.len())?;
    let mut pieces = Vec::new();
    let mut rest = text;
    while pieces.len() + 1 < most {
        let cut = match delimiter.is_empty() {
            true => rest.chars().next().map(char::len_utf8).filter(|length| *length < rest.len()),
            false => rest.find(delimiter),
        };
        let Some((piece, behind)) =
            cut.and_then(|cut| Some((rest.get(..cut + kept)?, rest.get(cut + delimiter.len()..)?)))
        else {
            break;
        };
        budget.elements(1)?;
        pieces.push(Value::text(piece));
        rest = behind;
    }
    if !(delimiter.is_empty() && rest.is_empty()) {
        pieces.push(Value::text(rest));
    }
    Ok(Value::list_of(pieces))
}

pub(super) fn replace(budget: &mut Budget, values: &[Value]) -> Called {
    let (text, old, new) = (of(values, 0)?, of(values, 1)?, of(values, 2)?);
    let most = match values.get(3) {
        None => usize::MAX,
        Some(_) => usize::try_from(int(values, 3)?).unwrap_or(usize::MAX),
    };
    let places = text.matches(old).count().min(most);
    budget.bytes(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(Value::text(&text.replacen(old, new, most)))
}

pub(super) fn repeat(budget: &mut Budget, values: &[Value]) -> Called {
    let text = of(values, 0)?;
    let times = usize::try_from(int(values, 1)?).map_err(|_| ExpressionError::new("the number is below zero"))?;
    budget.bytes(text.len().saturating_mul(times))?;
    Ok(Value::text(&text.repeat(times)))
}

pub(super) fn join(budget: &mut Budget, values: &[Value]) -> Called {
    let glue = or(values, 1, "")?;
    let list = values.first().unwrap_or(&Value::Nil);
    let list = list.list().ok_or_else(|| unfit("it", &[list]))?;
    let mut joined = String::new();
    for place in 0..list.len() {
        let text = of(list, place)?;
        budget.bytes(text.len() + glue.len())?;
        if place > 0 {
            joined.push_str(glue);
        }
        joined.push_str(text);
    }
    Ok(Value::text(&joined))
}

/// The byte that a part begins at, or -1.
fn place(budget: &mut Budget, values: &[Value], find: impl Fn(&str, &str) -> Option<usize>) -> Called {
    let (text, part) = (of(values, 0)?, of(values, 1)?);
    budget.scan(text.len())?;
    Ok(Value::Int(find(text, part).map_or(-1, count)))
}

pub(super) fn index_of(budget: &mut Budget, values: &[Value]) -> Called {
    place(budget, values, |text, part| text.find(part))
}

pub(super) fn last_index_of(budget: &mut Budget, values: &[Value]) -> Called {
    place(budget, values, |text, part| text.rfind(part))
}

pub(super) fn has_prefix(_: &mut Budget, values: &[Value]) -> Called {
    Ok(Value::Bool(of(values, 0)?.starts_with(of(values, 1)?)))
}

pub(super) fn has_suffix(_: &mut Budget, values: &[Value]) -> Called {
    Ok(Value::Bool(of(values, 0)?.ends_with(of(values, 1)?)))
}
