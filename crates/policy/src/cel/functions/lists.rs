use super::{Arguments, ELEMENTS, list};
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::{List, Value};
use std::cmp::Ordering;
use std::rc::Rc;

/// `optional.of`, `optional.ofNonZeroValue`, `optional.none`.
pub(super) fn optional<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [] => Ok(Value::Optional(None)),
        [value] if arguments.name == "optional.ofNonZeroValue" && value.is_zero() => Ok(Value::Optional(None)),
        [value] => Ok(Value::some(value.clone())),
        _ => Err(arguments.none()),
    }
}

/// `value`, `hasValue`, `or`, `orValue`.
pub(super) fn of_optional<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match (arguments.name, arguments.values) {
        ("value", [Value::Optional(Some(value))]) => Ok((**value).clone()),
        ("value", [Value::Optional(None)]) => Err(Failure::error("optional.none() dereference")),
        ("hasValue", [Value::Optional(value)]) => Ok(Value::Bool(value.is_some())),
        ("or", [value @ Value::Optional(Some(_)), _]) => Ok(value.clone()),
        ("or", [Value::Optional(None), other @ Value::Optional(_)]) => Ok(other.clone()),
        ("orValue", [Value::Optional(Some(value)), _]) => Ok((**value).clone()),
        ("orValue", [Value::Optional(None), other]) => Ok(other.clone()),
        _ => Err(arguments.none()),
    }
}

pub(super) fn unwrap<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let mut values = Vec::new();
    for item in list.to_vec() {
        match item {
            Value::Optional(value) => values.extend(value.map(|value| (*value).clone())),
            _ => return Err(Failure::overload()),
        }
    }
    Ok(Value::list(values))
}

/// `first` and `last`.
pub(super) fn end<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let place = if arguments.name == "first" { Some(0) } else { list.len().checked_sub(1) };
    Ok(Value::Optional(place.and_then(|place| list.get(place)).map(Rc::new)))
}

/// What has no order between two elements does not stand against one.
pub(super) fn is_sorted<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let items = list.to_vec();
    for pair in items.windows(2) {
        if let [a, b] = pair
            && a.compare(b) == Some(Ordering::Greater)
        {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

pub(super) fn sum<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let mut items = list.to_vec().into_iter();
    let Some(mut total) = items.next() else { return Ok(Value::Int(0)) };
    for item in items {
        total = super::operators::add(Arguments { name: "_+_", values: &[total, item], regex: None })?;
    }
    Ok(total)
}

/// `min` and `max`.
pub(super) fn extreme<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let wanted = if arguments.name == "min" { Ordering::Less } else { Ordering::Greater };
    let mut items = list.to_vec().into_iter();
    let Some(mut found) = items.next() else {
        return Err(Failure::error(format!("{} called on empty list", arguments.name)));
    };
    for item in items {
        if item.compare(&found) == Some(wanted) {
            found = item;
        }
    }
    Ok(found)
}

pub(super) fn slice<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list), Value::Int(from), Value::Int(to)] = arguments.values else { return Err(arguments.none()) };
    let fails = |why: String| Failure::error(format!("cannot slice({from}, {to}), {why}"));
    match (usize::try_from(*from), usize::try_from(*to)) {
        (Ok(start), Ok(end)) if start > end => Err(fails("start index must be less than or equal to end index".into())),
        (Ok(_), Ok(end)) if end > list.len() => Err(fails(format!("list is length {}", list.len()))),
        (Ok(start), Ok(end)) => Ok(Value::list((start..end).filter_map(|n| list.get(n)).collect())),
        _ => Err(fails("negative indexes not supported".into())),
    }
}

pub(super) fn flatten<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (list, depth) = match arguments.values {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return Err(arguments.none()),
    };
    if depth < 0 {
        return Err(Failure::error("level must be non-negative"));
    }
    let mut items = list.to_vec();
    // Level by level; lists nest no deeper than an expression or a document does.
    for _ in 0..depth.min(256) {
        if !items.iter().any(|item| matches!(item, Value::List(_))) {
            break;
        }
        let mut flat = Vec::new();
        for item in items {
            match item {
                Value::List(inner) => flat.extend(inner.to_vec()),
                other => flat.push(other),
            }
            if flat.len() > ELEMENTS {
                return Err(Failure::Cost);
            }
        }
        items = flat;
    }
    Ok(Value::list(items))
}

pub(super) fn sort<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let pairs: Vec<Value<'v>> = list.to_vec().into_iter().flat_map(|item| [item.clone(), item]).collect();
    sorted_by(&pairs)
}

/// Sorts what comes second in each pair by what comes first.
pub(in crate::cel) fn sorted_by<'v>(pairs: &[Value<'v>]) -> Outcome<'v> {
    let mut pairs: Vec<&[Value<'v>]> = pairs.chunks_exact(2).collect();
    if let Some([first, _]) = pairs.first() {
        let kind = first.type_name();
        if pairs.iter().any(|pair| pair.first().is_none_or(|key| key.type_name() != kind || key.compare(key).is_none()))
        {
            return Err(Failure::error("list elements must have the same type"));
        }
    }
    pairs.sort_by(|a, b| match (a, b) {
        ([a, _], [b, _]) => a.compare(b).unwrap_or(Ordering::Equal),
        _ => Ordering::Equal,
    });
    Ok(Value::list(pairs.into_iter().filter_map(|pair| pair.last().cloned()).collect()))
}

pub(super) fn range<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    match arguments.values {
        [Value::Int(count)] if *count > ELEMENTS as i64 => Err(Failure::Cost),
        [Value::Int(count)] => Ok(Value::list((0..*count).map(Value::Int).collect())),
        _ => Err(arguments.none()),
    }
}

pub(super) fn reverse<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    Ok(Value::list(list.to_vec().into_iter().rev().collect()))
}

pub(super) fn distinct<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::List(list)] = arguments.values else { return Err(arguments.none()) };
    let mut kept: Vec<Value<'v>> = Vec::new();
    for item in list.to_vec() {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

pub(super) fn sets<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [a, b] = arguments.values else { return Err(arguments.none()) };
    let (Some(a), Some(b)) = (list(a), list(b)) else { return Err(arguments.none()) };
    let (a, b): (Vec<Value<'v>>, Vec<Value<'v>>) = (List::to_vec(a), List::to_vec(b));
    let contains = |all: &[Value<'v>], some: &[Value<'v>]| some.iter().all(|item| all.contains(item));
    Ok(Value::Bool(match arguments.name {
        "sets.contains" => contains(&a, &b),
        "sets.equivalent" => contains(&a, &b) && contains(&b, &a),
        _ => b.iter().any(|item| a.contains(item)),
    }))
}
