//! Durations and timestamps, in nanoseconds.

use super::Arguments;
use crate::cel::evaluate::{Failure, Outcome};
use crate::cel::value::Value;

/// A second.
pub(in crate::cel) const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400;

/// Go's notation: `1h30m`, `-1.5s`.
pub(in crate::cel) fn parse_duration(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", SECOND),
            ("m", 60 * SECOND),
            ("h", 3_600 * SECOND),
        ];
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, unit) = units.iter().find(|(known, _)| *known == unit)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let digits = fraction.get(..fraction.len().min(12))?;
        let part: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let scale = 10_i128.checked_pow(u32::try_from(digits.len()).ok()?)?;
        total = total.checked_add(whole.checked_mul(*unit)?)?.checked_add(part * unit / scale)?;
        rest = after;
    }
    i64::try_from(if is_negative { -total } else { total }).ok()
}

/// `90s`, `1.5s`.
pub(in crate::cel) fn show_duration(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}{}s", size / 1_000_000_000, fraction(size % 1_000_000_000))
}

/// `.5` of half a second; nothing of none.
fn fraction(nanos: u64) -> String {
    match nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

/// RFC 3339.
pub(in crate::cel) fn parse_timestamp(text: &str) -> Option<i128> {
    let digits = |from: usize, count: usize| -> Option<i64> {
        let part = text.get(from..from + count)?;
        part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let is_at = |place: usize, wanted: &[u8]| text.as_bytes().get(place).is_some_and(|c| wanted.contains(c));
    let separated = is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt") && is_at(13, b":") && is_at(16, b":");
    if !separated {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let in_range = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 59 || year < 1 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
            let (fraction, zone) = rest.split_at(end);
            let nanos = format!("{:0<9}", fraction.get(..fraction.len().min(9))?);
            (nanos.parse::<i128>().ok()?, zone)
        }
        None => (0, rest),
    };
    let offset = if zone == "Z" || zone == "z" { 0 } else { offset(zone)? };
    let seconds = i128::from(days_since_1970(year, month, day)) * DAY + i128::from(hour * 3_600 + minute * 60 + second)
        - i128::from(offset);
    Some(seconds * SECOND + fraction)
}

/// The seconds of `+02:00`.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<i64>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

pub(in crate::cel) fn show_timestamp(nanos: i128) -> String {
    let Civil { year, month, day, second, .. } = civil(nanos, 0);
    let rest = u64::try_from(nanos.rem_euclid(SECOND)).unwrap_or_default();
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}{}Z", second % 60, fraction(rest))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar, also before it was made.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    /// 0 is Sunday.
    weekday: i64,
    /// Of the day.
    second: i64,
}

fn civil(nanos: i128, offset: i64) -> Civil {
    let seconds = nanos.div_euclid(SECOND) + i128::from(offset);
    let narrow = |number: i128| i64::try_from(number).unwrap_or_default();
    let (days, second) = (narrow(seconds.div_euclid(DAY)), narrow(seconds.rem_euclid(DAY)));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let day_of_year = days - days_since_1970(year, 1, 1);
    Civil { year, month, day, day_of_year, weekday: (days + 4).rem_euclid(7), second }
}

/// `getFullYear` and its like. Zones are offsets; those with a name need a data base that is not here.
pub(super) fn part<'v>(arguments: Arguments<'_, 'v>) -> Outcome<'v> {
    let (nanos, offset) = match arguments.values {
        [Value::Duration(nanos)] => return of_duration(arguments.name, *nanos).ok_or_else(|| arguments.none()),
        [Value::Timestamp(nanos)] => (*nanos, 0),
        [Value::Timestamp(nanos), Value::String(zone)] => match &**zone {
            "" | "UTC" => (*nanos, 0),
            zone => match offset(zone) {
                Some(offset) => (*nanos, offset),
                None => return Err(Failure::Unknown(format!("the time zone {zone:?} is not known here"))),
            },
        },
        _ => return Err(arguments.none()),
    };
    let civil = civil(nanos, offset);
    Ok(Value::Int(match arguments.name {
        "getDate" => civil.day,
        "getDayOfMonth" => civil.day - 1,
        "getDayOfWeek" => civil.weekday,
        "getDayOfYear" => civil.day_of_year,
        "getFullYear" => civil.year,
        "getMonth" => civil.month - 1,
        "getHours" => civil.second / 3_600,
        "getMinutes" => civil.second / 60 % 60,
        "getSeconds" => civil.second % 60,
        _ => i64::try_from(nanos.rem_euclid(SECOND) / 1_000_000).unwrap_or_default(),
    }))
}

fn of_duration<'v>(name: &str, nanos: i64) -> Option<Value<'v>> {
    Some(Value::Int(match name {
        "getHours" => nanos / 3_600_000_000_000,
        "getMinutes" => nanos / 60_000_000_000,
        "getSeconds" => nanos / 1_000_000_000,
        "getMilliseconds" => nanos / 1_000_000,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, parse_timestamp, show_duration, show_timestamp};

    #[test]
    fn durations_are_go_s() {
        for (text, expected) in [
            ("60s", Some("60s")),
            ("1m30s", Some("90s")),
            ("1.5h", Some("5400s")),
            ("-250ms", Some("-0.25s")),
            ("0", Some("0s")),
            ("", None),
            ("1", None),
            ("1d", None),
            ("9999999h", None),
        ] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        for (text, expected) in [
            ("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05Z")),
            ("2024-02-29T23:59:59.5+02:00", Some("2024-02-29T21:59:59.5Z")),
            ("1969-12-31T23:59:59Z", Some("1969-12-31T23:59:59Z")),
            ("2023-02-29T00:00:00Z", None),
            ("2024-01-02 03:04:05Z", None),
            ("2024-01-02T03:04:05", None),
        ] {
            assert_eq!(parse_timestamp(text).map(show_timestamp).as_deref(), expected, "{text}");
        }
    }
}
