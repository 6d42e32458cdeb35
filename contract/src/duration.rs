//! Durations as Go prints and reads them.

use std::time::Duration;

/// Nanoseconds of each unit; `µs` is spelled with either of the two characters that look so.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration such as `1m0s`, `300ms` or `1.5h`; a number without a unit counts seconds, which Go does not take.
/// Nothing for anything else, negative durations included.
#[must_use]
pub fn go_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut rest = text;
    let mut nanoseconds = (!text.is_empty()).then_some(0u64)?;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, behind) = rest.split_at(digits);
        let length = behind.find(|character: char| character.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(length);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds = nanoseconds.checked_add(times(number, *factor)?)?;
        rest = behind;
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// A decimal number times an integer, what is less than one cut off.
fn times(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut sum = whole.checked_mul(factor)?;
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        sum = sum.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_gos() {
        let cases = [
            ("1m0s", Some(60_000)),
            ("3s", Some(3_000)),
            ("300ms", Some(300)),
            ("1.5h", Some(5_400_000)),
            ("2h45m0.5s", Some(9_900_500)),
            ("1000\u{b5}s", Some(1)),
            ("5", Some(5_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("-3s", None),
            (".5s", Some(500)),
            (".s", None),
            ("99999999999999999999h", None),
            ("3x", None),
            ("1.2.3s", None),
            ("3s ", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(go_duration(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = go_duration(&text);
        }
    }
}
