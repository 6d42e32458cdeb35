use super::{Arguments, BYTES, list, made, text};
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::{Text, Value};

pub(super) fn has<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text), Value::String(part)] = arguments.values else { return Err(arguments.none()) };
    let (text, part): (&str, &str) = (text, part);
    Ok(Value::Bool(match arguments.name {
        "contains" => text.contains(part),
        "endsWith" => text.ends_with(part),
        _ => text.starts_with(part),
    }))
}

pub(super) fn matches<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text), Value::String(regex)] = arguments.values else { return Err(arguments.none()) };
    Ok(Value::Bool(arguments.regex(regex)?.is_match(text)))
}

/// `find` and `findAll`.
pub(super) fn find<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (Some(text), Some(regex)) =
        (arguments.values.first().and_then(text), arguments.values.get(1).and_then(super::text))
    else {
        return Err(arguments.none());
    };
    let most = match arguments.values.get(2) {
        None => usize::MAX,
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        Some(_) => return Err(arguments.none()),
    };
    let regex = arguments.regex(regex)?;
    if arguments.name == "find" {
        return Ok(Value::text(regex.find(text).map_or("", |found| found.as_str())));
    }
    Ok(Value::list(regex.find_iter(text).take(most).map(|found| Value::text(found.as_str())).collect()))
}

pub(super) fn char_at<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text), Value::Int(place)] = arguments.values else { return Err(arguments.none()) };
    let count = text.chars().count();
    match usize::try_from(*place) {
        Ok(place) if place == count => Ok(Value::String(Text::Borrowed(""))),
        Ok(place) if place < count => Ok(Value::text(text.chars().nth(place).map(String::from).unwrap_or_default())),
        _ => Err(Failure::error(format!("index out of range: {place}"))),
    }
}

/// `indexOf` and `lastIndexOf`, of texts and of lists.
pub(super) fn position<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let is_last = arguments.name == "lastIndexOf";
    if let [Value::List(list), wanted] = arguments.values {
        let mut places = 0..list.len();
        let is_wanted = |n: &usize| list.get(*n).is_some_and(|item| item == *wanted);
        let found = if is_last { places.rev().find(is_wanted) } else { places.find(is_wanted) };
        return Ok(number(found));
    }
    let (text, part, from) = match arguments.values {
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, Some(*from)),
        _ => return Err(arguments.none()),
    };
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let out_of_range = |from| Failure::error(format!("index out of range: {from}"));
    let from = from.map(|from| usize::try_from(from).map_err(|_error| out_of_range(from))).transpose()?;
    if from.is_some_and(|from| from > text.len()) {
        return Ok(number(None));
    }
    if part.is_empty() {
        return Ok(number(Some(from.unwrap_or(if is_last { text.len() } else { 0 }))));
    }
    let is_there = |n: &usize| text.get(*n..).is_some_and(|rest| rest.starts_with(&part));
    let found = match is_last {
        true => (0..=from.unwrap_or(text.len()).min(text.len())).rev().find(is_there),
        false => (from.unwrap_or(0)..text.len()).find(is_there),
    };
    Ok(number(found))
}

fn number<'v>(place: Option<usize>) -> Value<'v> {
    Value::Int(place.and_then(|place| i64::try_from(place).ok()).unwrap_or(-1))
}

pub(super) fn join<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let separator = match arguments.values.get(1) {
        None => "",
        Some(Value::String(separator)) => separator,
        Some(_) => return Err(arguments.none()),
    };
    let Some(items) = arguments.values.first().and_then(list) else { return Err(arguments.none()) };
    let mut joined = String::new();
    for n in 0..items.len() {
        let item = items.get(n);
        let Some(item) = item.as_ref().and_then(text) else { return Err(Failure::overload()) };
        if n > 0 {
            joined.push_str(separator);
        }
        joined.push_str(item);
        if joined.len() > BYTES {
            return Err(Failure::Cost);
        }
    }
    made(joined)
}

pub(super) fn case<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    made(if arguments.name == "lowerAscii" { text.to_ascii_lowercase() } else { text.to_ascii_uppercase() })
}

pub(super) fn replace<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (text, old, new, most) = match arguments.values {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, usize::MAX),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(most)] => {
            (text, old, new, usize::try_from(*most).unwrap_or(usize::MAX))
        }
        _ => return Err(arguments.none()),
    };
    // Before it is made: a text may grow by the length of another at every character.
    let times = text.matches(&**old).count().min(most);
    if text.len().saturating_add(times.saturating_mul(new.len())) > BYTES {
        return Err(Failure::Cost);
    }
    made(text.replacen(&**old, new, times))
}

pub(super) fn split<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (text, separator, most) = match arguments.values {
        [Value::String(text), Value::String(separator)] => (text, separator, None),
        [Value::String(text), Value::String(separator), Value::Int(most)] => {
            (text, separator, usize::try_from(*most).ok())
        }
        _ => return Err(arguments.none()),
    };
    let parts: Vec<&str> = match (most, separator.is_empty()) {
        (Some(0), _) => Vec::new(),
        (most, true) => {
            let all: Vec<&str> = text.split("").filter(|part| !part.is_empty()).collect();
            match most {
                Some(most) if most < all.len() => {
                    let head: usize = all.iter().take(most - 1).map(|part| part.len()).sum();
                    all.into_iter().take(most - 1).chain(text.get(head..)).collect()
                }
                _ => all,
            }
        }
        (Some(most), false) => text.splitn(most, &**separator).collect(),
        (None, false) => text.split(&**separator).collect(),
    };
    Ok(Value::list(parts.into_iter().map(Value::text).collect()))
}

pub(super) fn substring<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (text, from, to) = match arguments.values {
        [Value::String(text), Value::Int(from)] => (text, *from, None),
        [Value::String(text), Value::Int(from), Value::Int(to)] => (text, *from, Some(*to)),
        _ => return Err(arguments.none()),
    };
    let count = text.chars().count();
    let place = |place: i64| {
        let found = usize::try_from(place).ok().filter(|place| *place <= count);
        found.ok_or_else(|| Failure::error(format!("index out of range: {place}")))
    };
    let to_place = to.map_or(Ok(count), place)?;
    let from_place = place(from)?;
    if from_place > to_place {
        let to = to.unwrap_or_default();
        return Err(Failure::error(format!("invalid substring range. start: {from}, end: {to}")));
    }
    made(text.chars().skip(from_place).take(to_place - from_place).collect())
}

pub(super) fn trim<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::String(text)] => Ok(Value::text(text.trim())),
        _ => Err(arguments.none()),
    }
}

/// `strings.quote`: with the escapes that the language reads.
pub(super) fn quote<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::String(text)] = arguments.values else { return Err(arguments.none()) };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    made(quoted)
}
