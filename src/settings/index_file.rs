//! Files with image index entries: whatever shape Argo's users have theirs in.

use super::de::unknown_key;
use super::quick;
use super::tree::{Content, Entry, Node};
use crate::manifest::{Place, Problem};
use emissary_core::image::{ImageIndex, ImageProcess, IndexEntry, Platform};
use std::sync::Arc;

/// What an entry may say; `command` and `args` are what Argo before 3.4 called the first two.
const ENTRY_KEYS: [&str; 5] = ["entrypoint", "cmd", "platforms", "command", "args"];

/// More would only bury the first.
pub(super) const MOST_PROBLEMS: usize = 20;
/// The rest of a text, in characters, is what somebody wrote into a key.
const LONGEST_PROBLEM: usize = 1000;

/// Reads an index file.
///
/// The entries stand at the top, or under a key `images` (as a mapping, or as text that holds one, as in Argo's
/// workflow-controller ConfigMap), or in the values of a ConfigMap manifest: under `images`, under `images` within
/// `config`, or in a value whose key ends in `.yaml`, `.yml` or `.json`. Of several spellings of one image the first
/// stays.
///
/// # Errors
/// All that is wrong with it, each with file, line and column; none of it is used then.
pub fn parse_index(text: &str, source: &Arc<str>) -> Result<ImageIndex, Vec<Problem>> {
    parse(text, source).map(|file| file.index)
}

/// An index file, and where each of its entries stands.
#[derive(Debug, Default)]
pub struct IndexFile {
    /// The entries, in the order of the file.
    pub index: ImageIndex,
    /// Where the key of each was written, in the same order.
    pub places: Vec<Place>,
}

/// Reads what is right in an index file, and says what is not, each with file, line and column; shapes are those of
/// [`parse_index`].
pub fn read_index(text: &str, source: &Arc<str>) -> (IndexFile, Vec<Problem>) {
    let file = IndexFile::default();
    let mut reading = Reading { file, problems: Vec::new(), lines: text };
    match node(text, source) {
        Ok(root) => reading.root(&root),
        Err(problem) => reading.problems.push(problem),
    }
    (reading.file, reading.problems)
}

/// The same of a whole configuration of Argo's controller: what stands under `images`.
pub(super) fn read_config(text: &str, source: &Arc<str>) -> (IndexFile, Vec<Problem>) {
    match node(text, source) {
        Ok(root) => root.get("images").map(|images| read_images(images, text)).unwrap_or_default(),
        Err(problem) => (IndexFile::default(), vec![problem]),
    }
}

/// The same of a value of `images` in a document whose text is `lines`.
pub(super) fn read_images(images: &Node, lines: &str) -> (IndexFile, Vec<Problem>) {
    let mut reading = Reading { file: IndexFile::default(), problems: Vec::new(), lines };
    reading.images(images);
    (reading.file, reading.problems)
}

/// Whether a key of a ConfigMap is called as an index file is.
pub(super) fn is_named_as_one(key: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| key.ends_with(end))
}

/// As many problems as are worth saying, and as much of each.
pub(super) fn first(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.truncate(MOST_PROBLEMS);
    for Problem { text, .. } in &mut problems {
        if let Some((end, _)) = text.char_indices().nth(LONGEST_PROBLEM) {
            text.truncate(end);
            text.push('…');
        }
    }
    problems
}

/// The tree of a document, read the quick way where that can be.
pub(super) fn node(text: &str, source: &Arc<str>) -> Result<Node, Problem> {
    quick::parse(text, source).map_or_else(|| Node::parse(text, source), Ok)
}

/// See [`parse_index`].
pub(super) fn parse(text: &str, source: &Arc<str>) -> Result<IndexFile, Vec<Problem>> {
    let (file, problems) = read_index(text, source);
    let problems = first(problems);
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

struct Reading<'a> {
    file: IndexFile,
    problems: Vec<Problem>,
    lines: &'a str,
}

