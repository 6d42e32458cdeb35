//! Quantities in their one spelling (`k8s.io/apimachinery`, resource.Quantity): `0.5` is `500m`, `1024Mi` is `1Gi`.

use serde_json::{Value, json};
use std::fmt;

/// A number of billionths, and how it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `k`, `M`, …
    Decimal,
    /// `e3`.
    Exponent,
    /// `Ki`, `Mi`, …
    Binary,
}

/// The smallest unit that a quantity has.
const NANO: i128 = 1_000_000_000;
/// The smallest unit that a list of resources has.
const MILLI: i128 = NANO / 1_000;

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// A quantity, spelled as the API server does; what is none is left as it is.
pub(super) fn canonical(value: &Value) -> Value {
    spelled(value, |_| ())
}

/// The same of a request or a limit, which has no units below a thousandth: they are rounded up.
pub(super) fn canonical_in_list(value: &Value) -> Value {
    spelled(value, Quantity::round_up)
}

fn spelled(value: &Value, change: impl Fn(&mut Quantity)) -> Value {
    let text = read(value).and_then(|mut quantity| {
        change(&mut quantity);
        quantity.text()
    });
    text.map_or_else(|| value.clone(), |text| json!(text))
}

fn read(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => parse(text.trim()),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// What a quantity comes to, in billionths.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    parse(text).map(|quantity| quantity.nanos)
}

fn parse(text: &str) -> Option<Quantity> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(fraction) {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;

    let decimal = DECIMAL.iter().find(|(known, _)| *known == suffix).map(|(_, exponent)| (*exponent, Format::Decimal));
    let exponent = || {
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        Some((exponent.parse().ok()?, Format::Exponent))
    };
    let (nanos, format) = match BINARY.iter().find(|(known, _)| *known == suffix) {
        Some((_, bits)) => {
            let nanos = scaled(digits.checked_mul(1 << bits)?, 9 - places)?;
            let cap = i128::from(i64::MAX) * NANO;
            // Below one, a power of two would round.
            let format = if nanos > 0 && nanos < NANO { Format::Decimal } else { Format::Binary };
            (nanos.min(cap), format)
        }
        None => {
            let (exponent, format) = decimal.or_else(exponent)?;
            (scaled(digits, exponent.checked_add(9)?.checked_sub(places)?)?, format)
        }
    };
    Some(Quantity { nanos: if is_negative { -nanos } else { nanos }, format })
}

/// Times a power of ten, rounded up.
fn scaled(digits: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    match (exponent >= 0, power) {
        (true, Some(power)) => digits.checked_mul(power),
        (true, None) => (digits == 0).then_some(0),
        (false, Some(power)) => Some(digits / power + i128::from(digits % power > 0)),
        (false, None) => Some(i128::from(digits > 0)),
    }
}

impl Quantity {
    /// A request or a limit.
    pub(crate) fn in_list(value: &Value) -> Option<Self> {
        let mut quantity = read(value)?;
        quantity.round_up();
        Some(quantity)
    }

    /// Both together, written as the first is, unless that is nothing.
    pub(crate) fn plus(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }

    /// In billionths.
    pub(crate) fn nanos(self) -> i128 {
        self.nanos
    }

    fn round_up(&mut self) {
        let (down, rest) = (self.nanos / MILLI, self.nanos % MILLI);
        self.nanos = (down + rest.signum()) * MILLI;
    }

    /// With the largest suffix that leaves an integer; none for what the API server has no suffix for.
    fn text(&self) -> Option<String> {
        let Self { nanos, format } = *self;
        let is_binary = format == Format::Binary && nanos.abs() >= 1024 * NANO && nanos % NANO == 0;
        if nanos == 0 {
            return Some("0".to_owned());
        }
        if is_binary {
            let whole = nanos / NANO;
            let suffix = BINARY.iter().rev().find(|(_, bits)| whole % (1 << bits) == 0);
            return Some(
                suffix.map_or_else(|| whole.to_string(), |(suffix, bits)| format!("{}{suffix}", whole >> bits)),
            );
        }
        let (mut number, mut exponent) = (nanos, -9);
        while number % 1_000 == 0 {
            number /= 1_000;
            exponent += 3;
        }
        match (format, exponent) {
            (Format::Exponent, 0) => Some(number.to_string()),
            (Format::Exponent, exponent) => Some(format!("{number}e{exponent}")),
            _ => {
                let (suffix, _) = DECIMAL.iter().find(|(_, known)| *known == exponent)?;
                Some(format!("{number}{suffix}"))
            }
        }
    }
}

/// In its one spelling.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}n", self.nanos),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{canonical, canonical_in_list};

    #[test]
    fn there_is_one_spelling() {
        let cases: [(Value, &str); 31] = [
            (json!(0), "0"),
            (json!("0Mi"), "0"),
            (json!(1), "1"),
            (json!(0.5), "500m"),
            (json!("0.5"), "500m"),
            (json!("1000m"), "1"),
            (json!("1500m"), "1500m"),
            (json!(".5"), "500m"),
            (json!("5."), "5"),
            (json!("+1"), "1"),
            (json!("-0.5"), "-500m"),
            (json!("1000"), "1k"),
            (json!("1048576"), "1048576"),
            (json!("1000000"), "1M"),
            (json!("1000k"), "1M"),
            (json!("1e3"), "1e3"),
            (json!("1E3"), "1e3"),
            (json!("12e1"), "120"),
            (json!("1E"), "1E"),
            (json!("64Mi"), "64Mi"),
            (json!("1024Mi"), "1Gi"),
            (json!("1536Mi"), "1536Mi"),
            (json!("1.5Gi"), "1536Mi"),
            (json!("1000Ki"), "1000Ki"),
            (json!("0.5Ki"), "512"),
            (json!("0.0001Ki"), "102400u"),
            (json!("1.1Ki"), "1126400m"),
            (json!("1024Ei"), "9223372036854775807"),
            (json!("100n"), "100n"),
            (json!("0.1n"), "1n"),
            (json!(" 1 "), "1"),
        ];
        for (value, expected) in cases {
            assert_eq!(canonical(&value), json!(expected), "{value}");
        }
    }

    #[test]
    fn lists_round_up_to_thousandths() {
        for (value, expected) in [("1u", "1m"), ("1500u", "2m"), ("1m", "1m"), ("-1u", "-1m"), ("1Gi", "1Gi")] {
            assert_eq!(canonical_in_list(&json!(value)), json!(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_quantity_stays() {
        for value in
            [json!(""), json!("a"), json!("1.2.3"), json!("1 Gi"), json!("1Zi"), json!("e"), json!({}), json!("--1")]
        {
            assert_eq!(canonical(&value), value);
        }
        let huge = json!("9".repeat(60));
        assert_eq!(canonical(&huge), huge);
    }
}
