//! Cuts a byte stream into documents without parsing it, so that memory grows with a document and one bad document
//! leaves the next.

use std::io::{self, BufRead};

/// One document's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) text: Vec<u8>,
    /// The line it starts in, from 1.
    pub(super) line: u64,
    pub(super) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON value.
    Json,
    /// Lines up to a separator.
    Yaml,
}

/// What ends a stream early.
#[derive(Debug)]
pub(super) enum Broken {
    Unreadable(io::Error),
    /// A document over the limit began in this line.
    TooLong(u64),
}

/// Cuts documents off a reader.
///
/// A document that starts with `{` or `[` is JSON and ends with the bracket that closes it, so pretty-printed JSON,
/// JSON lines and values one after the other are all the same. Any other is YAML and ends, as for kubectl, before a
/// line that starts with `---` (or after one that starts with `...`).
pub(super) struct Splitter<R> {
    reader: R,
    /// The line that is read next, from 1.
    line: u64,
    limit: usize,
    at_start: bool,
    /// A line such as `--- {a: 1}`, read with the document before it, that the next one starts with.
    carried: Vec<u8>,
}

impl<R: BufRead> Splitter<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, line: 1, limit, at_start: true, carried: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Chunk>, Broken> {
        let mut text = std::mem::take(&mut self.carried);
        if !text.is_empty() {
            let line = self.line - 1;
            self.yaml(&mut text, line, false)?;
            return Ok(Some(Chunk { text, line, format: Format::Yaml }));
        }
        if std::mem::take(&mut self.at_start) {
            self.byte_order_mark(&mut text)?;
        }
        loop {
            let line = self.line;
            let Some(first) = self.peek()? else { return Ok(None) };
            match first {
                b'{' | b'[' => {
                    self.json(&mut text, line)?;
                    return Ok(Some(Chunk { text, line, format: Format::Json }));
                }
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.line += u64::from(first == b'\n');
                    // Indentation counts in YAML, so that of a document's first line is kept.
                    if first == b'\n' {
                        text.clear()
                    } else {
                        text.push(first)
                    }
                    self.reader.consume(1);
                }
                _ => {
                    self.yaml(&mut text, line, true)?;
                    return Ok(Some(Chunk { text, line, format: Format::Yaml }));
                }
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        Ok(self.reader.fill_buf().map_err(Broken::Unreadable)?.first().copied())
    }

    /// Drops one; what only begins like one goes to `text`.
    fn byte_order_mark(&mut self, text: &mut Vec<u8>) -> Result<(), Broken> {
        for byte in *b"\xef\xbb\xbf" {
            if self.peek()? != Some(byte) {
                return Ok(());
            }
            text.push(byte);
            self.reader.consume(1);
        }
        text.clear();
        Ok(())
    }

