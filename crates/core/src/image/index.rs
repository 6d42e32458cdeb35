//! The image index: image name to process, as operators write it.

mod glob;

use self::glob::{Glob, Globs};
use super::digest::shortened;
use super::{Digest, DigestError, ImageProcess, Platform, Reference, ReferenceError};
use std::collections::{BTreeMap, HashMap};

/// One value of the index.
///
/// An entry may give one process for every platform, processes by platform, or both; then the first is for the platforms
/// that the second does not name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /// What the image runs on the platforms that [`platforms`](Self::platforms) does not name.
    pub process: Option<ImageProcess>,
    /// What it runs where platforms differ.
    pub platforms: BTreeMap<Platform, ImageProcess>,
}

impl IndexEntry {
    /// What the image runs on `platform`; `None` where the entry does not say.
    ///
    /// A platform that the entry names with its variant comes first, then the same without a variant, then the common process.
    /// With no platform known, an entry that names only platforms answers where all of them agree.
    pub fn process_for(&self, platform: Option<&Platform>) -> Option<&ImageProcess> {
        let Some(asked) = platform else {
            return self.process.as_ref().or_else(|| {
                let mut processes = self.platforms.values();
                let first = processes.next()?;
                processes.all(|process| process == first).then_some(first)
            });
        };
        let of_all_variants = || {
            let any = |named: &&Platform| {
                named.os == asked.os && named.architecture == asked.architecture && named.variant.is_none()
            };
            self.platforms.iter().find_map(|(named, process)| any(&named).then_some(process))
        };
        self.platforms.get(asked).or_else(of_all_variants).or(self.process.as_ref())
    }
}

impl From<ImageProcess> for IndexEntry {
    fn from(process: ImageProcess) -> Self {
        Self { process: Some(process), platforms: BTreeMap::new() }
    }
}

