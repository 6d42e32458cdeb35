//! A ConfigMap with image index entries: its keys, each parsed apart.

use super::composer::{LONGEST_MAP, merge};
use super::feed::{ConfigMap, ObjectName};
use super::held::Held;
use super::index_file::{self, IndexFile};
use crate::manifest::{Place, Problem};
use emissary_core::image::ImageIndex;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// One ConfigMap's entries.
#[derive(Debug, Default)]
pub(super) struct IndexMap {
    keys: BTreeMap<String, Key>,
    /// Images that more than one of its keys names.
    duplicates: Vec<Problem>,
    /// It has more keys than anybody needs, and none of them is looked at.
    overfull: Option<Problem>,
}

/// A ConfigMap has room for a million of them, each of which would be kept.
const MOST_KEYS: usize = 256;

#[derive(Debug, Default)]
struct Key {
    held: Held<IndexFile>,
    /// Bytes of the text that `held` was read from.
    size: usize,
}

/// The first two bytes of what gzip writes (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl IndexMap {
    /// Takes the ConfigMap's new content, whose texts may have `limit` bytes together, decompressed. Returns whether entries
    /// may have changed.
    pub(super) fn update(&mut self, object: &ObjectName, map: &ConfigMap, limit: usize) -> bool {
        let count = map.data.len() + map.binary_data.len();
        self.overfull = (count > MOST_KEYS).then(|| {
            let text = format!("not read: it has {count} keys, and {MOST_KEYS} are the most; put more into each");
            Problem::new(Place::whole(format!("ConfigMap {object}")), text)
        });
        if self.overfull.is_some() {
            return false;
        }
        let before = self.keys.len();
        self.keys.retain(|key, _| map.data.contains_key(key) || map.binary_data.contains_key(key));
        let mut changed = self.keys.len() != before;
        let texts = map.data.iter().map(|(key, text)| (key, text.as_bytes()));
        let all: BTreeMap<&String, &[u8]> =
            texts.chain(map.binary_data.iter().map(|(key, bytes)| (key, bytes.as_slice()))).collect();
        let mut total = self.size();
        for (key, bytes) in all {
            let Key { held, size } = self.keys.entry(key.clone()).or_default();
            changed |= held.update(&bytes, || {
                let source = source(object, key);
                total -= *size;
                let text = text(bytes, limit.saturating_sub(total));
                *size = text.as_ref().map_or(0, |text| text.len());
                total += *size;
                match text {
                    Ok(text) => read(key, &text, &source),
                    Err(why) => (None, vec![Problem::new(Place::whole(source), why)]),
                }
            });
        }
        changed
    }

    /// Bytes of all its texts.
    pub(super) fn size(&self) -> usize {
        self.keys.values().map(|key| key.size).sum()
    }

    /// What is in effect, in the order of the keys.
    pub(super) fn files(&self) -> impl Iterator<Item = &IndexFile> {
        self.keys.values().filter_map(|key| key.held.good.as_ref())
    }

    /// What is in effect, as an index of its own.
    pub(super) fn merged(&mut self) -> ImageIndex {
        let (index, duplicates) = merge(self.files().map(|file| ((), file)));
        self.duplicates = index_file::first(duplicates.into_iter().map(|((), problem)| problem).collect());
        index
    }

    /// What is wrong now.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        let of_keys = self.keys.values().flat_map(|key| &key.held.problems);
        self.overfull.iter().chain(of_keys).chain(&self.duplicates).take(index_file::MOST_PROBLEMS)
    }
}

/// How many entries a ConfigMap of the operator's has that could count, whichever come before them.
pub fn count_entries(object: &ObjectName, map: &ConfigMap) -> usize {
    let mut index = IndexMap::default();
    index.update(object, map, LONGEST_MAP);
    index.files().map(|file| file.index.len()).sum()
}

/// How messages call one key of a ConfigMap.
pub(super) fn source(object: &ObjectName, key: &str) -> Arc<str> {
    format!("ConfigMap {object}, key {key}").into()
}

/// The text in a value, decompressed up to `limit` bytes and no further.
fn text(bytes: &[u8], limit: usize) -> Result<Cow<'_, str>, String> {
    let too_long = || format!("it is longer than the {limit} bytes that are left for it; split it, or shorten it");
    let not_text = "it is neither text (UTF-8) nor compressed by gzip";
    if !bytes.starts_with(&GZIP) {
        let text = std::str::from_utf8(bytes).map_err(|_| not_text.to_owned())?;
        return if text.len() > limit { Err(too_long()) } else { Ok(Cow::Borrowed(text)) };
    }
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(|_| "it begins as gzip does and cannot be decompressed".to_owned())?;
    if unpacked.len() > limit {
        return Err(too_long());
    }
    String::from_utf8(unpacked).map(Cow::Owned).map_err(|_| "what gzip compressed in it is no text (UTF-8)".to_owned())
}

