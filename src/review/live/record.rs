//! Reviewed pods in files, for who wants to judge them again elsewhere.
//!
//! A file holds the case without what is secret, and what was said of it so. A policy that says something else of the whole pod reads
//! what was left out: of it the record says that it is unknown.

use super::case::Case;
use super::judges::Judge;
use super::redact::redacted;
use crate::review::report::json_line;
use crate::review::reviewer::Row;
use crate::review::verdict::{Judgement, Verdict};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a file is as good as new: of a thousand pods of a template one is enough.
const FRESH: Duration = Duration::from_secs(60);
/// What files are called.
const EXTENSION: &str = "json";

/// Where records are kept, and how many.
#[derive(Debug, Clone)]
pub struct RecordOptions {
    /// The folder; it is made where it is missing.
    pub folder: PathBuf,
    /// Files in it.
    pub files: usize,
    /// Their bytes, all together.
    pub bytes: u64,
}

/// A folder of records.
#[derive(Debug)]
pub(super) struct Records {
    options: RecordOptions,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<String, File>,
    bytes: u64,
    /// Counts the records; the smallest is the oldest.
    count: u64,
}

#[derive(Debug)]
struct File {
    namespace: String,
    bytes: u64,
    number: u64,
    /// `None` for one of a process before.
    written: Option<Instant>,
}

impl Records {
    /// Opens a folder, and counts what is in it.
    pub(super) fn open(options: RecordOptions) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&options.folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&options.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata()?;
            if metadata.is_file() && Path::new(&name).extension().is_some_and(|extension| extension == EXTENSION) {
                found.push((metadata.modified()?, name, metadata.len()));
            }
        }
        found.sort_unstable();
        let records = Self { options, kept: Mutex::default() };
        {
            let mut kept = records.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, name, bytes) in found {
                let namespace = name.split('.').next().unwrap_or_default().to_owned();
                kept.add(name, namespace, bytes, None);
            }
        }
        Ok(records)
    }

    /// Keeps a case of which `row` is said, unless there is a fresh one like it; whether it did. `key` says what it is like.
    pub(super) fn keep(&self, key: &str, case: &Case, row: &Row, judge: &mut Judge<'_>) -> io::Result<bool> {
        let namespace = plain(&case.candidate.namespace);
        let name = format!("{namespace}.{}.{EXTENSION}", digest(key, row));
        let is_fresh = |file: &File| file.written.is_some_and(|written| written.elapsed() < FRESH);
        if self.kept.lock().unwrap_or_else(PoisonError::into_inner).files.get(&name).is_some_and(is_fresh) {
            return Ok(false);
        }
        let case = redacted(case);
        let mut said = judge.row(&case, true);
        let unclear = differing(row, &said);
        doubt(&mut said, &unclear);
        let lines =
            said.iter().flat_map(|cell| cell.judgements.iter().map(|one| json_line(&case.candidate, cell.column, one)));
        let mut document = case.to_json();
        document["verdicts"] = lines.filter_map(|line| serde_json::from_str(&line).ok()).collect::<Vec<Value>>().into();
        document["readsRedacted"] = unclear.into();
        let text = document.to_string() + "\n";
        // One line whole or none, whoever reads meanwhile.
        let (path, draft) = (self.options.folder.join(&name), self.options.folder.join(format!(".{name}")));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, &path)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.add(name, namespace, text.len() as u64, Some(Instant::now()));
        while kept.files.len() > self.options.files || kept.bytes > self.options.bytes {
            let Some(oldest) = kept.next_to_go() else { break };
            kept.remove(&oldest);
            fs::remove_file(self.options.folder.join(oldest))?;
        }
        Ok(true)
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<PathBuf> = kept.files.keys().map(|name| self.options.folder.join(name)).collect();
        files.sort_unstable();
        files
    }
}

impl Kept {
    fn add(&mut self, name: String, namespace: String, bytes: u64, written: Option<Instant>) {
        self.remove(&name);
        self.count += 1;
        self.bytes += bytes;
        self.files.insert(name, File { namespace, bytes, number: self.count, written });
    }

    fn remove(&mut self, name: &str) {
        if let Some(file) = self.files.remove(name) {
            self.bytes -= file.bytes;
        }
    }

    /// The oldest of the namespace that has most: otherwise one could crowd out those that have little.
    fn next_to_go(&self) -> Option<String> {
        let mut namespaces: HashMap<&str, u64> = HashMap::new();
        for file in self.files.values() {
            *namespaces.entry(&file.namespace).or_default() += file.bytes;
        }
        let (most, _) = namespaces.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        let own = self.files.iter().filter(|(_, file)| file.namespace == most);
        own.min_by_key(|(_, file)| file.number).map(|(name, _)| name.clone())
    }
}

/// A name that is one also where it is made up.
fn plain(namespace: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match namespace {
        name if !name.is_empty() && name.len() <= 63 && name.chars().all(is_plain) => name.to_owned(),
        _ => "_".to_owned(),
    }
}

/// What records are told apart by: what they are of, and what is said of them.
fn digest(key: &str, row: &Row) -> String {
    let mut digest = Sha256::new_with_prefix(key);
    for cell in row {
        for Judgement { engine, policy, verdict, .. } in &cell.judgements {
            for part in [cell.column.name(), engine, policy, verdict.name()] {
                digest.update([0]);
                digest.update(part);
            }
        }
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// `engine policy` of what says something else of the whole pod.
fn differing(whole: &Row, redacted: &Row) -> Vec<String> {
    let mut names = Vec::new();
    for (whole, redacted) in whole.iter().zip(redacted) {
        let all = whole.judgements.iter().chain(&redacted.judgements);
        for judgement in all {
            let is_same = |other: &Judgement| other.is_of(judgement) && other.verdict == judgement.verdict;
            let is_in_both = whole.judgements.iter().any(is_same) && redacted.judgements.iter().any(is_same);
            let name = format!("{} {}", judgement.engine, judgement.policy);
            if !is_in_both && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Makes unknown what policies say that read what was left out.
pub(super) fn doubt(row: &mut Row, unclear: &[String]) {
    for judgement in row.iter_mut().flat_map(|cell| &mut cell.judgements) {
        if unclear.contains(&format!("{} {}", judgement.engine, judgement.policy)) {
            judgement.verdict = Verdict::Unknown;
            judgement.message = "it reads what the record leaves out, such as values of variables".to_owned();
            (judgement.blame, judgement.causes) = (None, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_gives_its_oldest() {
        let mut kept = Kept::default();
        for (name, namespace, bytes) in [("a.1", "a", 10), ("b.1", "b", 30), ("a.2", "a", 10), ("b.2", "b", 1)] {
            kept.add(name.to_owned(), namespace.to_owned(), bytes, None);
        }
        assert_eq!(kept.next_to_go().as_deref(), Some("b.1"));
        kept.add("b.1".to_owned(), "b".to_owned(), 30, None);
        assert_eq!((kept.bytes, kept.next_to_go().as_deref()), (51, Some("b.2")), "what is written anew is the newest");
        kept.remove("b.1");
        assert_eq!((kept.bytes, kept.next_to_go().as_deref()), (21, Some("a.1")));
    }

    #[test]
    fn a_made_up_namespace_leads_nowhere() {
        for (namespace, expected) in [("team-a", "team-a"), ("", "_"), ("../etc", "_"), ("A", "_")] {
            assert_eq!(plain(namespace), expected);
        }
    }
}
