//! Semantic versions (<https://semver.org>, 2.0.0).

use super::Arguments;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;
use std::cmp::Ordering;
use std::rc::Rc;

/// A version. What is built (`+…`) does not count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Semver {
    numbers: [u64; 3],
    pre_release: Vec<Identifier>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

impl Semver {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let parts: Vec<&str> = core.splitn(3, '.').collect();
        let [major, minor, patch] = parts[..] else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let numbers = [Self::number("Major", major)?, Self::number("Minor", minor)?, Self::number("Patch", patch)?];
        let is_identifier =
            |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return Err("Invalid character(s) found in build meta data".to_owned());
        }
        let mut pre_release = Vec::new();
        for one in pre.into_iter().flat_map(|pre| pre.split('.')) {
            if !is_identifier(one) {
                return Err("Invalid character(s) found in prerelease".to_owned());
            }
            pre_release.push(match one.bytes().all(|c| c.is_ascii_digit()) {
                true => Identifier::Number(Self::number("Prerelease", one)?),
                false => Identifier::Text(one.to_owned()),
            });
        }
        Ok(Self { numbers, pre_release })
    }

    fn number(what: &str, text: &str) -> Result<u64, String> {
        if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) {
            return Err(format!("Invalid character(s) found in {} number {text:?}", what.to_lowercase()));
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!("{what} number must not contain leading zeroes {text:?}"));
        }
        text.parse().map_err(|_error| format!("{what} number is out of range {text:?}"))
    }

    /// Without a `v`, with three numbers, without leading zeros.
    fn normal(text: &str) -> String {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let mut parts: Vec<&str> = core
            .splitn(3, '.')
            .map(|part| match part.trim_start_matches('0') {
                "" if !part.is_empty() => "0",
                trimmed => trimmed,
            })
            .collect();
        if rest.is_empty() || parts.len() == 3 {
            parts.resize(3.max(parts.len()), "0");
        }
        format!("{}{rest}", parts.join("."))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = (self.pre_release.is_empty(), other.pre_release.is_empty());
        self.numbers.cmp(&other.numbers).then_with(|| match released {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre_release.cmp(&other.pre_release),
        })
    }
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `semver` and `isSemver`.
pub(super) fn parse<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let found = match arguments.values {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Semver::parse(text),
        [Value::String(text), Value::Bool(true)] => Semver::parse(&Semver::normal(text)),
        _ => return Err(arguments.none()),
    };
    match (arguments.name, found) {
        ("isSemver", found) => Ok(Value::Bool(found.is_ok())),
        (_, Ok(version)) => Ok(Value::Semver(Rc::new(version))),
        (_, Err(why)) => Err(Failure::Error(why)),
    }
}

/// `major`, `minor`, `patch`.
pub(super) fn part<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let [Value::Semver(version)] = arguments.values else { return Err(arguments.none()) };
    let [major, minor, patch] = version.numbers;
    let number = match arguments.name {
        "major" => major,
        "minor" => minor,
        _ => patch,
    };
    i64::try_from(number).map(Value::Int).map_err(|_error| Failure::error("integer overflow"))
}