    /// Reads to the bracket that closes the first one, or to the end of the input.
    fn json(&mut self, text: &mut Vec<u8>, start: u64) -> Result<(), Broken> {
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        loop {
            let buffer = self.reader.fill_buf().map_err(Broken::Unreadable)?;
            if buffer.is_empty() {
                return Ok(());
            }
            let mut end = None;
            for (at, &byte) in buffer.iter().enumerate() {
                self.line += u64::from(byte == b'\n');
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => depth += 1,
                    b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 {
                    end = Some(at + 1);
                    break;
                }
            }
            let taken = end.unwrap_or(buffer.len());
            text.extend(buffer.iter().take(taken));
            self.reader.consume(taken);
            if text.len() > self.limit {
                return Err(Broken::TooLong(start));
            }
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Reads lines up to a separator. While it has read nothing but comments and directives (`only_head`), a `---`
    /// starts this document and not the next.
    fn yaml(&mut self, text: &mut Vec<u8>, start: u64, mut only_head: bool) -> Result<(), Broken> {
        loop {
            let from = text.len();
            let room = (self.limit - from.min(self.limit)) as u64 + 1;
            io::Read::take(&mut self.reader, room).read_until(b'\n', text).map_err(Broken::Unreadable)?;
            if text.len() > self.limit {
                return Err(Broken::TooLong(start));
            }
            let line = text.get(from..).unwrap_or_default();
            self.line += u64::from(line.ends_with(b"\n"));
            match Separator::of(line) {
                _ if line.is_empty() => return Ok(()),
                Some(Separator::End) => return Ok(()),
                Some(separator) if !only_head => {
                    if separator == Separator::StartWithContent {
                        self.carried = line.to_vec();
                    }
                    text.truncate(from);
                    return Ok(());
                }
                Some(_) => only_head = false,
                None => only_head &= matches!(line.trim_ascii().first(), None | Some(b'#' | b'%')),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `---`, by itself or with a comment.
    Start,
    /// `--- {a: 1}`
    StartWithContent,
    /// `...`
    End,
}

impl Separator {
    fn of(line: &[u8]) -> Option<Self> {
        let alone = |rest: &[u8]| rest.first().is_none_or(u8::is_ascii_whitespace);
        if let Some(rest) = line.strip_prefix(b"---").filter(|rest| alone(rest)) {
            let bare = matches!(rest.trim_ascii().first(), None | Some(b'#'));
            return Some(if bare { Self::Start } else { Self::StartWithContent });
        }
        line.strip_prefix(b"...").filter(|rest| alone(rest)).map(|_| Self::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    fn chunks(text: &str, buffer: usize) -> Vec<(Format, u64, String)> {
        let mut splitter = Splitter::new(BufReader::with_capacity(buffer, Cursor::new(text.to_owned())), 1 << 20);
        let mut chunks = Vec::new();
        while let Some(chunk) = splitter.next().unwrap() {
            chunks.push((chunk.format, chunk.line, String::from_utf8(chunk.text).unwrap()));
        }
        chunks
    }

    #[test]
    fn cuts_where_kubectl_does() {
        use Format::{Json, Yaml};
        type Row<'a> = (&'a str, &'a [(Format, u64, &'a str)]);
        let table: &[Row<'_>] = &[
            ("", &[]),
            ("\n \n", &[]),
            ("a: 1", &[(Yaml, 1, "a: 1")]),
            ("\u{feff}a: 1\n", &[(Yaml, 1, "a: 1\n")]),
            ("\n  a: 1\n  b: 2\n", &[(Yaml, 2, "  a: 1\n  b: 2\n")]),
            ("a: 1\n---\nb: 2\n", &[(Yaml, 1, "a: 1\n"), (Yaml, 3, "b: 2\n")]),
            ("---\na: 1\n--- # two\nb: 2\n", &[(Yaml, 1, "---\na: 1\n"), (Yaml, 4, "b: 2\n")]),
            ("a: 1\n--- {b: 2}\n", &[(Yaml, 1, "a: 1\n"), (Yaml, 2, "--- {b: 2}\n")]),
            ("%YAML 1.1\n# c\n---\na: 1\n", &[(Yaml, 1, "%YAML 1.1\n# c\n---\na: 1\n")]),
            ("a: 1\n...\nb: 2", &[(Yaml, 1, "a: 1\n...\n"), (Yaml, 3, "b: 2")]),
            ("a: ---\n----\n", &[(Yaml, 1, "a: ---\n----\n")]),
            ("a: |\n  ---\n", &[(Yaml, 1, "a: |\n  ---\n")]),
            ("a: 1\r\n---\r\nb: 2\r\n", &[(Yaml, 1, "a: 1\r\n"), (Yaml, 3, "b: 2\r\n")]),
            ("{}\n{\n}\n\n[1]", &[(Json, 1, "{}"), (Json, 2, "{\n}"), (Json, 5, "[1]")]),
            ("{\"a\": \"}\\\"{\"}{}", &[(Json, 1, "{\"a\": \"}\\\"{\"}"), (Json, 1, "{}")]),
            ("a: 1\n---\n{\"b\": 2}\n", &[(Yaml, 1, "a: 1\n"), (Json, 3, "{\"b\": 2}")]),
            ("{\"a\": 1", &[(Json, 1, "{\"a\": 1")]),
        ];
        for (text, expected) in table {
            for buffer in [1, 2, 3, 5, 4096] {
                let found = chunks(text, buffer);
                let found: Vec<_> = found.iter().map(|(format, line, text)| (*format, *line, text.as_str())).collect();
                assert_eq!(found, *expected, "{text:?} by {buffer}");
            }
        }
    }

    #[test]
    fn a_document_without_an_end_is_not_read_to_memory() {
        for text in ["{\"a\": \"", "a: "] {
            let endless = io::Read::chain(Cursor::new(text), io::repeat(b'x'));
            let mut splitter = Splitter::new(BufReader::new(endless), 10_000);
            assert!(matches!(splitter.next(), Err(Broken::TooLong(1))));
        }
    }
}
