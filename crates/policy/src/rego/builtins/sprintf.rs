//! `sprintf` with the formatting of Go's `fmt`, down to what it says of wrong verbs and wrong counts: policies are shipped
//! with such mistakes, and their messages are compared.

use crate::quote::{quoted, quoted_char};
use regorus::Value;
use std::fmt::Write;

/// The widest field and the longest fraction that Go formats.
const WIDEST: usize = 1_000_000;
/// How long a result may become here: arguments are strangers' texts, and widths multiply them.
const LONGEST: usize = 1 << 20;

/// `sprintf(format, arguments)`; undefined where the types are wrong.
pub(super) fn sprintf(arguments: &[Value]) -> Value {
    let [format, values] = arguments else { return Value::Undefined };
    let (Ok(format), Ok(values)) = (format.as_string(), values.as_array()) else { return Value::Undefined };
    let values: Vec<Argument> = values.iter().map(Argument::of).collect();
    let mut printer = Printer {
        out: String::with_capacity(format.len() + 16 * values.len()),
        values: &values,
        next: 0,
        reordered: false,
    };
    printer.print(format);
    Value::from(printer.out)
}

/// A value as OPA hands it to Go's `fmt`.
enum Argument {
    Int(i64),
    /// An integer outside Go's `int`, in decimals.
    Big(String),
    Float(f64),
    /// A string, or anything else in OPA's own notation.
    Text(String),
}

impl Argument {
    fn of(value: &Value) -> Self {
        match value {
            Value::Number(number) => match (number.as_i64(), number.is_integer(), number.as_f64()) {
                (Some(int), ..) => Self::Int(int),
                (None, true, _) => Self::Big(number.format_decimal()),
                (None, false, Some(float)) => Self::Float(float),
                (None, false, None) => Self::Text(number.format_decimal()),
            },
            Value::String(text) => Self::Text(text.to_string()),
            other => Self::Text(notation(other)),
        }
    }

    /// The type's name in Go.
    fn go_type(&self) -> &'static str {
        match self {
            Self::Int(_) => "int",
            Self::Big(_) => "*big.Int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
        }
    }

    /// As `%v` writes it.
    fn plain(&self) -> String {
        match self {
            Self::Int(int) => int.to_string(),
            Self::Big(text) | Self::Text(text) => text.clone(),
            Self::Float(float) => general(*float, None, 'e'),
        }
    }
}

/// A value in Rego's notation, as OPA prints it.
fn notation(value: &Value) -> String {
    fn list<'a>(open: &str, items: impl Iterator<Item = &'a Value>, close: &str) -> String {
        format!("{open}{}{close}", items.map(notation).collect::<Vec<_>>().join(", "))
    }
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Number(_) => Argument::of(value).plain(),
        Value::String(text) => quoted(text),
        Value::Array(items) => list("[", items.iter(), "]"),
        Value::Set(items) if items.is_empty() => "set()".to_owned(),
        Value::Set(items) => {
            let mut items: Vec<&Value> = items.iter().collect();
            items.sort_by_key(|item| rank(item));
            list("{", items.into_iter(), "}")
        }
        Value::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{}: {}", notation(key), notation(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Undefined => String::new(),
    }
}

/// OPA's order of types, which is not regorus' for objects and sets.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Undefined | Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
        Value::Set(_) => 6,
    }
}

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer<'v> {
    out: String,
    values: &'v [Argument],
    next: usize,
    /// Whether the format chose arguments by number: then none of them is too many.
    reordered: bool,
}

