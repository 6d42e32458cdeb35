//! `semver.*` as OPA has them: leading zeros and one `v` are let through.

use regorus::Value;
use std::cmp::Ordering;

/// `semver.is_valid(text)`: false for what is no string, too.
pub(super) fn is_valid(arguments: &[Value]) -> Value {
    match arguments {
        [Value::String(text)] => Value::from(Version::parse(text).is_some()),
        _ => Value::from(false),
    }
}

/// `semver.compare(a, b)`: -1, 0 or 1; undefined where one is no version.
pub(super) fn compare(arguments: &[Value]) -> Value {
    let [Value::String(a), Value::String(b)] = arguments else { return Value::Undefined };
    match (Version::parse(a), Version::parse(b)) {
        (Some(a), Some(b)) => Value::from(a.cmp(&b) as i64),
        _ => Value::Undefined,
    }
}

/// The parts that are compared; what comes after `+` is not.
#[derive(Debug, PartialEq, Eq)]
struct Version<'t> {
    numbers: [i64; 3],
    pre_release: &'t str,
}

impl<'t> Version<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = text.split_once('+').map_or((text, None), |(text, metadata)| (text, Some(metadata)));
        let (numbers, pre_release) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
        let identifiers = |text: &str| {
            text.split('.').all(|one| !one.is_empty() && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        };
        if ![metadata, pre_release].into_iter().flatten().all(identifiers) {
            return None;
        }
        let mut parts = numbers.split('.').map(|part| part.parse::<i64>().ok());
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { numbers, pre_release: pre_release.unwrap_or_default() })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let of_identifiers = |a: &str, b: &str| match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        let pre_releases = || match (self.pre_release, other.pre_release) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => {
                let (mut a, mut b) = (a.split('.'), b.split('.'));
                loop {
                    match (a.next(), b.next()) {
                        (None, None) => return Ordering::Equal,
                        (None, Some(_)) => return Ordering::Less,
                        (Some(_), None) => return Ordering::Greater,
                        (Some(a), Some(b)) => match of_identifiers(a, b) {
                            Ordering::Equal => {}
                            different => return different,
                        },
                    }
                }
            }
        };
        self.numbers.cmp(&other.numbers).then_with(pre_releases)
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let ordered = ["v01.2.3-1", "1.2.3-alpha", "1.2.3-alpha.1", "1.2.3-beta", "1.2.3", "1.10.0"];
        let versions: Vec<Version<'_>> = ordered.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert_eq!(Version::parse("1.2.3+a"), Version::parse("1.2.3+b"));
        for wrong in ["1.2", "vv1.2.3", "1.2.3.4", "1.2.x", "1.2.3-", "1.2.3-ä", ""] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }
}