/// What a key holds, by its name.
fn read(key: &str, text: &str, source: &Arc<str>) -> (Option<IndexFile>, Vec<Problem>) {
    let name = key.strip_suffix(".gz").unwrap_or(key);
    let (file, problems) = match name {
        "config" => index_file::read_config(text, source),
        name if name == "images" || index_file::is_named_as_one(name) => index_file::read_index(text, source),
        _ => {
            let text = "not read: entries stand in a key `images`, or in one whose name ends in .yaml, .yml or .json";
            return (None, vec![Problem::new(Place::whole(Arc::clone(source)), text)]);
        }
    };
    (Some(file), index_file::first(problems))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    const LIMIT: usize = 1 << 20;

    fn object() -> ObjectName {
        ObjectName { namespace: "argo".to_owned(), name: "image-index".to_owned() }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn map(data: &[(&str, &str)], binary: &[(&str, Vec<u8>)]) -> ConfigMap {
        ConfigMap {
            data: data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            binary_data: binary.iter().map(|(key, bytes)| ((*key).to_owned(), bytes.clone())).collect(),
        }
    }

    fn keys(index: &IndexMap) -> Vec<String> {
        index.files().flat_map(|file| file.index.iter().map(|hit| hit.key.to_owned())).collect()
    }

    fn problems(index: &IndexMap) -> Vec<String> {
        index.problems().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_is_read_in_the_order_of_its_name() {
        let mut index = IndexMap::default();
        let binary = [("b.yaml.gz", gzip(b"b: {cmd: [x]}\n")), ("c.json", b"{\"c\": {\"cmd\": [\"x\"]}}".to_vec())];
        let data = [
            ("a.yaml", "a: {cmd: [x]}\n"),
            ("images", "d:\n  cmd: [x]\n"),
            ("config", "parallelism: 3\nimages:\n  e: {cmd: [x]}\n"),
        ];
        assert!(index.update(&object(), &map(&data, &binary), LIMIT));
        assert_eq!((keys(&index).join(" "), problems(&index)), ("a b c e d".to_owned(), Vec::new()));
        assert!(!index.update(&object(), &map(&data, &binary), LIMIT), "nothing has changed");
        assert!(index.update(&object(), &map(&data[..1], &binary[..1]), LIMIT), "keys are gone");
        assert_eq!(keys(&index).join(" "), "a b");
    }

    #[test]
    fn one_wrong_key_leaves_the_others_and_keeps_what_was_valid() {
        let mut index = IndexMap::default();
        index.update(&object(), &map(&[("a.yaml", "a: {cmd: [x]}\n"), ("b.yaml", "b: {cmd: [x]}\n")], &[]), LIMIT);
        let edited = map(&[("a.yaml", "# oh\na2: {cmd: x}\n"), ("b.yaml", "b2: {cmd: [x]}\n")], &[]);
        assert!(index.update(&object(), &edited, LIMIT));
        assert_eq!(keys(&index).join(" "), "a b2");
        let expected = "ConfigMap argo/image-index, key a.yaml:2:11: a2: expected a list of words";
        assert!(problems(&index)[0].starts_with(expected), "{:?}", problems(&index));
    }

    #[test]
    fn what_was_never_valid_counts_as_far_as_it_is_right() {
        let mut index = IndexMap::default();
        index.update(&object(), &map(&[("a.yaml", "a: {cmd: x}\nb: {cmd: [x]}\n")], &[]), LIMIT);
        assert_eq!((keys(&index).join(" "), problems(&index).len()), ("b".to_owned(), 1));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let bomb = gzip(&vec![b' '; 200 * LIMIT]);
        assert!(bomb.len() < LIMIT);
        let many: Vec<(String, String)> = (0..=MOST_KEYS).map(|n| (format!("{n}.yaml"), String::new())).collect();
        let many = many.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        let long = format!("? {}\n: 7\n", "a".repeat(10_000));
        let two = gzip(format!("a: {{cmd: [{}]}}\n", "x".repeat(LIMIT / 2)).as_bytes());
        let mut broken = gzip(b"a: {cmd: [x]}\n");
        broken.truncate(15);
        for (data, binary, expected) in [
            (vec![], vec![("a.yaml.gz", bomb)], "key a.yaml.gz: it is longer than the 1048576 bytes"),
            (vec![], vec![("a.yaml.gz", two.clone()), ("b.yaml.gz", two)], "key b.yaml.gz: it is longer than the 5242"),
            (vec![], vec![("a.yaml.gz", broken)], "key a.yaml.gz: it begins as gzip does"),
            (vec![], vec![("a.yaml", vec![0xff, 0xfe])], "key a.yaml: it is neither text"),
            (vec![], vec![("a.yaml", gzip(&[0xff]))], "key a.yaml: what gzip compressed in it is no text"),
            (many, vec![], "ConfigMap argo/image-index: not read: it has 257 keys, and 256 are the most"),
            (vec![("a.yaml", &*long)], vec![], "key a.yaml:2:3: aaaa"),
            (vec![("readme", "x")], vec![], "key readme: not read: entries stand in a key `images`"),
        ] {
            let mut index = IndexMap::default();
            index.update(&object(), &map(&data, &binary), LIMIT);
            let problems = problems(&index);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:?}");
            assert!(problems[0].len() < 1500, "a text of a stranger's is cut");
        }
    }
}
