//! One file of the sources, read again and again.

use crate::manifest::{Place, Problem};
use crate::settings::held::Held;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file and what it says.
pub(super) struct File<T> {
    pub(super) path: PathBuf,
    name: Arc<str>,
    pub(super) held: Held<T>,
}

impl<T> File<T> {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string().into(), held: Held::default() }
    }

    /// Reads the file, and parses it if it is another than last time. Returns whether what is in effect may have changed.
    pub(super) fn refresh(
        &mut self,
        limit: u64,
        parse: impl FnOnce(&str, &Arc<str>) -> Result<T, Vec<Problem>>,
    ) -> bool {
        let content = read(&self.path, limit).map_err(|error| error.to_string());
        self.held.update(&content, || {
            let parsed = match &content {
                Ok(text) => parse(text, &self.name),
                Err(error) => {
                    Err(vec![Problem::new(Place::whole(Arc::clone(&self.name)), format!("cannot be read: {error}"))])
                }
            };
            match parsed {
                Ok(good) => (Some(good), Vec::new()),
                Err(problems) => (None, problems),
            }
        })
    }
}

fn read(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {} MiB", limit >> 20)));
    }
    Ok(text)
}