impl Printer<'_> {
    fn print(&mut self, format: &str) {
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            let (text, directive) = rest.split_at(at);
            self.out.push_str(text);
            rest = self.directive(directive.get(1..).unwrap_or_default());
            if self.out.len() > LONGEST {
                return;
            }
        }
        self.out.push_str(rest);
        if !self.reordered && self.next < self.values.len() {
            let extra =
                self.values.iter().skip(self.next).map(|value| format!("{}={}", value.go_type(), value.plain()));
            let extra = extra.collect::<Vec<_>>().join(", ");
            _ = write!(self.out, "%!(EXTRA {extra})");
        }
    }

    /// Prints one directive, of which the percent sign is gone; returns what comes after it.
    fn directive<'f>(&mut self, format: &'f str) -> &'f str {
        let mut flags = Flags::default();
        let after_flags = format.trim_start_matches(['-', '+', '#', ' ', '0']);
        for flag in format[..format.len() - after_flags.len()].chars() {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                _ => flags.zero = true,
            }
        }
        let mut good_index = true;
        let mut rest = self.index(after_flags, &mut good_index);
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            match self.number() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
        } else {
            (flags.width, rest) = digits(rest);
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = self.index(after, &mut good_index);
            if let Some(after) = rest.strip_prefix('*') {
                rest = after;
                match self.number().and_then(|precision| usize::try_from(precision).ok()) {
                    Some(precision) => flags.precision = Some(precision),
                    None => self.out.push_str("%!(BADPREC)"),
                }
            } else {
                let (precision, after) = digits(rest);
                (flags.precision, rest) = (Some(precision.unwrap_or(0)), after);
            }
        }
        rest = self.index(rest, &mut good_index);
        flags.zero &= !flags.minus;

        let mut characters = rest.chars();
        let Some(verb) = characters.next() else {
            self.out.push_str("%!(NOVERB)");
            return "";
        };
        if verb == '%' {
            self.out.push('%');
        } else if !good_index {
            _ = write!(self.out, "%!{verb}(BADINDEX)");
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            let text = formatted(value, verb, &flags);
            self.out.push_str(&text);
        } else {
            _ = write!(self.out, "%!{verb}(MISSING)");
        }
        characters.as_str()
    }

    /// Reads `[n]`, which chooses the next argument.
    fn index<'f>(&mut self, format: &'f str, good: &mut bool) -> &'f str {
        let Some(inside) = format.strip_prefix('[') else { return format };
        self.reordered = true;
        let Some((number, after)) = inside.split_once(']') else {
            *good = false;
            return inside;
        };
        match number.parse::<usize>() {
            Ok(number) if (1..=self.values.len()).contains(&number) => self.next = number - 1,
            _ => *good = false,
        }
        after
    }

    /// The next argument as a width or precision.
    fn number(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Argument::Int(int) if int.unsigned_abs() as usize <= WIDEST => Some(*int),
            _ => None,
        }
    }
}

/// The number at the beginning, and what follows; one that is too large is none, as in Go.
fn digits(text: &str) -> (Option<usize>, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text[..text.len() - rest.len()].parse().ok().filter(|number| *number <= WIDEST);
    (number, rest)
}

fn formatted(value: &Argument, verb: char, flags: &Flags) -> String {
    let by_verb = |verb: char| match value {
        Argument::Int(int) => integer(*int, verb, flags),
        Argument::Big(text) if matches!(verb, 'd' | 'v' | 's') => Some(signed(text.clone(), flags)),
        Argument::Big(_) => None,
        Argument::Float(float) => floating(*float, verb, flags),
        Argument::Text(text) => string(text, verb, flags),
    };
    match by_verb(verb) {
        Some(text) => padded(text, value, flags),
        // What Go says of a wrong verb has the value with the same flags.
        None => {
            let text = padded(by_verb('v').unwrap_or_default(), value, flags);
            format!("%!{verb}({}={text})", value.go_type())
        }
    }
}

fn integer(int: i64, verb: char, flags: &Flags) -> Option<String> {
    let digits = match verb {
        'd' | 'v' => int.unsigned_abs().to_string(),
        'b' => format!("{}{:b}", if flags.sharp { "0b" } else { "" }, int.unsigned_abs()),
        'o' => format!("{}{:o}", if flags.sharp { "0" } else { "" }, int.unsigned_abs()),
        'O' => format!("0o{:o}", int.unsigned_abs()),
        'x' => format!("{}{:x}", if flags.sharp { "0x" } else { "" }, int.unsigned_abs()),
        'X' => format!("{}{:X}", if flags.sharp { "0X" } else { "" }, int.unsigned_abs()),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(int).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return Some(match verb {
                'c' => c.to_string(),
                'U' => format!("U+{:04X}", int),
                _ => quoted_char(c),
            });
        }
        _ => return None,
    };
    let missing = flags.precision.unwrap_or(0).saturating_sub(digits.len());
    let digits = format!("{}{digits}", "0".repeat(missing));
    Some(signed(if int < 0 { format!("-{digits}") } else { digits }, flags))
}

fn floating(float: f64, verb: char, flags: &Flags) -> Option<String> {
    let text = match verb {
        'v' | 'g' => general(float, flags.precision, 'e'),
        'G' => general(float, flags.precision, 'E'),
        'f' | 'F' => format!("{float:.*}", flags.precision.unwrap_or(6)),
        'e' => exponential(&format!("{float:.*e}", flags.precision.unwrap_or(6)), 'e'),
        'E' => exponential(&format!("{float:.*e}", flags.precision.unwrap_or(6)), 'E'),
        _ => return None,
    };
    Some(signed(text, flags))
}

