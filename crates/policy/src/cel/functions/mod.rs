//! What can be called. Which overloads there are is in `signatures`; here values are told apart as they come.

mod convert;
pub(super) mod format;
mod lists;
mod named_format;
pub(super) mod network;
mod operators;
pub(super) mod quantity;
pub(super) mod semver;
mod strings;
pub(super) mod time;
pub(super) mod url;

pub(super) use convert::plain;
pub(super) use lists::sorted_by;

use super::evaluate::{Failure, Outcome};
use super::value::{List, Text, Value};
use regex::Regex;
use std::borrow::Cow;

/// The largest text that is made, in bytes: far more than any message may have.
const BYTES: usize = 4 << 20;
/// The longest list that is made.
const ELEMENTS: usize = 1 << 20;

/// What a function is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a, 'v> {
    /// The function's name: some functions are one family.
    pub(super) name: &'a str,
    /// The one before the dot first.
    pub(super) values: &'a [Value<'v>],
    /// The last argument, where it is a regular expression that was known beforehand.
    pub(super) regex: Option<&'a Regex>,
}

/// A function.
pub(super) type Function = for<'a, 'v> fn(Arguments<'a, 'v>) -> Outcome<'v>;

impl<'v> Arguments<'_, 'v> {
    /// There is none for such values.
    fn none(&self) -> Failure {
        match self.name {
            "size" => return Failure::error("no such overload: size"),
            "contains" | "endsWith" | "startsWith" | "matches" | "@in" | "!_" | "-_" => return Failure::overload(),
            _ => {}
        }
        let types: Vec<&str> = self.values.iter().map(Value::type_name).collect();
        Failure::error(format!("no such overload: {}({})", self.name, types.join(", ")))
    }

    fn regex(&self, text: &str) -> Result<Cow<'_, Regex>, Failure> {
        match self.regex {
            Some(regex) => Ok(Cow::Borrowed(regex)),
            None => regex::RegexBuilder::new(text)
                .size_limit(1 << 20)
                .build()
                .map(Cow::Owned)
                .map_err(|_error| Failure::error(format!("error parsing regexp: `{text}`"))),
        }
    }
}

/// The implementation of a function.
pub(super) fn find(name: &str) -> Option<Function> {
    let function: Function = match name {
        "_==_" => operators::equal,
        "_!=_" => operators::unequal,
        "_<_" | "_<=_" | "_>_" | "_>=_" => operators::compare,
        "!_" => operators::not,
        "-_" => operators::negate,
        "_+_" => operators::add,
        "_-_" => operators::subtract,
        "_*_" | "_/_" | "_%_" => operators::multiply,
        "@in" => operators::is_in,
        "size" => operators::size,
        "type" => convert::type_of,
        "bool" => convert::to_bool,
        "bytes" => convert::to_bytes,
        "double" => convert::to_double,
        "duration" => convert::to_duration,
        "dyn" => convert::to_dyn,
        "int" => convert::to_int,
        "string" => convert::to_string,
        "timestamp" => convert::to_timestamp,
        "uint" => convert::to_uint,
        "contains" | "endsWith" | "startsWith" => strings::has,
        "matches" => strings::matches,
        "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear" | "getFullYear" | "getMonth" | "getHours"
        | "getMinutes" | "getSeconds" | "getMilliseconds" => time::part,
        "optional.of" | "optional.ofNonZeroValue" | "optional.none" => lists::optional,
        "optional.unwrap" | "unwrapOpt" => lists::unwrap,
        "value" | "hasValue" | "or" | "orValue" => lists::of_optional,
        "first" | "last" => lists::end,
        "charAt" => strings::char_at,
        "indexOf" | "lastIndexOf" => strings::position,
        "join" => strings::join,
        "lowerAscii" | "upperAscii" => strings::case,
        "replace" => strings::replace,
        "split" => strings::split,
        "substring" => strings::substring,
        "trim" => strings::trim,
        "format" => format::format,
        "strings.quote" => strings::quote,
        "find" | "findAll" => strings::find,
        "isSorted" => lists::is_sorted,
        "sum" => lists::sum,
        "min" | "max" => lists::extreme,
        "slice" => lists::slice,
        "flatten" => lists::flatten,
        "sort" => lists::sort,
        "lists.range" => lists::range,
        "reverse" => lists::reverse,
        "distinct" => lists::distinct,
        "sets.contains" | "sets.equivalent" | "sets.intersects" => lists::sets,
        "url" | "isURL" => url::parse,
        "getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath" | "getQuery" => url::part,
        "quantity" | "isQuantity" => quantity::parse,
        "isInteger" | "asInteger" | "asApproximateFloat" | "sign" => quantity::of_one,
        "add" | "sub" => quantity::add,
        "isGreaterThan" | "isLessThan" | "compareTo" => quantity::compare,
        "ip" | "isIP" | "ip.isCanonical" => network::parse_address,
        "family"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast" => network::of_address,
        "cidr" | "isCIDR" => network::parse_network,
        "containsIP" | "containsCIDR" | "masked" | "prefixLength" => network::of_network,
        "semver" | "isSemver" => semver::parse,
        "major" | "minor" | "patch" => semver::part,
        "validate" => named_format::validate,
        "format.named" => named_format::named,
        name if name.starts_with("format.") => named_format::by_name,
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name" | "fieldSelector"
        | "labelSelector" | "check" | "allowed" | "reason" | "errored" | "error" => authorizer,
        _ => return None,
    };
    Some(function)
}