impl Reading<'_> {
    fn root(&mut self, root: &Node) {
        let is_config_map = root.get("kind").is_some_and(|kind| kind.value == Content::Text("ConfigMap".to_owned()));
        if !is_config_map {
            return self.file(root);
        }
        let Some(data) = root.get("data") else { return };
        for entry in self.entries(data) {
            match entry.key.as_str() {
                "images" => self.images(&entry.value),
                "config" => {
                    let config = self.nested(&entry.value);
                    config
                        .as_ref()
                        .and_then(|config| config.get("images"))
                        .into_iter()
                        .for_each(|images| self.images(images));
                }
                key if is_named_as_one(key) => {
                    self.nested(&entry.value).iter().for_each(|file| self.file(file));
                }
                _ => {}
            }
        }
    }

    fn file(&mut self, root: &Node) {
        let entries = self.entries(root);
        let Some(images) = entries.iter().find(|entry| entry.key == "images" && !is_entry(&entry.value)) else {
            return entries.iter().for_each(|entry| self.image(entry));
        };
        for other in entries.iter().filter(|entry| entry.key != "images") {
            let text =
                format!("`{}` stands beside `images`; entries stand either at the top or under `images`", other.key);
            self.problems.push(Problem::new(other.place.clone(), text));
        }
        self.images(&images.value);
    }

    fn images(&mut self, node: &Node) {
        let nested = self.nested(node);
        let Some(images) = &nested else { return };
        self.entries(images).iter().for_each(|entry| self.image(entry));
    }

    /// A mapping's entries; an empty document has none.
    fn entries<'n>(&mut self, node: &'n Node) -> &'n [Entry] {
        match &node.value {
            Content::Map(entries) => entries,
            Content::Null => &[],
            _ => {
                let text = format!("expected a mapping from image to entrypoint and cmd, found {}", node.kind());
                self.problems.push(node.problem(text));
                &[]
            }
        }
    }

    /// The YAML in a text, with the positions that it has in the file; what is no text is itself.
    fn nested(&mut self, node: &Node) -> Option<Node> {
        let Content::Text(text) = &node.value else { return Some(node.clone()) };
        let (lines, columns) = self.offset(node, text);
        let shift = |place: &mut Place| match lines {
            Some(lines) if place.line > 0 => {
                place.line += lines;
                place.column += columns;
            }
            _ => *place = node.place.clone(),
        };
        match self::node(text, &node.place.source) {
            Ok(mut nested) => {
                nested.for_each_place(&shift);
                Some(nested)
            }
            Err(mut problem) => {
                shift(&mut problem.place);
                self.problems.push(problem);
                None
            }
        }
    }

    /// By how much a block of text is down and to the right in the file; `None` where it is not written as a block,
    /// line for line.
    fn offset(&self, node: &Node, text: &str) -> (Option<u64>, u64) {
        let first = text.lines().next().unwrap_or_default();
        let from = usize::try_from(node.place.line).unwrap_or(usize::MAX).saturating_sub(1);
        let mut near = self.lines.lines().skip(from).take(2).zip(node.place.line.saturating_sub(1)..);
        let found =
            near.find(|(line, _)| !first.is_empty() && line.trim_start_matches(' ') == first.trim_start_matches(' '));
        match found {
            Some((line, number)) => (Some(number), (line.len() - first.len()) as u64),
            None => (None, 0),
        }
    }

    fn image(&mut self, entry: &Entry) {
        let mut problems = Vec::new();
        let parsed = index_entry(&entry.value, &mut problems);
        for problem in &mut problems {
            problem.text = format!("{}: {}", entry.key, problem.text);
        }
        let bad = !problems.is_empty();
        self.problems.append(&mut problems);
        if bad {
            return;
        }
        match self.file.index.insert(&entry.key, parsed) {
            Ok(()) => self.file.places.push(entry.place.clone()),
            Err(problem) => self.problems.push(Problem::new(entry.place.clone(), problem.to_string())),
        }
    }
}

impl Node {
    fn for_each_place(&mut self, change: &impl Fn(&mut Place)) {
        change(&mut self.place);
        match &mut self.value {
            Content::List(items) => items.iter_mut().for_each(|item| item.for_each_place(change)),
            Content::Map(entries) => entries.iter_mut().for_each(|entry| {
                change(&mut entry.place);
                entry.value.for_each_place(change);
            }),
            _ => {}
        }
    }
}