/// Go's `%g`: decimals unless the exponent is below -4 or not below the precision, 6 for the shortest form.
fn general(float: f64, precision: Option<usize>, e: char) -> String {
    let scientific = match precision {
        None => format!("{float:e}"),
        Some(precision) => format!("{float:.*e}", precision.max(1) - 1),
    };
    let exponent: i32 = scientific.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let limit = precision.map_or(6, |precision| precision.max(1) as i32);
    if exponent < -4 || exponent >= limit {
        let (mantissa, exponent) = scientific.rsplit_once('e').unwrap_or((&scientific, "0"));
        return exponential(&format!("{}e{exponent}", without_zeros(mantissa)), e);
    }
    match precision {
        None => format!("{float}"),
        Some(precision) => {
            let decimals = (precision.max(1) as i32 - 1 - exponent).max(0) as usize;
            without_zeros(&format!("{float:.decimals$}")).to_owned()
        }
    }
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Rust's `1e6` as Go's `1e+06`.
fn exponential(text: &str, e: char) -> String {
    let (mantissa, exponent) = text.rsplit_once('e').unwrap_or((text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}{e}{sign}{digits:0>2}")
}

fn string(text: &str, verb: char, flags: &Flags) -> Option<String> {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    let hexadecimal = |upper: bool| {
        let mut hexadecimal = String::with_capacity(cut.len() * 2);
        for byte in cut.bytes() {
            _ = if upper { write!(hexadecimal, "{byte:02X}") } else { write!(hexadecimal, "{byte:02x}") };
        }
        hexadecimal
    };
    match verb {
        'v' | 's' => Some(cut),
        'q' if flags.sharp && !cut.contains('`') => Some(format!("`{cut}`")),
        'q' => Some(quoted(&cut)),
        'x' => Some(hexadecimal(false)),
        'X' => Some(hexadecimal(true)),
        _ => None,
    }
}

fn signed(number: String, flags: &Flags) -> String {
    match number.starts_with('-') {
        false if flags.plus => format!("+{number}"),
        false if flags.space => format!(" {number}"),
        _ => number,
    }
}

fn padded(text: String, value: &Argument, flags: &Flags) -> String {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if flags.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if !flags.zero || (matches!(value, Argument::Int(_)) && flags.precision.is_some()) {
        return format!("{}{text}", " ".repeat(missing));
    }
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if !matches!(value, Argument::Text(_)) => text.split_at(text.len() - digits.len()),
        _ => ("", text.as_str()),
    };
    format!("{sign}{}{digits}", "0".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_prints() {
        // Printed by Go 1.26's fmt of the values as OPA hands them over.
        for (format, arguments, expected) in [
            ("%v %v", "[1]", "1 %!v(MISSING)"),
            ("%v", "[1, 2]", "1%!(EXTRA int=2)"),
            ("%d %s", r#"["a", 1]"#, "%!d(string=a) %!s(int=1)"),
            ("%t", "[true]", "%!t(string=true)"),
            ("%5d|%-5d|%05d|%+d|%x|%X|%o|%b", "[42, 42, 42, 42, 255, 255, 8, 5]", "   42|42   |00042|+42|ff|FF|10|101"),
            ("%.2f %e %g %v", "[2.345, 1234.5, 0.00001, 2.5]", "2.35 1.234500e+03 1e-05 2.5"),
            ("%.1f", "[1.25]", "1.2"),
            ("%d", "[2.5]", "%!d(float64=2.5)"),
            ("%v %v %v", "[1000000.5, 100000.5, 12345678.25]", "1.0000005e+06 100000.5 1.234567825e+07"),
            ("%05s|%x|%c|%q|%U|%[3]v", r#"["ab", "hi", 65, 65, 65]"#, "000ab|6869|A|'A'|U+0041|65"),
            ("%-05d|% d|%+.3d|%08.3f", "[4, 5, 6, 3.14159]", "4    | 5|+006|0003.142"),
            ("%!", "[]", "%!!(MISSING)"),
            ("%q %5s|%-5s|%.2s", r#"["a\"b", "x", "x", "äöü"]"#, r#""a\"b"     x|x    |äö"#),
            ("%v %v %v", r#"[["a", 1], {"k": null}, true]"#, r#"["a", 1] {"k": null} true"#),
            ("100%% %", "[]", "100% %!(NOVERB)"),
            ("%[2]v %[1]v", "[1, 2]", "2 1"),
            ("%[5]v", "[1]", "%!v(BADINDEX)"),
            ("%*d", "[5, 42]", "   42"),
            ("%v", "[27021597764222979]", "27021597764222979"),
        ] {
            let result = sprintf(&[Value::from(format), Value::from_json_str(arguments).unwrap()]);
            assert_eq!(result, Value::from(expected), "{format} of {arguments}");
        }
    }

    #[test]
    fn a_wide_field_does_not_fill_the_memory() {
        let format = "%999999d".repeat(1000);
        let arguments = format!("[{}]", vec!["1"; 1000].join(","));
        let result = sprintf(&[Value::from(format.as_str()), Value::from_json_str(&arguments).unwrap()]);
        assert!(result.as_string().unwrap().len() < 3 * LONGEST);
    }
}
