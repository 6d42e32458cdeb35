use super::split::{Broken, Chunk, Format, Splitter};
use super::{Place, Problem, yaml};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name that means standard input where a file is named.
pub const STDIN: &str = "-";

/// The largest document that is read, in bytes: well over what etcd lets a cluster keep in one list answer.
const LONGEST_DOCUMENT: usize = 64 << 20;

/// The deepest nesting that is read from YAML: three times that of a pod, and shallow enough for the stack of any
/// thread (a level takes some 20 KiB in a debug build). serde_json stops at 127 by itself.
const DEEPEST: usize = 64;

/// One object, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Where the object starts; for an item of a list, where the list does.
    pub place: Place,
    /// Which document of its source it was in, from 1; empty ones do not count.
    pub number: usize,
    /// Which item of a list it was, from 0.
    pub item: Option<usize>,
    /// The object: always a JSON object, with every key that it had.
    pub value: Value,
}

/// Reads objects from files, in order; `-` is `stdin`.
///
/// Each source may hold YAML documents, JSON values, or both. A `List`, or any other kind that ends so and has `items`,
/// and a list without a kind yield its items; an item of a typed list (`PodList`) that says no kind gets the list's.
/// What cannot be read is a [`Problem`] in its place, and reading goes on with the next document. One document at a
/// time is in memory.
pub fn read<R: Read>(paths: impl IntoIterator<Item = PathBuf>, stdin: R) -> Documents<R> {
    let paths = paths.into_iter().collect();
    Documents { paths, stdin: Some(stdin), current: None, items: VecDeque::new(), limit: LONGEST_DOCUMENT }
}

/// The objects of several sources; see [`read`].
pub struct Documents<R> {
    paths: VecDeque<PathBuf>,
    stdin: Option<R>,
    current: Option<Source<R>>,
    items: VecDeque<Result<Document, Problem>>,
    limit: usize,
}

struct Source<R> {
    name: Arc<str>,
    splitter: Splitter<Input<R>>,
    number: usize,
}

enum Input<R> {
    File(BufReader<File>),
    Stdin(BufReader<R>),
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::File(reader) => reader.read(buffer),
            Self::Stdin(reader) => reader.read(buffer),
        }
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        match self {
            Self::File(reader) => reader.fill_buf(),
            Self::Stdin(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::File(reader) => reader.consume(amount),
            Self::Stdin(reader) => reader.consume(amount),
        }
    }
}

impl<R: Read> Iterator for Documents<R> {
    type Item = Result<Document, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            let Some(source) = &mut self.current else {
                let path = self.paths.pop_front()?;
                match self.open(&path) {
                    Ok(source) => self.current = Some(source),
                    Err(problem) => return Some(Err(problem)),
                }
                continue;
            };
            match source.splitter.next() {
                Ok(Some(chunk)) => source.objects(&chunk, &mut self.items),
                Ok(None) => self.current = None,
                Err(broken) => {
                    let problem = source.broken(&broken, self.limit);
                    self.current = None;
                    return Some(Err(problem));
                }
            }
        }
    }
}

impl<R: Read> Documents<R> {
    fn open(&mut self, path: &Path) -> Result<Source<R>, Problem> {
        let (name, input) = if path == Path::new(STDIN) {
            let name = "standard input";
            let again = || Problem::new(Place::whole(name), "was read already; name `-` once");
            (name.into(), Input::Stdin(BufReader::new(self.stdin.take().ok_or_else(again)?)))
        } else {
            let name = path.display().to_string();
            let unreadable = |error| Problem::new(Place::whole(name.as_str()), format!("cannot be read: {error}"));
            let file = File::open(path).map_err(unreadable)?;
            if file.metadata().map_err(unreadable)?.is_dir() {
                return Err(Problem::new(Place::whole(name), "is a directory; name the files in it"));
            }
            (name.into(), Input::File(BufReader::with_capacity(64 << 10, file)))
        };
        Ok(Source { name, splitter: Splitter::new(input, self.limit), number: 0 })
    }
}

impl<R> Source<R> {
    fn objects(&mut self, chunk: &Chunk, items: &mut VecDeque<Result<Document, Problem>>) {
        let start = Place { source: Arc::clone(&self.name), line: chunk.line, column: 0 };
        let (value, place) = match parse(chunk, &start) {
            Ok(None) => return,
            Ok(Some(parsed)) => parsed,
            Err(problem) => {
                self.number += 1;
                return items.push_back(Err(problem));
            }
        };
        self.number += 1;
        let number = self.number;
        let document = |item, value| object(Document { place: place.clone(), number, item, value });
        match into_items(value) {
            Ok(list) => {
                items.extend(list.into_iter().enumerate().map(|(at, value)| document(Some(at), value)));
            }
            Err(value) => items.push_back(document(None, value)),
        }
    }