/// Whether a value under the key `images` is the entry of an image that is called so.
fn is_entry(node: &Node) -> bool {
    matches!(&node.value, Content::Map(entries) if entries.iter().any(|entry| ENTRY_KEYS.contains(&entry.key.as_str())))
}

fn index_entry(node: &Node, problems: &mut Vec<Problem>) -> IndexEntry {
    let mut entry = IndexEntry { process: process(node, &ENTRY_KEYS, problems), ..IndexEntry::default() };
    let Some(platforms) = node.get("platforms") else {
        if entry.process.is_none() && problems.is_empty() {
            problems.push(node.problem(SAYS_NOTHING));
        }
        return entry;
    };
    let Content::Map(platforms) = &platforms.value else {
        problems.push(platforms.problem("platforms: expected a mapping such as `linux/arm64: {entrypoint: [/app]}`"));
        return entry;
    };
    for platform in platforms {
        let process = process(&platform.value, &["entrypoint", "cmd", "command", "args"], problems);
        match (Platform::parse(&platform.key), process) {
            (Err(error), _) => problems.push(Problem::new(platform.place.clone(), error.to_string())),
            (Ok(_), None) => problems.push(platform.value.problem(SAYS_NOTHING)),
            (Ok(name), Some(process)) => {
                if entry.platforms.insert(name, process).is_some() {
                    let text = format!("{} is here twice", platform.key);
                    problems.push(Problem::new(platform.place.clone(), text));
                }
            }
        }
    }
    entry
}

const SAYS_NOTHING: &str =
    "says nothing; give entrypoint, cmd or both (`entrypoint: []` for an image that has neither)";

/// `None` where neither list is given.
fn process(node: &Node, known: &[&str], problems: &mut Vec<Problem>) -> Option<ImageProcess> {
    let Content::Map(entries) = &node.value else {
        if node.value != Content::Null {
            problems.push(node.problem(format!("expected a mapping with entrypoint and cmd, found {}", node.kind())));
        }
        return None;
    };
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        problems.push(Problem::new(entry.place.clone(), unknown_key(&entry.key, known)));
    }
    let mut list = |new: &str, old: &str| {
        let (new_value, old_value) = (node.get(new), node.get(old));
        if let (Some(_), Some(value)) = (new_value, old_value) {
            problems.push(value.problem(format!("`{old}` is the older name of `{new}`; give one of them")));
        }
        new_value.or(old_value).map(|value| words(value, problems))
    };
    let (entrypoint, cmd) = (list("entrypoint", "command"), list("cmd", "args"));
    if entrypoint.is_none() && cmd.is_none() {
        return None;
    }
    Some(ImageProcess { entrypoint: entrypoint.unwrap_or_default(), cmd: cmd.unwrap_or_default(), user: None })
}

