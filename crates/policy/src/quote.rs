use std::fmt::Write;

/// A text in double quotes, escaped as Go's `%q` does, since that is how the API server, OPA and Kyverno print what users wrote.
pub(crate) fn quoted(text: &str) -> String {
    between('"', text)
}

/// A character in single quotes, likewise.
pub(crate) fn quoted_char(c: char) -> String {
    between('\'', c.encode_utf8(&mut [0; 4]))
}

fn between(quote: char, text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            c if c == quote || c == '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            c => escape(c, &mut quoted),
        }
    }
    quoted.push(quote);
    quoted
}

fn is_printable(c: char) -> bool {
    // Behind another character a combining mark is not escaped, as Go has it; alone, Rust would.
    c == ' ' || c.is_ascii_graphic() || (!c.is_ascii() && format!("a{c}").escape_debug().count() == 2)
}

fn escape(c: char, quoted: &mut String) {
    let code = u32::from(c);
    let written = match code {
        0..0x80 => write!(quoted, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a String succeeds");
}

#[cfg(test)]
mod tests {
    use super::{quoted, quoted_char};

    #[test]
    fn is_as_go_quotes() {
        let cases = [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("x\ty", r#""x\ty""#),
            ("\"\\", r#""\"\\""#),
            ("\u{7}\u{8}\u{c}\n\r\u{b}", r#""\a\b\f\n\r\v""#),
            ("\0\u{1b}\u{7f}", r#""\x00\x1b\x7f""#),
            ("é日\u{301}", "\"é日\u{301}\""),
            ("\u{a0}\u{2028}\u{feff}", r#""\u00a0\u2028\ufeff""#),
            ("\u{e000}\u{10ffff}", r#""\ue000\U0010ffff""#),
            ("😀", "\"😀\""),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
        for (c, expected) in [('A', "'A'"), ('"', "'\"'"), ('\'', "'\\''"), ('\n', "'\\n'"), ('\u{a0}', "'\\u00a0'")] {
            assert_eq!(quoted_char(c), expected);
        }
    }
}
