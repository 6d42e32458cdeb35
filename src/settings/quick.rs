//! A fast reader for the YAML that large image indexes are written in.
//!
//! The full parser takes a third of a second for 20,000 entries, and a replica reads its index before it is ready. What
//! such files hold is plain: mappings in blocks, lists of words, flow collections, JSON. This reader takes exactly that and
//! gives up on anything else (anchors, tags, numbers, block texts, mistakes of any kind), whereupon the full parser reads
//! the file from its start. So it never reports an error, and what it does return is what the full parser would have.

use super::tree::{Content, Entry, Node};
use crate::manifest::Place;
use std::collections::HashSet;
use std::sync::Arc;

/// Well below what the full parser accepts, whose bounds this reader need not count then.
const LONGEST_TEXT: usize = 16 << 20;
const LONGEST_KEY: usize = 512;
const DEEPEST: usize = 8;

/// The tree of a document, or `None` where the full parser has to judge.
pub(super) fn parse(text: &str, source: &Arc<str>) -> Option<Node> {
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, line: 1, line_start: 0, source };
    reader.next_line()?;
    if reader.column() == 0 && reader.rest().starts_with(b"---\n") {
        reader.at += 3;
        reader.next_line()?;
    }
    let root = match reader.peek()? {
        b'{' => {
            let root = reader.flow(0)?;
            reader.next_line()?;
            root
        }
        _ if reader.column() == 0 => reader.block_map(0, 0)?,
        _ => return None,
    };
    reader.peek().is_none().then_some(root)
}