fn words(node: &Node, problems: &mut Vec<Problem>) -> Vec<String> {
    let items = match &node.value {
        Content::List(items) => items,
        Content::Null => return Vec::new(),
        _ => {
            problems.push(node.problem(format!("expected a list of words such as [sh, -c], found {}", node.kind())));
            return Vec::new();
        }
    };
    let mut word = |item: &Node| match &item.value {
        Content::Text(word) => Some(word.clone()),
        _ => {
            problems.push(item.problem(format!("expected text, found {}; put it in quotes", item.kind())));
            None
        }
    };
    items.iter().filter_map(&mut word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::image::Reference;

    fn read(text: &str) -> Result<ImageIndex, Vec<String>> {
        let texts = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        parse_index(text, &"i.yaml".into()).map_err(texts)
    }

    fn alpine(index: &ImageIndex) -> Option<ImageProcess> {
        let hit = index.find(&Reference::parse("alpine:3.20").unwrap())?;
        hit.entry.process_for(None).cloned()
    }

    #[test]
    fn every_shape_that_people_have_is_read() {
        let expected = ImageProcess { entrypoint: vec!["/bin/sh".to_owned()], cmd: vec!["-l".to_owned()], user: None };
        for text in [
            "alpine:3.20:\n  entrypoint: [/bin/sh]\n  cmd: [-l]\n",
            "alpine:3.20: {command: [/bin/sh], args: [-l]}\n",
            "images:\n  alpine:3.20: {entrypoint: [/bin/sh], cmd: [-l]}\n",
            "images: |\n  alpine:3.20:\n    entrypoint: [/bin/sh]\n    cmd: [-l]\n",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  parallelism: \"5\"\n  images: |\n    alpine:3.20: {entrypoint: [/bin/sh], cmd: [-l]}\n",
            "kind: ConfigMap\ndata:\n  config: |\n    parallelism: 5\n    images:\n      alpine:3.20: {entrypoint: [/bin/sh], cmd: [-l]}\n",
            "kind: ConfigMap\ndata:\n  team.yaml: |\n    alpine:3.20: {entrypoint: [/bin/sh], cmd: [-l]}\n",
            "{\"alpine:3.20\": {\"entrypoint\": [\"/bin/sh\"], \"cmd\": [\"-l\"]}}",
        ] {
            assert_eq!(alpine(&read(text).unwrap()), Some(expected.clone()), "{text}");
        }
        for text in ["", "# nothing\n", "images:\n", "kind: ConfigMap\n", "kind: ConfigMap\ndata: {images: \"\"}\n"] {
            assert_eq!(read(text).unwrap().len(), 0, "{text}");
        }
        assert_eq!(read("images: {entrypoint: [/i]}\n").unwrap().len(), 1, "an image may be called images");
    }

    #[test]
    fn platforms_may_differ() {
        let index = read("app:1:\n  cmd: [/app]\n  platforms:\n    linux/arm64: {cmd: [/app-arm]}\n").unwrap();
        let hit = index.find(&Reference::parse("app:1").unwrap()).unwrap();
        let process = hit.entry.process_for(Some(&Platform::parse("linux/arm64").unwrap()));
        assert_eq!(process.map(|process| process.cmd.clone()), Some(vec!["/app-arm".to_owned()]));
    }

    #[test]
    fn problems_say_line_and_column_wherever_the_entry_stands() {
        let table: [(&str, &[&str]); 12] = [
            ("a:\n  entrypont: [x]\n", &["i.yaml:2:3: a: unknown key `entrypont`; did you mean `entrypoint`?"]),
            ("a: {}\n", &["i.yaml:1:4: a: says nothing"]),
            ("a:\n", &["i.yaml:1:"]),
            ("a: {cmd: sh}\n", &["i.yaml:1:10: a: expected a list of words such as [sh, -c], found text"]),
            (
                "a: {cmd: [sleep, 3600, yes]}\n",
                &["i.yaml:1:18: a: expected text, found a number", "i.yaml:1:24: a: expected text, found a boolean"],
            ),
            ("a: {cmd: [x], args: [y]}\n", &["i.yaml:1:21: a: `args` is the older name of `cmd`"]),
            ("A: {cmd: [x]}\n", &["i.yaml:1:1: "]),
            (
                "a: {cmd: [x]}\nlibrary/a:latest: {cmd: [x]}\n",
                &["i.yaml:2:1: `library/a:latest` is here already, as `a`"],
            ),
            ("a: {platforms: {linux: {cmd: [x]}}}\n", &["i.yaml:1:17: a: "]),
            ("images:\n  a: {cmd: [x]}\nb: {cmd: [x]}\n", &["i.yaml:3:1: `b` stands beside `images`"]),
            (
                "kind: ConfigMap\ndata:\n  images: |\n    a: {cmd: [x]}\n    b:\n      cmd: 7\n",
                &["i.yaml:6:12: b: expected a list"],
            ),
            ("kind: ConfigMap\ndata:\n  images: |\n    a: [\n", &["i.yaml:"]),
        ];
        for (text, expected) in table {
            let problems = read(text).unwrap_err();
            assert_eq!(problems.len(), expected.len(), "{text}: {problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.starts_with(expected), "{text}: {problem}");
            }
        }
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        for text in ["[".repeat(100_000), "a: ".to_owned() + &"[".repeat(25) + &"]".repeat(25), "- ".repeat(5_000)] {
            assert!(read(&text).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([ab:{}\\[\\],|>&*-]|\n|  |images|cmd|kind: ConfigMap\ndata:\n  images: \\|\n){0,40}") {
            let _ = read(&text);
        }
    }
}