/// What a call costs, about as the API server counts: what goes over texts and lists, by their sizes; everything else one.
pub(super) fn cost(name: &str, values: &[Value<'_>]) -> u64 {
    let tenth = |size: u64| size.div_ceil(10);
    let size = |n: usize| values.get(n).map_or(0, Value::size);
    let is_text = matches!(values.first(), Some(Value::String(_) | Value::Bytes(_)));
    match name {
        "startsWith" | "endsWith" => tenth(size(1)),
        "_+_" if is_text => tenth(size(0) + size(1)),
        "_==_" | "_!=_" => tenth(size(0).min(size(1))).max(1),
        "_<_" | "_<=_" | "_>_" | "_>=_" if is_text => tenth(size(0).min(size(1))),
        "@in" => match values.get(1) {
            Some(Value::List(_)) => size(1),
            _ => 1,
        },
        "matches" | "find" | "findAll" => tenth(1 + size(0)) * size(1).div_ceil(4),
        "contains" => tenth(size(0)) * tenth(size(1)),
        "indexOf" | "lastIndexOf" if is_text => tenth(size(0)) * tenth(size(1)),
        "isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf" | "sort" | "reverse" | "flatten" | "slice" => {
            size(0).max(1)
        }
        "distinct" => size(0) * size(0) / 2 + 1,
        "sets.contains" | "sets.equivalent" | "sets.intersects" => size(0) * size(1) + 1,
        "join" => match values.first() {
            Some(Value::List(list)) => {
                let total: u64 = (0..list.len()).filter_map(|n| list.get(n)).map(|item| item.size()).sum();
                tenth(total + size(1) * list.len() as u64).max(1)
            }
            _ => 1,
        },
        "replace" | "split" | "substring" | "trim" | "lowerAscii" | "upperAscii" | "format" | "strings.quote"
        | "url" | "isURL" | "quantity" | "isQuantity" | "ip" | "isIP" | "cidr" | "isCIDR" | "semver" | "isSemver" => {
            tenth(size(0)).max(1)
        }
        "lists.range" => match values.first() {
            Some(Value::Int(count)) => u64::try_from(*count).unwrap_or(0).max(1),
            _ => 1,
        },
        "validate" => tenth(size(1)).max(1),
        _ => 1,
    }
}

/// The text of a value that has to be one.
fn text<'a, 'v>(value: &'a Value<'v>) -> Option<&'a Text<'v>> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn list<'a, 'v>(value: &'a Value<'v>) -> Option<&'a List<'v>> {
    match value {
        Value::List(list) => Some(list),
        _ => None,
    }
}

/// A text, unless it is larger than any has a reason to be.
fn made<'v>(text: String) -> Outcome<'v> {
    if text.len() > BYTES { Err(Failure::Cost) } else { Ok(Value::text(text)) }
}

fn authorizer<'v>(_arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    Ok(Value::Authorizer)
}