    fn broken(&self, broken: &Broken, limit: usize) -> Problem {
        let place = |line| Place { source: Arc::clone(&self.name), line, column: 0 };
        match broken {
            Broken::Unreadable(error) => Problem::new(place(0), format!("cannot be read: {error}")),
            Broken::TooLong(line) => Problem::new(
                place(*line),
                format!("the document that starts here is longer than {} MiB; split it", limit >> 20),
            ),
        }
    }
}

/// `None` for an empty document.
fn parse(chunk: &Chunk, start: &Place) -> Result<Option<(Value, Place)>, Problem> {
    if chunk.format == Format::Json {
        let place = Place { column: 1, ..start.clone() };
        let value = serde_json::from_slice(&chunk.text).map_err(|error| json_problem(&error, start))?;
        return Ok(Some((value, place)));
    }
    let text = std::str::from_utf8(&chunk.text).map_err(|error| {
        let before = chunk.text.get(..error.valid_up_to()).unwrap_or_default();
        let line = start.line + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        Problem::new(Place { line, ..start.clone() }, "is not UTF-8 text; save it as UTF-8")
    })?;
    let parsed = yaml::parse::<Value>(text, start, DEEPEST)?;
    if parsed.value.is_null() {
        return Ok(None);
    }
    let mut value = parsed.value;
    yaml::whole_floats(&mut value);
    let line = start.line + parsed.referenced.line().saturating_sub(1);
    Ok(Some((value, Place { line, column: parsed.referenced.column(), ..start.clone() })))
}

fn json_problem(error: &serde_json::Error, start: &Place) -> Problem {
    let text = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&suffix).unwrap_or(&text);
    let line = start.line + (error.line() as u64).saturating_sub(1);
    let text = format!("{text}; what starts with {{ or [ is read as JSON");
    Problem::new(Place { line, column: error.column() as u64, ..start.clone() }, text)
}

/// The items of a list; what is no list comes back as it was.
fn into_items(mut value: Value) -> Result<Vec<Value>, Value> {
    if let Value::Array(items) = value {
        return Ok(items);
    }
    let Some(kind) = value.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List")) else {
        return Err(value);
    };
    let kind = kind.to_owned();
    let version = value.get("apiVersion").cloned();
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(mut items)) => {
            for item in items.iter_mut().filter_map(Value::as_object_mut).filter(|_| !kind.is_empty()) {
                if !item.contains_key("kind") {
                    item.insert("kind".to_owned(), Value::String(kind.clone()));
                    version.iter().for_each(|version| {
                        item.entry("apiVersion").or_insert_with(|| version.clone());
                    });
                }
            }
            Ok(items)
        }
        Some(Value::Null) => Ok(Vec::new()),
        Some(other) => {
            value["items"] = other;
            Err(value)
        }
        None => Err(value),
    }
}

