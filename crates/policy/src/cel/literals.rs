//! What the API server finds wrong in literals after all types are right: elements of several types, arguments that would fail whenever
//! they are run.

use super::functions::format::{Clause, Clauses, UNWRITABLE};
use super::functions::time;
use super::types::Type;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use regex::Regex;

/// What is wrong with an argument that has to be readable: a regular expression, a duration, a time.
pub(super) fn unreadable(function: &str, argument: &IdedExpr) -> Option<String> {
    let Expr::Literal(literal) = &argument.expr else { return None };
    let is_wrong = match (function, literal) {
        ("matches", LiteralValue::String(text)) => Regex::new(text.inner()).is_err(),
        ("duration", LiteralValue::String(text)) => time::parse_duration(text.inner()).is_none(),
        ("duration", _) => true,
        ("timestamp", LiteralValue::String(text)) => time::parse_timestamp(text.inner()).is_none(),
        _ => false,
    };
    is_wrong.then(|| format!("invalid {function} argument"))
}

/// What is wrong with `'…'.format([…])`, and where: `call` is the whole. `of` knows the types of the list's elements.
pub(super) fn misformatted(
    call: u64,
    format: &IdedExpr,
    list: &IdedExpr,
    of: impl Fn(u64) -> Type,
) -> Option<(u64, String)> {
    let (Expr::Literal(LiteralValue::String(format)), Expr::List(items)) = (&format.expr, &list.expr) else {
        return None;
    };
    let mut used = 0;
    for clause in Clauses::new(format.inner()) {
        let verb = match clause {
            Err(why) => return Some((call, why)),
            Ok(Clause::Text(_)) => continue,
            Ok(Clause::Value { verb, .. }) => verb,
        };
        let Some(item) = items.elements.get(used) else {
            return Some((call, format!("index {used} out of range")));
        };
        used += 1;
        if let Some(wrong) = unwritable(verb, item, &of) {
            return Some(wrong);
        }
    }
    let given = items.elements.len();
    (given > used)
        .then(|| (call, format!("too many arguments supplied to string.format (expected {used}, got {given})")))
}

fn unwritable(verb: char, item: &IdedExpr, of: &impl Fn(u64) -> Type) -> Option<(u64, String)> {
    let found = of(item.id);
    let fits = match (verb, &found) {
        (_, Type::Dyn | Type::Error | Type::Parameter(_)) => true,
        ('s', Type::Opaque(_) | Type::Object(_) | Type::Optional(_)) => false,
        ('s', _) => return unwritable_within(verb, item, of),
        ('d' | 'o', found) => matches!(found, Type::Int | Type::Uint),
        ('f' | 'e', found) => matches!(found, Type::Double | Type::String),
        ('x' | 'X', found) => matches!(found, Type::Int | Type::Uint | Type::String | Type::Bytes),
        (_, found) => matches!(found, Type::Int | Type::Uint | Type::Bool),
    };
    let (_, why) = UNWRITABLE.iter().find(|(verbs, _)| verbs.contains(verb))?;
    (!fits).then(|| (item.id, format!("error during formatting: {why}, was given {found}")))
}

/// The elements of a literal within.
fn unwritable_within(verb: char, item: &IdedExpr, of: &impl Fn(u64) -> Type) -> Option<(u64, String)> {
    match &item.expr {
        Expr::List(list) => list.elements.iter().find_map(|item| unwritable(verb, item, of)),
        Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                unwritable(verb, &entry.key, of).or_else(|| unwritable(verb, &entry.value, of))
            }
            EntryExpr::StructField(_) => None,
        }),
        _ => None,
    }
}
