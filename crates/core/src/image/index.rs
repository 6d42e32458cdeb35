use super::{ImageProcess, Platform, Reference};
use std::collections::BTreeMap;

/// One value of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexEntry {
    /** What the image runs. */
    pub process: ImageProcess,
    /** Where platforms differ. */
    pub platforms: BTreeMap<Platform, ImageProcess>,
}
/// What matched.
#[derive(Debug, Clone, Copy)]
pub struct IndexHit<'a> {
    /** The key as its author wrote it. */
    pub key: &'a str,
    /** The value. */
    pub entry: &'a IndexEntry,
}
/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexProblem {}
/// Image name to process, as operators write it.
#[derive(Debug, Clone, Default)]
pub struct ImageIndex {}
impl ImageIndex {
    /// Adds one entry.
    pub fn insert(&mut self, _key: &str, _entry: IndexEntry) -> Result<(), IndexProblem> {
        todo!()
    }
    /// The entry that matches best: digest, exact, then the longest glob.
    pub fn find(&self, _image: &Reference) -> Option<IndexHit<'_>> {
        todo!()
    }
}