/// What matched.
#[derive(Debug, Clone, Copy)]
pub struct IndexHit<'a> {
    /// The key as its author wrote it.
    pub key: &'a str,
    /// The value.
    pub entry: &'a IndexEntry,
}

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexProblem {
    /// The key is no image name, digest or glob.
    #[error(transparent)]
    Malformed(#[from] KeyError),
    /// The key, normalised, is there already; the earlier entry stays.
    #[error("`{key}` is here already{}; remove one of the two", as_other_spelling(.key, .earlier))]
    Duplicate {
        /// As written the second time.
        key: String,
        /// As written the first time.
        earlier: String,
    },
}

fn as_other_spelling(key: &str, earlier: &str) -> String {
    if key == earlier { String::new() } else { format!(", as `{earlier}`, which is the same image") }
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct KeyError(#[from] KeyFault);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum KeyFault {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("{key:?} is no glob: {why}")]
    Glob { key: String, why: &'static str },
}

/// Image name to process, as operators write it: a superset of the `images` map of Argo's workflow-controller ConfigMap.
///
/// A key is one of
/// - a **digest**: `sha256:…` alone, for the image under whatever name, or `name@sha256:…`, for that repository only.
///   A tag beside a digest means nothing (`name:tag@sha256:…` is `name@sha256:…`);
/// - a **reference**: `alpine:3.20`, normalised as everywhere, so that `alpine` is `docker.io/library/alpine:latest`;
/// - a **glob**: a name with `*`, which stays within one path component or the tag, or `**`, which crosses components.
///   It is completed to `docker.io` or `docker.io/library` as a name is, unless the first component holds `**`.
///   With a tag (`alpine:3.*`, `registry.example.com/team/*:*`) it matches images that go by a tag; without one
///   (`registry.example.com/team/*`) every tag and every digest.
///
/// An image that carries a digest goes by it: `name@digest`, then the digest alone, then globs without a tag; its tag, which
/// may have moved since, is not looked at. Any other goes by its exact name, then by globs. Of several globs the one with the
/// most characters that are no wildcard wins, of equals the first by name.
///
/// Digests and exact names are found in constant time, without an allocation, however large the index is.
#[derive(Debug, Clone, Default)]
pub struct ImageIndex {
    entries: Vec<Stored>,
    exact: HashMap<Reference, usize>,
    digests: HashMap<Digest, Vec<DigestKey>>,
    globs: Globs,
    glob_names: HashMap<String, usize>,
    fingerprint: u64,
}

#[derive(Debug, Clone)]
struct Stored {
    key: String,
    entry: IndexEntry,
}

/// An entry that goes by digest: for one repository, or for any.
#[derive(Debug, Clone)]
struct DigestKey {
    name: Option<(String, String)>,
    at: usize,
}

impl ImageIndex {
    /// Adds one entry.
    ///
    /// # Errors
    /// A key that is no digest, reference or glob, and a key that is there already under this or another spelling.
    /// The index is then as it was.
    pub fn insert(&mut self, key: &str, entry: IndexEntry) -> Result<(), IndexProblem> {
        let malformed = |fault: KeyFault| IndexProblem::Malformed(fault.into());
        let at = self.entries.len();
        let (canonical, earlier) = if key.contains('*') {
            let glob = Glob::parse(key).map_err(|why| malformed(KeyFault::Glob { key: shortened(key), why }))?;
            let canonical = glob.canonical();
            let earlier = self.glob_names.get(&canonical).copied();
            if earlier.is_none() {
                self.glob_names.insert(canonical.clone(), at);
                self.globs.insert(glob, at);
            }
            (canonical, earlier)
        } else if is_bare_digest(key) {
            let digest = Digest::parse(key).map_err(|why| malformed(why.into()))?;
            (digest.to_string(), self.insert_digest(digest, None, at))
        } else {
            let reference = Reference::parse(key).map_err(|why| malformed(why.into()))?;
            match reference.digest() {
                Some(digest) => {
                    let name = (reference.registry().to_owned(), reference.repository().to_owned());
                    let canonical = format!("{}/{}@{digest}", name.0, name.1);
                    (canonical, self.insert_digest(digest.clone(), Some(name), at))
                }
                None => {
                    let canonical = reference.to_string();
                    let earlier = self.exact.get(&reference).copied();
                    if earlier.is_none() {
                        self.exact.insert(reference, at);
                    }
                    (canonical, earlier)
                }
            }
        };
        if let Some(earlier) = earlier.and_then(|earlier| self.entries.get(earlier)) {
            return Err(IndexProblem::Duplicate { key: key.to_owned(), earlier: earlier.key.clone() });
        }
        self.fingerprint = self.fingerprint.wrapping_add(hash_entry(&canonical, &entry));
        self.entries.push(Stored { key: key.to_owned(), entry });
        Ok(())
    }

    /// Returns the position of the entry that is there already.
    fn insert_digest(&mut self, digest: Digest, name: Option<(String, String)>, at: usize) -> Option<usize> {
        let keys = self.digests.entry(digest).or_default();
        let earlier = keys.iter().find(|key| key.name == name).map(|key| key.at);
        if earlier.is_none() {
            keys.push(DigestKey { name, at });
        }
        earlier
    }

    /// The entry that matches best: digest, exact, then the longest glob.
    pub fn find(&self, image: &Reference) -> Option<IndexHit<'_>> {
        let (at, tag) = match image.digest() {
            Some(digest) => (self.find_digest(digest, image.registry(), image.repository()), None),
            None => (self.exact.get(image).copied(), image.tag()),
        };
        let at = at.or_else(|| self.globs.find(image.registry(), image.repository(), tag))?;
        self.entries.get(at).map(Stored::hit)
    }

    fn find_digest(&self, digest: &Digest, registry: &str, repository: &str) -> Option<usize> {
        let keys = self.digests.get(digest)?;
        let named = |key: &&DigestKey| key.name.as_ref().is_some_and(|name| name.0 == registry && name.1 == repository);
        keys.iter().find(named).or_else(|| keys.iter().find(|key| key.name.is_none())).map(|key| key.at)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry with its key as written, in the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = IndexHit<'_>> {
        self.entries.iter().map(Stored::hit)
    }

    /// A hash of the content: the same for the same entries, whatever their order and the spelling of their keys, in every
    /// build and on every machine. It tells versions of an index apart (FNV-1a, summed); it is not cryptographic.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Adds the entries of another index, in its order; what this one has already stays, and the problem says so.
    pub fn merge(&mut self, other: &ImageIndex) -> Vec<IndexProblem> {
        other.iter().filter_map(|hit| self.insert(hit.key, hit.entry.clone()).err()).collect()
    }
}

impl Stored {
    fn hit(&self) -> IndexHit<'_> {
        IndexHit { key: &self.key, entry: &self.entry }
    }
}

/// An algorithm, a colon and nothing but hexadecimal digits: long enough that no tag was meant.
fn is_bare_digest(key: &str) -> bool {
    key.split_once(':').is_some_and(|(algorithm, hex)| matches!(algorithm, "sha256" | "sha512") && !hex.contains('/'))
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued from `hash`.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn hash_entry(canonical: &str, entry: &IndexEntry) -> u64 {
    let mut hash = hash_text(FNV_START, canonical);
    if let Some(process) = &entry.process {
        hash = hash_process(fnv(hash, b"P"), process);
    }
    for (platform, process) in &entry.platforms {
        for part in [&platform.os, &platform.architecture, platform.variant.as_deref().unwrap_or_default()] {
            hash = hash_text(hash, part);
        }
        hash = hash_process(hash, process);
    }
    hash
}

fn hash_process(hash: u64, process: &ImageProcess) -> u64 {
    let ImageProcess { entrypoint, cmd, user } = process;
    let hash_list = |hash, list: &[String]| {
        list.iter().fold(fnv(hash, &(list.len() as u64).to_le_bytes()), |hash, word| hash_text(hash, word))
    };
    let hash = hash_list(hash_list(hash, entrypoint), cmd);
    match user {
        Some(user) => hash_text(fnv(hash, b"U"), user),
        None => fnv(hash, b"-"),
    }
}

/// The length goes in front, so that two texts never run together.
fn hash_text(hash: u64, text: &str) -> u64 {
    fnv(fnv(hash, &(text.len() as u64).to_le_bytes()), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f";

    fn runs(word: &str) -> IndexEntry {
        ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() }.into()
    }

    /// Each entry runs its own key.
    fn index(keys: &[&str]) -> ImageIndex {
        let mut index = ImageIndex::default();
        for key in keys {
            index.insert(key, runs(key)).unwrap();
        }
        index
    }

    fn found<'a>(index: &'a ImageIndex, image: &str) -> Option<&'a str> {
        index.find(&Reference::parse(image).unwrap()).map(|hit| hit.key)
    }

    #[test]
    fn the_best_match_wins() {
        let bare = format!("sha256:{HEX}");
        let named = format!("registry.corp/team/app@sha256:{HEX}");
        let keys = [
            bare.as_str(),
            &named,
            "alpine",
            "alpine:3.20",
            "alpine:3.*",
            "registry.corp/team/*",
            "registry.corp/team/a*",
            "registry.corp/team/*:v1*",
            "registry.corp/**",
            "**/busybox:1.*",
        ];
        let index = index(&keys);
        let other = "2e".repeat(32);
        let table = [
            ("alpine".to_owned(), Some("alpine")),
            ("docker.io/library/alpine:latest".to_owned(), Some("alpine")),
            ("alpine:3.20".to_owned(), Some("alpine:3.20")),
            ("alpine:3.21".to_owned(), Some("alpine:3.*")),
            ("alpine:edge".to_owned(), None),
            ("team/alpine:3.20".to_owned(), None),
            ("registry.corp/team/app:v1".to_owned(), Some("registry.corp/team/*:v1*")),
            ("registry.corp/team/app:v2".to_owned(), Some("registry.corp/team/a*")),
            ("registry.corp/team/b".to_owned(), Some("registry.corp/team/*")),
            ("registry.corp/team/sub/b".to_owned(), Some("registry.corp/**")),
            ("elsewhere.corp/x/busybox:1.36".to_owned(), Some("**/busybox:1.*")),
            // A digest goes first, its tag is not looked at, and a glob with a tag is not asked.
            (format!("registry.corp/team/app:v1@sha256:{HEX}"), Some(named.as_str())),
            (format!("mirror.corp/app@sha256:{HEX}"), Some(bare.as_str())),
            (format!("registry.corp/team/app:v1@sha256:{other}"), Some("registry.corp/team/a*")),
            (format!("alpine:3.20@sha256:{other}"), None),
        ];
        for (image, expected) in table {
            assert_eq!(found(&index, &image), expected, "{image}");
        }
    }

    #[test]
    fn of_equal_globs_the_first_by_name_wins_whatever_the_order() {
        for keys in [["team/a*c", "team/*ac"], ["team/*ac", "team/a*c"]] {
            assert_eq!(found(&index(&keys), "team/aac"), Some("team/*ac"));
        }
    }

    #[test]
    fn two_spellings_of_one_image_are_one_key() {
        let named = format!("alpine:3@sha256:{HEX}");
        let table = [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("alpine:3.*", "docker.io/alpine:3.*".to_owned()),
            (named.as_str(), format!("docker.io/library/alpine@sha256:{HEX}")),
            ("alpine:1", "alpine:1".to_owned()),
        ];
        for (first, second) in table {
            let mut index = index(&[first]);
            let before = index.fingerprint();
            let problem = index.insert(&second, runs("other")).unwrap_err();
            assert_eq!(problem, IndexProblem::Duplicate { key: second.clone(), earlier: first.to_owned() });
            let text = problem.to_string();
            assert!(text.contains(&second) && text.contains(first), "{text}");
            assert_eq!((index.len(), index.fingerprint()), (1, before), "the first stays");
        }
    }

    #[test]
    fn a_wrong_key_says_what_a_right_one_looks_like() {
        let table = [("Alpine", "lower case"), ("sha256:12", "digits"), ("a?*", "`*`"), ("", "empty"), ("a b", "a-z")];
        for (key, expected) in table {
            let text = ImageIndex::default().insert(key, runs("x")).unwrap_err().to_string();
            assert!(text.contains(expected), "{key}: {text}");
        }
    }

    #[test]
    fn merging_adds_and_keeps_what_is_there() {
        let mut first = index(&["alpine", "busybox"]);
        let problems = first.merge(&index(&["library/alpine:latest", "nginx:1"]));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(first.iter().map(|hit| hit.key).collect::<Vec<_>>(), ["alpine", "busybox", "nginx:1"]);
    }

    #[test]
    fn the_fingerprint_tells_contents_apart_and_nothing_else() {
        let one = index(&["alpine", "busybox:1"]);
        let mut same = ImageIndex::default();
        same.insert("busybox:1", runs("busybox:1")).unwrap();
        same.insert("docker.io/library/alpine", runs("alpine")).unwrap();
        assert_eq!(one.fingerprint(), same.fingerprint());
        assert_ne!(one.fingerprint(), index(&["alpine", "busybox:2"]).fingerprint());
        let split = |entrypoint: &[&str], cmd: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let process = ImageProcess { entrypoint: own(entrypoint), cmd: own(cmd), user: None };
            hash_entry("x", &process.into())
        };
        assert_ne!(split(&["a", "b"], &[]), split(&["a"], &["b"]));
        assert_ne!(split(&["ab"], &[]), split(&["a", "b"], &[]));
        assert_eq!(split(&["/bin/sh", "-c"], &["x"]), 0xd082_dfff_aa43_170e, "the same in every build");
    }

    #[test]
    fn a_platform_is_found_by_how_exactly_it_is_named() {
        let process = |word: &str| ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() };
        let platform = |text: &str| Platform::parse(text).unwrap();
        let mut entry = runs("common");
        for text in ["linux/arm", "linux/arm/v6", "windows/amd64"] {
            entry.platforms.insert(platform(text), process(text));
        }
        let table = [
            (Some("linux/arm/v6"), "linux/arm/v6"),
            (Some("windows/amd64"), "windows/amd64"),
            (Some("linux/amd64"), "common"),
            (None, "common"),
        ];
        for (asked, expected) in table {
            let asked = asked.map(platform);
            assert_eq!(entry.process_for(asked.as_ref()), Some(&process(expected)), "{asked:?}");
        }
        entry.process = None;
        assert_eq!(entry.process_for(None), None, "they differ, so none of them can be meant");
        assert_eq!(entry.process_for(Some(&platform("linux/s390x"))), None);
        entry.platforms.retain(|platform, _| platform.os == "windows");
        assert_eq!(entry.process_for(None), Some(&process("windows/amd64")));
    }

    /// Counts, not times: 20,000 globs of as many teams leave one to be tried.
    #[test]
    fn a_large_index_is_searched_by_name_and_not_through() {
        let mut index = ImageIndex::default();
        for n in 0..20_000 {
            let key = match n % 3 {
                0 => format!("registry.corp/team-{n}/app:1.2.{n}"),
                1 => format!("registry.corp/team-{n}/*:*"),
                _ => format!("registry.corp/app@sha256:{n:064x}"),
            };
            index.insert(&key, runs(&key)).unwrap();
        }
        assert_eq!(found(&index, "registry.corp/team-3/app:1.2.3"), Some("registry.corp/team-3/app:1.2.3"));
        assert_eq!(found(&index, "registry.corp/team-4/x:9"), Some("registry.corp/team-4/*:*"));
        assert_eq!(index.globs.candidates("registry.corp/team-4/x").count(), 1);
    }

    proptest! {
        #[test]
        fn any_key_is_taken_or_refused(key in any::<String>()) {
            let _ = ImageIndex::default().insert(&key, IndexEntry::default());
        }

        #[test]
        fn a_key_that_is_nearly_right_finds_itself(key in "([a-z]{1,3}[./:]){0,3}[a-z]{1,2}[*]?[a-z]?(:[a-z*]{1,4})?") {
            let mut index = ImageIndex::default();
            if index.insert(&key, runs(&key)).is_ok() && let Ok(image) = Reference::parse(&key.replace('*', "x")) {
                prop_assert_eq!(index.find(&image).map(|hit| hit.key), Some(key.as_str()));
            }
        }
    }
}
