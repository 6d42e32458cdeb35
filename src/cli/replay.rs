//! `review --replay`: what a webhook has recorded, judged again.

use super::Exit;
use super::told::Told;
use crate::manifest;
use crate::review::{CHUNK, Recorded, Replay};
use anyhow::Context;
use std::fs;
use std::path::PathBuf;

/// Judges the records of these folders and files, and tells what is said.
pub(super) fn replay(mut judges: Replay, paths: Vec<PathBuf>, mut told: Told) -> anyhow::Result<Exit> {
    told.refused(&judges.ready().refusals);
    let mut documents = manifest::read(files(paths)?, std::io::stdin());
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let document = documents.next();
        let is_last = document.is_none();
        match document.map(|document| Recorded::of(document?)) {
            None => {}
            Some(Ok(recorded)) => chunk.push(recorded),
            Some(Err(problem)) => told.wrong(&problem),
        }
        if chunk.len() < CHUNK && !is_last {
            continue;
        }
        let rows = judges.review(&chunk);
        for (recorded, row) in chunk.drain(..).zip(rows) {
            told.tell(recorded.candidate(), &row)?;
        }
        if is_last {
            return told.finish(judges.stopped());
        }
    }
}

/// Files, those of a folder in the order of their names.
fn files(paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).with_context(|| format!("{}: cannot be read", path.display()))? {
            entries.push(entry?.path());
        }
        // One that is being written begins with a dot.
        entries.retain(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            name.ends_with(".json") && !name.starts_with('.')
        });
        entries.sort_unstable();
        files.extend(entries);
    }
    Ok(files)
}
