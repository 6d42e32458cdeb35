//! Edits on an object as it was sent, as the fewest RFC 6902 operations.
//!
//! Nothing is diffed: whoever decides on a change says it as an edit of one place. A positional diff of two lists would
//! rewrite every element behind an insertion, and a diff of re-serialised types would remove what this build has never
//! heard of.

mod list;
mod path;

pub use list::ListEdit;
pub use path::Path;

use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde::Serialize;
use serde_json::Value;

/// Operations in the order in which they apply to the object as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Edits(Vec<PatchOperation>);

impl Edits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operations (RFC 6902).
    pub fn operations(&self) -> &[PatchOperation] {
        &self.0
    }

    /// Creates a member, or replaces it where it exists.
    pub fn add(&mut self, path: &Path, value: Value) {
        self.0.push(PatchOperation::Add(AddOperation { path: path.pointer(), value }));
    }

    /// Replaces what exists.
    pub fn replace(&mut self, path: &Path, value: Value) {
        self.0.push(PatchOperation::Replace(ReplaceOperation { path: path.pointer(), value }));
    }

    /// Creates or replaces, by whether the member exists already.
    pub fn set(&mut self, path: &Path, exists: bool, value: Value) {
        if exists { self.replace(path, value) } else { self.add(path, value) }
    }

    /// Removes what exists.
    pub fn remove(&mut self, path: &Path) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path: path.pointer() }));
    }

    /// Puts further operations behind these.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds what is needed to turn one list into another.
    pub fn list(&mut self, list: ListEdit) {
        list.finish(self);
    }

    /// Applies the operations to the object.
    ///
    /// # Errors
    /// Where a path does not exist in `object`: it is then not the object that the edits were made for.
    pub fn apply(&self, object: &mut Value) -> Result<(), json_patch::PatchError> {
        json_patch::patch(object, &self.0)
    }

    /// An upper bound of the bytes by which the object grows, in compact JSON.
    pub fn growth(&self) -> usize {
        self.0
            .iter()
            .map(|operation| match operation {
                PatchOperation::Add(AddOperation { path, value }) => path.as_str().len() + written(value) + 8,
                PatchOperation::Replace(ReplaceOperation { value, .. }) => written(value),
                _ => 0,
            })
            .sum()
    }
}

/// The length of a value in compact JSON, without writing it anywhere.
fn written(value: &Value) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX / 2,
    }
}