/// The full parser refuses a key that occurs twice.
fn are_distinct(entries: &[Entry]) -> bool {
    const FEW: usize = 8;
    if entries.len() <= FEW {
        return entries.iter().enumerate().all(|(at, entry)| entries.iter().skip(at + 1).all(|e| e.key != entry.key));
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries.iter().all(|entry| seen.insert(entry.key.as_str()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// From 1.
    line: u64,
    /// The position of the line's first byte.
    line_start: usize,
    source: &'a Arc<str>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn peek_after(&self) -> Option<u8> {
        self.bytes.get(self.at + 1).copied()
    }

    /// From 0. Bytes are characters here: whatever is not ASCII ends the reading, except behind a `#`.
    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn place(&self) -> Place {
        Place { source: Arc::clone(self.source), line: self.line, column: self.column() as u64 + 1 }
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn line_break(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
    }

    /// Goes over the end of this line, and over lines that are empty or comments, to the next token or the end.
    fn next_line(&mut self) -> Option<()> {
        loop {
            let start = self.at;
            self.spaces();
            match self.peek() {
                None => return Some(()),
                Some(b'\n') => self.line_break(),
                Some(b'#') if self.at > start || self.at == self.line_start => {
                    let length = self.rest().iter().position(|byte| *byte == b'\n').unwrap_or(self.rest().len());
                    if self.rest().get(..length)?.contains(&b'\r') {
                        return None;
                    }
                    self.at += length;
                }
                // A token is only where a line starts; behind a value it would be part of the value.
                Some(_) => return (self.line_start == start || self.at == 0).then_some(()),
            }
        }
    }

    fn block_map(&mut self, indent: usize, depth: usize) -> Option<Node> {
        let place = self.place();
        let mut entries = Vec::new();
        loop {
            let key_place = self.place();
            let key = self.key(false)?;
            if self.peek()? != b':' || !matches!(self.peek_after(), None | Some(b' ' | b'\n')) {
                return None;
            }
            self.at += 1;
            let value = self.block_value(indent, depth)?;
            entries.push(Entry { key, place: key_place, value });
            match self.peek() {
                None => break,
                Some(_) if self.column() == indent => {}
                Some(_) if self.column() < indent => break,
                Some(_) => return None,
            }
        }
        are_distinct(&entries).then_some(Node { value: Content::Map(entries), place })
    }

    /// What stands behind a key of a block, with the end of its line.
    fn block_value(&mut self, indent: usize, depth: usize) -> Option<Node> {
        if depth >= DEEPEST {
            return None;
        }
        self.spaces();
        if !matches!(self.peek(), None | Some(b'\n' | b'#')) {
            let value = if matches!(self.peek()?, b'{' | b'[') { self.flow(depth)? } else { self.text(false)? };
            self.next_line()?;
            return Some(value);
        }
        self.next_line()?;
        let is_list = self.peek()? == b'-' && self.peek_after() == Some(b' ');
        match self.column() {
            column if is_list && column >= indent => self.block_list(column, column == indent),
            column if !is_list && column > indent => self.block_map(column, depth + 1),
            _ => None,
        }
    }

    /// A list of words, a line each. Where it is `flush` with its key the parser gives the first word's place for it.
    fn block_list(&mut self, indent: usize, flush: bool) -> Option<Node> {
        let place = self.place();
        let mut items = Vec::new();
        while self.peek() == Some(b'-') && self.peek_after() == Some(b' ') && self.column() == indent {
            self.at += 1;
            self.spaces();
            items.push(self.text(false)?);
            self.next_line()?;
        }
        let ends = self.peek().is_none() || self.column() <= indent;
        let place = if flush { items.first()?.place.clone() } else { place };
        ends.then_some(Node { value: Content::List(items), place })
    }

    fn flow(&mut self, depth: usize) -> Option<Node> {
        if depth >= DEEPEST {
            return None;
        }
        match self.peek()? {
            b'{' => self.flow_map(depth),
            b'[' => self.flow_list(depth),
            _ => self.text(true),
        }
    }

    /// Space within a flow collection. A line that starts at the margin would end a block.
    fn flow_space(&mut self) -> Option<()> {
        loop {
            self.spaces();
            if self.peek()? != b'\n' {
                return Some(());
            }
            self.line_break();
        }
    }

    fn flow_map(&mut self, depth: usize) -> Option<Node> {
        let place = self.place();
        let mut entries: Vec<Entry> = Vec::new();
        self.at += 1;
        self.flow_space()?;
        while self.peek()? != b'}' {
            let key_place = self.place();
            let quoted = self.peek()? == b'"';
            let key = self.key(true)?;
            let spaced = self.peek_after()? == b' ';
            if self.peek()? != b':' || !(spaced || quoted) {
                return None;
            }
            self.at += 1;
            self.flow_space()?;
            let value = self.flow(depth + 1)?;
            entries.push(Entry { key, place: key_place, value });
            self.comma(b'}')?;
        }
        self.at += 1;
        are_distinct(&entries).then_some(Node { value: Content::Map(entries), place })
    }

    fn flow_list(&mut self, depth: usize) -> Option<Node> {
        let place = self.place();
        let mut items = Vec::new();
        self.at += 1;
        self.flow_space()?;
        while self.peek()? != b']' {
            items.push(self.flow(depth + 1)?);
            self.comma(b']')?;
        }
        self.at += 1;
        Some(Node { value: Content::List(items), place })
    }

    /// A comma and the space around it, or the space before the end.
    fn comma(&mut self, end: u8) -> Option<()> {
        self.flow_space()?;
        match self.peek()? {
            b',' => {
                self.at += 1;
                self.flow_space()?;
                (self.peek()? != end).then_some(())
            }
            found => (found == end).then_some(()),
        }
    }

    fn key(&mut self, in_flow: bool) -> Option<String> {
        let start = self.at;
        let node = self.text(in_flow)?;
        let Content::Text(key) = node.value else { return None };
        (self.at - start <= LONGEST_KEY).then_some(key)
    }

    fn text(&mut self, in_flow: bool) -> Option<Node> {
        let place = self.place();
        let text = if self.peek()? == b'"' { self.quoted()? } else { self.plain(in_flow)? };
        Some(Node { value: Content::Text(text), place })
    }

    /// Text in double quotes, on one line, with the escapes that JSON and YAML share.
    fn quoted(&mut self) -> Option<String> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    match self.peek_after()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
                        _ => return None,
                    }
                }
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
        self.at += 1;
        let whole = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        if escaped { serde_json::from_str(whole).ok() } else { Some(whole.get(1..whole.len() - 1)?.to_owned()) }
    }

    /// Words that no version of YAML takes for anything but text.
    fn plain(&mut self, in_flow: bool) -> Option<String> {
        let start = self.at;
        let first = self.peek()?;
        let dashes = self.rest().iter().take_while(|byte| **byte == b'-').count();
        let begins = match self.rest().get(dashes)? {
            byte if byte.is_ascii_alphabetic() => true,
            b'/' => first == b'/',
            // An address; no number and no date has a slash.
            byte => byte.is_ascii_digit() && dashes == 0,
        };
        if !begins {
            return None;
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@+=*;%".contains(&byte);
        while let Some(byte) = self.peek() {
            match byte {
                _ if is_word(byte) => {}
                // A colon within a word, and a space between two.
                b':' | b' ' if self.peek_after().is_some_and(|after| after.is_ascii_alphanumeric()) => {}
                _ => break,
            }
            self.at += 1;
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        let ends = match self.peek() {
            None | Some(b'\n' | b' ' | b':') => true,
            Some(b',' | b']' | b'}') => in_flow,
            Some(_) => false,
        };
        const TAKEN: [&str; 12] =
            ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "infinity", "nan"];
        let taken = TAKEN.iter().any(|word| word.eq_ignore_ascii_case(text.trim_start_matches('-')));
        let number = first.is_ascii_digit() && !text.contains('/');
        (ends && !taken && !number).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source() -> Arc<str> {
        "i.yaml".into()
    }

    #[test]
    fn what_indexes_are_written_in_is_read_as_the_full_parser_reads_it() {
        for text in [
            "alpine:3.20: {cmd: [/bin/sh]}\n",
            "# head\n\n---\n# of a group, é\nalpine:3.20: {cmd: [/bin/sh]} # tail\n\nb: {}\n",
            "a:1:\n  entrypoint:\n  - /usr/bin/app\n  - -c\n  - \"a \\\"b\\\" \\n\"\n  cmd: [--port, \"8080\"]\nb:\n    cmd:\n      - x y\n",
            "a: {entrypoint: [nginx, -g, \"daemon off;\"], platforms: {linux/arm64: {cmd: []}}}",
            "images:\n  quay.io/team/*:\n    platforms:\n      linux/amd64: {cmd: [a]}\n      linux/arm64:\n        cmd: [b]\n  \"*:5000/x\": {cmd: [c]}\n",
            "{\"alpine:3.20\":{\"entrypoint\":[\"/bin/sh\"],\"cmd\":[\"-l\"]},\n \"b\": {\"cmd\": [\n\"x\"\n]}}\n",
            "sha256:0000000000000000000000000000000000000000000000000000000000000000: {cmd: [a]}\nx@sha256:00: {cmd: []}\n127.0.0.1:5000/x: {cmd: []}\n",
        ] {
            assert_eq!(parse(text, &source()), Some(Node::parse(text, &source()).unwrap()), "{text}");
        }
    }

    #[test]
    fn the_shipped_index_is_read_so() {
        let text = include_str!("../../image-index.yaml");
        assert_eq!(parse(text, &source()), Some(Node::parse(text, &source()).unwrap()));
    }

    #[test]
    fn so_are_twenty_thousand_entries_in_each_common_shape() {
        let shapes: [fn(usize) -> String; 3] = [
            |n| format!("r.io/team/app-{n}:1.0: {{entrypoint: [/app-{n}, serve], cmd: [--port, \"8080\"]}}\n"),
            |n| format!("r.io/team/app-{n}:1.0:\n  entrypoint:\n  - /app-{n}\n  - serve\n  cmd: [--port, \"8080\"]\n"),
            |n| {
                format!(
                    "{}\"r.io/app-{n}:1\": {{\"entrypoint\": [\"/app-{n}\"], \"cmd\": []}}",
                    if n == 0 { "{" } else { ",\n" }
                )
            },
        ];
        for (shape, end) in shapes.into_iter().zip(["", "", "}\n"]) {
            let text = (0..20_000).map(shape).collect::<String>() + end;
            let Some(Node { value: Content::Map(entries), .. }) = parse(&text, &source()) else { panic!("left") };
            assert_eq!(entries.len(), 20_000);
        }
    }

    #[test]
    fn anything_else_is_left_to_the_full_parser() {
        for text in [
            "a: 1\n",
            "a: yes\n",
            "a:\n",
            "a: &b {cmd: [x]}\n",
            "a: *b\n",
            "a: !!str b\n",
            "a: |\n  b\n",
            "a: 'b'\n",
            "a: b\n c\n",
            "a: [x\n",
            "a: [x,]\n",
            "a: [x #c\n]\n",
            "a: {b: c}\na: {b: c}\n",
            "{a: {b: c}, a: {b: c}}\n",
            "a: [é]\n",
            "a: b\r\n",
            "a: b\n---\nc: d\n",
            "a:\tb\n",
            " a: b\n",
            "",
        ] {
            assert_eq!(parse(text, &source()), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn what_is_read_is_what_the_full_parser_reads(
            text in "(a|b:1|1:2|-c|--|- |x y|: |:|, |,|\\[|\\]|\\{|\\}|\"|\\\\|\"q\"|\n|\n  |\n    |#| #|/d|yes|1|é|\\*|---\n|e: |f:\n  ){0,14}"
        ) {
            if let Some(quick) = parse(&text, &source()) {
                let full = Node::parse(&text, &source());
                prop_assert_eq!(full, Ok(quick));
            }
        }
    }
}
