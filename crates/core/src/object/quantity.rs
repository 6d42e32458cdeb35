use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::{fmt, str::FromStr};

/// A `Quantity` of the Kubernetes API, such as `10m`, `1.5` or `64Mi`, in thousandths. What is finer is rounded up, as the
/// API server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// A text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a number and perhaps a unit, such as 10m, 1.5 or 64Mi")]
pub struct NotAQuantity;

/// Longer is no number that anybody means, and would overflow below.
const LONGEST: usize = 24;

/// Suffixes and their factors in thousandths.
const SUFFIXES: [(&str, i128); 14] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1000),
];

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// This less another.
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This and another.
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// So many times this, rounded down to a thousandth.
    pub fn times(self, ratio: Self) -> Self {
        Self(self.0.saturating_mul(ratio.0) / 1000)
    }

    /// The part of it that, taken `ratio` times, is at least the whole; in whole units where there are a million, since
    /// nobody counts a thousandth of a byte. `None` for a ratio that is not positive.
    pub fn over(self, ratio: Self) -> Option<Self> {
        if ratio.0 <= 0 {
            return None;
        }
        let up = |value: i128, unit: i128| value.saturating_add(unit - 1) / unit;
        let part = up(self.0.saturating_mul(1000), ratio.0);
        Some(Self(if part >= 1_000_000_000 { up(part, 1000).saturating_mul(1000) } else { part }))
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(NotAQuantity);
        }
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let mut value =
            if all.is_empty() { None } else { all.parse::<u64>().ok() }.map(i128::from).ok_or(NotAQuantity)?;
        let mut divisor = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        match suffix {
            "u" => divisor = divisor.saturating_mul(1000),
            "n" => divisor = divisor.saturating_mul(1_000_000),
            suffix => match suffix.strip_prefix(['e', 'E']).filter(|exponent| !exponent.is_empty()) {
                Some(exponent) if suffix != "Ei" => {
                    let exponent: i32 = exponent.parse().map_err(|_| NotAQuantity)?;
                    let power = 10_i128.pow(exponent.unsigned_abs().min(18));
                    value = value.saturating_mul(1000);
                    if exponent < 0 {
                        divisor = divisor.saturating_mul(power);
                    } else {
                        value = value.saturating_mul(power);
                    }
                }
                _ => {
                    let (_, factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix).ok_or(NotAQuantity)?;
                    value = value.saturating_mul(*factor);
                }
            },
        }
        let rounded = value.saturating_add(divisor - 1) / divisor;
        Ok(Self(if negative { -rounded } else { rounded }))
    }
}

/// In the largest binary unit that is whole from a mebibyte on, else plain, else in thousandths.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value % 1000 != 0 {
            return write!(f, "{value}m");
        }
        let binary = SUFFIXES.iter().take(6).skip(1).rev();
        match binary.into_iter().find(|(_, factor)| value != 0 && value % factor == 0) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", value / factor),
            None => write!(f, "{}", value / 1000),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(i128::from(number) * 1000))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(i128::from(number) * 1000))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_api_server_takes_and_writes_it_back() {
        let table = [
            ("10m", "10m"),
            ("1", "1"),
            ("1.5", "1500m"),
            (".5", "500m"),
            ("+2", "2"),
            ("-3", "-3"),
            ("0", "0"),
            ("64Mi", "64Mi"),
            ("65536Ki", "64Mi"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1Ei", "1Ei"),
            ("1k", "1000"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("1E", "1000000000000000000"),
            ("15e-1", "1500m"),
            ("100u", "1m"),
            ("1n", "1m"),
            ("1500u", "2m"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "m", "1x", "1 Mi", "--1", "1.2.3", "e3", "1e", "99999999999999999999999999", "１"] {
            assert_eq!(text.parse::<Quantity>(), Err(NotAQuantity), "{text}");
        }
    }

    #[test]
    fn a_part_is_large_enough_and_whole_where_it_is_large() {
        let table = [("500m", "10", "50m"), ("1", "3", "334m"), ("512Mi", "1.5", "357913942"), ("1", "0", "")];
        for (whole, ratio, part) in table {
            let found = whole.parse::<Quantity>().unwrap().over(ratio.parse().unwrap());
            assert_eq!(found.map(|part| part.to_string()).unwrap_or_default(), part, "{whole} {ratio}");
        }
    }
}
