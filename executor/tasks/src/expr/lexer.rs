//! Words, numbers, texts and signs of an expression.

use super::ExpressionError;

/// Signs, longer ones before those that they begin with.
const SIGNS: [&str; 33] = [
    "??", "?.", "..", "||", "&&", "==", "!=", "<=", ">=", "**", "?", ".", ":", "|", "!", "<", ">", "=", "+", "-", "*",
    "/", "%", "^", ",", ";", "#", "(", ")", "[", "]", "{", "}",
];

/// Words that are operators.
const OPERATORS: [&str; 11] =
    ["not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

/// What an expression is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Integer(i64),
    Float(f64),
    Text(String),
    Name(String),
    /// A sign or a word that is an operator.
    Sign(&'static str),
    End,
}

/// A token and the byte that it begins at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    /// As it was written: a number is a key of a map by its text.
    pub(super) end: usize,
}

/// Takes an expression apart.
///
/// # Errors
/// Where a text or a comment is open, a number or an escape is none, or a character has no meaning.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = source.get(at..).unwrap_or_default();
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(length) = comment(rest, at)? {
            at += length;
            continue;
        }
        let (kind, length) = match first {
            '"' | '\'' => text(rest, first, at)?,
            '`' => raw(rest, at)?,
            '0'..='9' => number(rest, at)?,
            '.' if rest.get(1..).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit())) => {
                number(rest, at)?
            }
            first if is_word(first) => word(rest),
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Kind::Sign(sign), sign.len()),
                None => return Err(ExpressionError::at(at, format!("{first:?} has no meaning here"))),
            },
        };
        tokens.push(Token { kind, at, end: at + length });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at, end: at });
    Ok(tokens)
}

fn is_word(character: char) -> bool {
    character == '_' || character == '$' || character.is_alphanumeric()
}

fn word(rest: &str) -> (Kind, usize) {
    let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
    let word = rest.get(..length).unwrap_or_default();
    let kind = match OPERATORS.iter().find(|operator| **operator == word) {
        Some(operator) => Kind::Sign(operator),
        None => Kind::Name(word.to_owned()),
    };
    (kind, length)
}

/// The length of the comment that a text begins with.
fn comment(rest: &str, at: usize) -> Result<Option<usize>, ExpressionError> {
    if rest.starts_with("//") {
        return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    match rest.strip_prefix("/*") {
        None => Ok(None),
        Some(inner) => match inner.find("*/") {
            Some(length) => Ok(Some(length + 4)),
            None => Err(ExpressionError::at(at, "the comment is not closed")),
        },
    }
}

fn number(rest: &str, at: usize) -> Result<(Kind, usize), ExpressionError> {
    let wrong = |text: &str| ExpressionError::at(at, format!("{text} is no number, or one that is too large"));
    let radix = match rest.as_bytes().get(..2) {
        Some(b"0x" | b"0X") => Some(16),
        Some(b"0o" | b"0O") => Some(8),
        Some(b"0b" | b"0B") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let digits = rest.get(2..).unwrap_or_default();
        let length = digits.find(|character| !is_word(character)).unwrap_or(digits.len());
        let digits = digits.get(..length).unwrap_or_default();
        let parsed = i64::from_str_radix(&digits.replace('_', ""), radix);
        return match parsed {
            Ok(number) if !digits.starts_with(['+', '-']) => Ok((Kind::Integer(number), length + 2)),
            _ => Err(wrong(rest.get(..length + 2).unwrap_or_default())),
        };
    }
    let digits = |from: usize| {
        let rest = rest.get(from..).unwrap_or_default();
        from + rest.find(|character: char| !character.is_ascii_digit() && character != '_').unwrap_or(rest.len())
    };
    let follows = |at: usize, one_of: &[u8]| rest.as_bytes().get(at).is_some_and(|byte| one_of.contains(byte));
    let mut end = digits(0);
    let mut is_float = false;
    // Two dots are a range.
    if follows(end, b".") && !follows(end + 1, b".") {
        is_float = true;
        end = digits(end + 1);
    }
    if follows(end, b"eE") {
        is_float = true;
        end = digits(end + 1 + usize::from(follows(end + 1, b"+-")));
    }
    let text = rest.get(..end).unwrap_or_default();
    if rest.get(end..).is_some_and(|rest| rest.starts_with(is_word)) {
        return Err(wrong(text));
    }
    let plain = text.replace('_', "");
    let kind = match is_float {
        true => plain.parse().ok().filter(|number: &f64| number.is_finite()).map(Kind::Float),
        false => plain.parse().ok().map(Kind::Integer),
    };
    kind.map(|kind| (kind, end)).ok_or_else(|| wrong(text))
}

fn raw(rest: &str, at: usize) -> Result<(Kind, usize), ExpressionError> {
    let inner = rest.get(1..).unwrap_or_default();
    match inner.split_once('`') {
        Some((text, _)) => Ok((Kind::Text(text.to_owned()), text.len() + 2)),
        None => Err(ExpressionError::at(at, "the text is not closed")),
    }
}

fn text(rest: &str, quote: char, at: usize) -> Result<(Kind, usize), ExpressionError> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((place, character)) = characters.next() {
        match character {
            character if character == quote => return Ok((Kind::Text(text), place + 1)),
            '\\' => {
                let read = escape(&mut characters);
                text.push(read.ok_or_else(|| ExpressionError::at(at + place, "this is no escape sequence"))?);
            }
            '\n' => break,
            other => text.push(other),
        }
    }
    Err(ExpressionError::at(at, "the text is not closed"))
}

/// What stands behind a backslash.
fn escape(characters: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    let (_, escaped) = characters.next()?;
    let (count, radix, first) = match escaped {
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\x0b'),
        '\\' | '\'' | '"' | '`' | '?' => return Some(escaped),
        'x' | 'X' => (2, 16, 0),
        'u' => (4, 16, 0),
        'U' => (8, 16, 0),
        '0'..='3' => (2, 8, escaped.to_digit(8)?),
        _ => return None,
    };
    let number = (0..count).try_fold(first, |number: u32, _| {
        let digit = characters.next()?.1.to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    });
    char::from_u32(number?)
}
