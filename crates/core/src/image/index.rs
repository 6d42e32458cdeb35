//! The image index: image name to process, as operators write it.

mod glob;

use self::glob::{Glob, Globs};
use super::digest::shortened;
use super::{Digest, DigestError, ImageProcess, Platform, Reference, ReferenceError};
use std::collections::{BTreeMap, HashMap};

/// One value of the index.
///
/// An entry may give one process for every platform, processes by platform, or both; then the first is for the
/// platforms that the second does not name.
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
    /// A platform that the entry names with its variant comes first, then the same without a variant, then the common
    /// process. With no platform known, an entry that names only platforms answers where all of them agree.
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

/// Image name to process, as operators write it: a superset of the `images` map of Argo's workflow-controller
/// ConfigMap.
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
/// An image that carries a digest goes by it: `name@digest`, then the digest alone, then globs without a tag; its tag,
/// which may have moved since, is not looked at. Any other goes by its exact name, then by globs. Of several globs the
/// one with the most characters that are no wildcard wins, of equals the first by name.
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

    /// A hash of the content: the same for the same entries, whatever their order and the spelling of their keys, in
    /// every build and on every machine. It tells versions of an index apart (FNV-1a, summed); it is not cryptographic.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Keys that can never match, each with the one that matches better wherever it would: positions in the order of
    /// insertion.
    ///
    /// Only a glob can be shadowed, and only by a single other one is it looked for; all that is returned is so, whatever
    /// several globs do together.
    pub fn shadowed(&self) -> Vec<(usize, usize)> {
        self.globs.shadowed()
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
mod tests;