fn object(document: Document) -> Result<Document, Problem> {
    let found = match &document.value {
        Value::Object(_) => return Ok(document),
        Value::Array(_) => "a list within a list",
        Value::String(_) => "text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Null => "nothing",
    };
    let item = document.item.map(|item| format!("item {item} of the list is ")).unwrap_or_default();
    let text = format!("{item}{found}, where an object with apiVersion and kind is expected");
    Err(Problem::new(document.place, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(text: &str) -> Vec<Result<Document, Problem>> {
        read([PathBuf::from(STDIN)], text.as_bytes()).collect()
    }

    fn values(text: &str) -> Vec<Value> {
        of(text).into_iter().map(|document| document.unwrap().value).collect()
    }

    fn problem(text: &str) -> String {
        of(text).into_iter().find_map(Result::err).unwrap().to_string()
    }

    #[test]
    fn every_form_yields_objects_in_order() {
        let expected = vec![json!({"kind": "A"}), json!({"kind": "B"})];
        for text in [
            "kind: A\n---\nkind: B\n",
            "---\n# nothing\n---\nkind: A\n---\n---\nkind: B\n---\n",
            "{\"kind\": \"A\"}\n{\"kind\": \"B\"}\n",
            "[{\"kind\": \"A\"}, {\"kind\": \"B\"}]",
            "- kind: A\n- kind: B\n",
            "kind: List\nitems:\n- kind: A\n- kind: B\n",
            "kind: A\n---\n{\"kind\": \"B\"}",
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn a_typed_list_says_its_items_kind() {
        let found = values("apiVersion: v1\nkind: PodList\nitems: [{metadata: {}}, {kind: Other}]");
        assert_eq!(found, [json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}}), json!({"kind": "Other"})]);
        assert_eq!(values("kind: List\nitems: null\n"), [] as [Value; 0]);
        assert_eq!(values("kind: AllowList\nspec: 1\n"), [json!({"kind": "AllowList", "spec": 1})]);
    }

    #[test]
    fn scalars_are_what_kubectl_makes_of_them() {
        let found =
            values("a: yes\nb: off\nc: 0755\nd: 1_000\ne: 2001-01-01\nf: \"0755\"\ng: ~\nh: y\ni: 1e3\nj: [08, 1.5]\n");
        let expected = json!({"a": true, "b": false, "c": 493, "d": 1000, "e": "2001-01-01", "f": "0755", "g": null, "h": true, "i": 1000, "j": [8, 1.5]});
        assert_eq!(found.last(), Some(&expected));
    }

    #[test]
    fn whole_numbers_of_64_bits_are_exact() {
        for text in [
            "a: 18446744073709551615\nb: -9223372036854775808\n",
            "{\"a\":18446744073709551615,\"b\":-9223372036854775808}",
        ] {
            assert_eq!(values(text), [json!({"a": u64::MAX, "b": i64::MIN})]);
        }
    }

    #[test]
    fn each_object_says_where_it_came_from() {
        let found: Vec<_> = of("# head\nkind: A\n---\n\n[{\"kind\": \"B\"},\n {\"kind\": \"C\"}]\n{\"kind\": \"D\"}")
            .into_iter()
            .map(|document| document.map(|d| (d.place.line, d.number, d.item)).unwrap())
            .collect();
        assert_eq!(found, [(2, 1, None), (5, 2, Some(0)), (5, 2, Some(1)), (7, 3, None)]);
    }

    #[test]
    fn problems_say_line_and_column_and_reading_goes_on() {
        let table = [
            ("a: 1\n---\nb: [1\nc: 2\n---\nd: 1\n", "standard input:"),
            ("a: 1\na: 2\n", "standard input:2:1: "),
            ("{\"a\": 1}\n{\"a\" 1}\n", "standard input:2:6: expected `:`"),
            ("{\n\"a\": tru\n}", "standard input:3: "),
            ("{a: 1}\n", "standard input:1:2: key must be a string; what starts with"),
            ("x", "standard input:1:1: text, where an object"),
            ("kind: List\nitems: [1]", "standard input:1:1: item 0 of the list is a number"),
            ("a: *b\n", "standard input:1:4: "),
            ("a: !!int x\n", "standard input:1:"),
        ];
        for (text, expected) in table {
            let found = problem(text);
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
        let after: Vec<_> = of("a: [1\n---\nkind: B\n").into_iter().map(|document| document.is_ok()).collect();
        assert_eq!(after, [false, true]);
    }

    #[test]
    fn a_position_in_a_later_document_is_the_file_s() {
        let found = problem("a: 1\n---\nb: 2\nc: 'x\n  y\n");
        assert!(found.starts_with("standard input:6:1: "), "the end, for want of a quote: {found}");
        assert_eq!(problem("a: 1\n---\nb: 2\nb: 3\n").split(' ').nth(1), Some("input:4:1:"));
    }

    #[test]
    fn aliases_cannot_grow_without_end() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in ('b'..'j').zip('a'..) {
            text += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
        }
        assert!(of(&text).iter().any(Result::is_err));
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        for text in ["[".repeat(100_000), "a: ".to_owned() + &"[".repeat(64) + &"]".repeat(64), "- ".repeat(5_000)] {
            assert!(of(&text).iter().all(Result::is_err));
        }
        assert!(of(&("a: ".to_owned() + &"[".repeat(63) + &"]".repeat(63))).iter().all(Result::is_ok));
    }

    #[test]
    fn files_are_read_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.yaml"), "kind: A\n").unwrap();
        std::fs::write(path("b.json"), "{\"kind\": \"B\"}").unwrap();
        let paths =
            [path("a.yaml"), path("none"), folder.path().to_owned(), STDIN.into(), path("b.json"), STDIN.into()];
        let found: Vec<_> = read(paths, "kind: S".as_bytes())
            .map(|document| match document {
                Ok(document) => document.value["kind"].to_string(),
                Err(problem) => problem.text.split([':', ';']).next().unwrap_or_default().to_owned(),
            })
            .collect();
        assert_eq!(found, ["\"A\"", "cannot be read", "is a directory", "\"S\"", "\"B\"", "was read already"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = read([PathBuf::from(STDIN)], bytes.as_slice()).count();
            prop_assert!(count <= 200);
        }

        #[test]
        fn any_near_yaml_is_read_or_refused(text in "([a-c]|[-:{}\\[\\]\"'#|>&*!%@,]| |\n|---\n){0,60}") {
            of(&text);
        }
    }
}
