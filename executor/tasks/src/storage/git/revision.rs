//! A revision, by any of the names that git has for it (`gitrevisions`), as far as they name commits by references and parents.

use std::io;

use super::broken;
use super::object::{Commit, Id, Kind, tagged};
use super::pack::Pack;
use super::plan::Local;

/// A shorter beginning of a name is taken for none.
const SHORTEST: usize = 4;
/// Tags of tags, at most.
const TAGS: usize = 16;

/// The commit that a revision is.
///
/// # Errors
/// Where there is none, in words for who wrote it.
pub(super) fn resolve(text: &str, references: &[Local], head: Option<Id>, pack: &mut Pack) -> io::Result<Id> {
    let (name, mut steps) = text.split_at(text.find(['~', '^']).unwrap_or(text.len()));
    let found = named(name, references, head, pack);
    let unknown = || io::Error::other(format!("git.revision: the repository has no branch, tag or commit {name:?}"));
    let mut id = commit(found.ok_or_else(unknown)?, pack)?;
    while let Some(kind) = steps.chars().next() {
        let rest = steps.get(1..).unwrap_or_default();
        if let Some(rest) = rest.strip_prefix("{}").or_else(|| rest.strip_prefix("{commit}")).filter(|_| kind == '^') {
            steps = rest;
            continue;
        }
        let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (number, rest) = rest.split_at(digits);
        steps = rest;
        if !(rest.is_empty() || rest.starts_with(['~', '^'])) {
            return Err(io::Error::other(format!(
                "git.revision: {text:?} is not understood; commits are NAME, NAME~2, NAME^2"
            )));
        }
        let number: usize = if number.is_empty() { 1 } else { number.parse().map_err(io::Error::other)? };
        let (times, which) = if kind == '~' { (number, 1) } else { (number.min(1), number) };
        for _ in 0..times {
            let parents = Commit::parse(&pack.object(&id, Kind::Commit)?)?.parents;
            let parent = which.checked_sub(1).and_then(|which| parents.get(which)).copied();
            id = parent.filter(|parent| pack.kind(parent).is_some()).ok_or_else(|| {
                io::Error::other(format!(
                    "git.revision: {text:?} is beyond the history that was loaded; git.depth limits it"
                ))
            })?;
        }
    }
    Ok(id)
}

fn named(name: &str, references: &[Local], head: Option<Id>, pack: &Pack) -> Option<Id> {
    if let Some(id) = Id::parse(name.as_bytes()).filter(|id| pack.kind(id).is_some()) {
        return Some(id);
    }
    if name == "HEAD" {
        return head;
    }
    // Git's own order.
    let patterns = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
    let reference = patterns.iter().find_map(|before| {
        let whole = format!("{before}{name}");
        let place = references.binary_search_by(|local| local.name.as_str().cmp(&whole)).ok()?;
        Some(references.get(place)?.id)
    });
    let is_short = name.len() >= SHORTEST && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    reference.or_else(|| pack.commit_of(&name.to_ascii_lowercase()).filter(|_| is_short))
}

/// The commit that an object is, or is a tag of.
pub(super) fn commit(mut id: Id, pack: &mut Pack) -> io::Result<Id> {
    for _ in 0..TAGS {
        match pack.kind(&id) {
            Some(Kind::Commit) => return Ok(id),
            Some(Kind::Tag) => id = tagged(&pack.object(&id, Kind::Tag)?)?,
            Some(_) => return Err(io::Error::other("git.revision names a file or folder, and no commit")),
            None => return Err(broken("no object of a reference's name")),
        }
    }
    Err(broken("too many tags of tags"))
}
