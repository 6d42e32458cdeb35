use super::render::line;
use crate::manifest::{Place, Problem};
use crate::settings::{IndexFile, read_index};
use emissary_core::image::{ImageIndex, IndexEntry, IndexProblem};
use std::collections::HashMap;
use std::sync::Arc;

/// An entry that a file is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Addition {
    /// The key as it is to be written.
    pub key: String,
    /// The value.
    pub entry: IndexEntry,
}

/// What became of an [`Addition`].
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is new.
    Added,
    /// The file says the same already.
    Same,
    /// It stands in place of another.
    Replaced {
        /// The entry that was there, on one line.
        before: String,
    },
    /// The file says something else, and keeps it.
    Differs {
        /// Where.
        place: Place,
        /// The entry that is there, on one line.
        before: String,
    },
}

/// A file's text with entries added.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// All of it.
    pub text: String,
    /// What became of each addition, in their order.
    pub changes: Vec<Change>,
}

/// Adds entries to an index file: behind its last one, as lines of their own, all else staying as it was typed. An
/// entry that says something else is replaced only by `force`.
///
/// # Errors
/// Whatever is wrong with the file already; and a file whose entries do not stand on lines of their own, such as JSON.
pub fn add(text: &str, source: &Arc<str>, additions: &[Addition], force: bool) -> Result<Edited, Vec<Problem>> {
    let (IndexFile { mut index, places }, problems) = read_index(text, source);
    if !problems.is_empty() {
        return Err(problems);
    }
    let whole = |text: String| vec![Problem::new(Place::whole(Arc::clone(source)), text)];
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut entries: Vec<IndexEntry> = index.iter().map(|hit| hit.entry.clone()).collect();
    let mut positions: HashMap<String, usize> =
        index.iter().enumerate().map(|(at, hit)| (hit.key.to_owned(), at)).collect();
    let (mut changes, mut new, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
    for Addition { key, entry } in additions {
        let change = match index.insert(key, entry.clone()) {
            Ok(()) => {
                positions.insert(key.clone(), entries.len());
                entries.push(entry.clone());
                new.push(line(key, entry));
                Change::Added
            }
            Err(IndexProblem::Duplicate { earlier, .. }) => {
                let at = positions.get(&earlier).copied().unwrap_or(usize::MAX);
                match (entries.get_mut(at), places.get(at)) {
                    (Some(there), Some(place)) if there != entry => {
                        let before = line(&earlier, there);
                        if force {
                            *there = entry.clone();
                            replaced.push((place.clone(), line(&earlier, entry)));
                            Change::Replaced { before }
                        } else {
                            Change::Differs { place: place.clone(), before }
                        }
                    }
                    _ => Change::Same,
                }
            }
            Err(IndexProblem::Malformed(error)) => return Err(whole(error.to_string())),
        };
        changes.push(change);
    }
    if new.is_empty() && replaced.is_empty() {
        return Ok(Edited { text: text.to_owned(), changes });
    }
    let written = write(&lines, &places, &new, replaced)
        .filter(|written| holds(written, source, index.iter().map(|hit| hit.key).zip(&entries)))
        .ok_or_else(|| {
            whole("its entries do not stand on lines of their own, so none can be put beside them; add to another file, or print with --file -".to_owned())
        })?;
    Ok(Edited { text: written, changes })
}

/// The lines with entries replaced and added; `None` where they are not laid out so that this can be done.
fn write(lines: &[&str], places: &[Place], new: &[String], replaced: Vec<(Place, String)>) -> Option<String> {
    let end = if lines.iter().any(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let (at, indent) = match places.iter().max() {
        Some(last) => (extent(lines, last)?.1, last.column as usize - 1),
        None => (lines.len(), indent_of_first(lines)?),
    };
    let mut insertions: HashMap<usize, Vec<String>> = HashMap::new();
    let mut removed = vec![false; lines.len()];
    for (place, text) in replaced {
        let (from, to) = extent(lines, &place)?;
        removed.get_mut(from..to)?.fill(true);
        insertions.entry(from).or_default().push(" ".repeat(place.column as usize - 1) + &text);
    }
    // Behind the last entry even where that one is replaced.
    let added = insertions.entry(at).or_default();
    added.extend(new.iter().map(|text| " ".repeat(indent) + text));
    let mut written = String::new();
    for at in 0..=lines.len() {
        for text in insertions.get(&at).into_iter().flatten() {
            if !written.is_empty() && !written.ends_with('\n') {
                written.push_str(end);
            }
            written.push_str(text);
            written.push_str(end);
        }
        if let (Some(line), Some(false)) = (lines.get(at), removed.get(at)) {
            written.push_str(line);
        }
    }
    Some(written)
}

/// The lines of the entry whose key is at `place`: its own, and those below that are further in.
fn extent(lines: &[&str], place: &Place) -> Option<(usize, usize)> {
    let from = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let indent = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let own = lines.get(from)?;
    if indent_of(own) != Some(indent) || own.trim_start().starts_with(['{', '-', '?']) {
        return None;
    }
    let mut to = from + 1;
    for (at, line) in lines.iter().enumerate().skip(from + 1) {
        let is_item = |line: &str| line.trim_start().starts_with("- ");
        match indent_of(line) {
            Some(deep) if deep > indent || (deep == indent && is_item(line)) => to = at + 1,
            Some(_) => break,
            None => {}
        }
    }
    Some((from, to))
}

/// `None` for a line that holds nothing but a comment.
fn indent_of(line: &str) -> Option<usize> {
    let rest = line.trim_start_matches(' ');
    (!rest.trim().is_empty() && !rest.starts_with('#')).then(|| line.len() - rest.len())
}

/// Where entries stand in a file that has none yet: at the margin, or below `images:`.
fn indent_of_first(lines: &[&str]) -> Option<usize> {
    let mut found = lines.iter().filter(|line| indent_of(line).is_some()).map(|line| line.trim_end());
    match (found.next(), found.next()) {
        (None, _) | (Some("---"), None) => Some(0),
        (Some("images:"), None) | (Some("---"), Some("images:")) => Some(2),
        _ => None,
    }
}

/// Whether a text is the index that it was meant to become.
fn holds<'a>(text: &str, source: &Arc<str>, expected: impl Iterator<Item = (&'a str, &'a IndexEntry)>) -> bool {
    let mut index = ImageIndex::default();
    let all = expected.map(|(key, entry)| index.insert(key, entry.clone())).all(|inserted| inserted.is_ok());
    let (file, problems) = read_index(text, source);
    all && problems.is_empty() && file.index.len() == index.len() && file.index.fingerprint() == index.fingerprint()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::image::ImageProcess;

    fn addition(key: &str, word: &str) -> Addition {
        let process = ImageProcess { entrypoint: vec![word.to_owned()], ..ImageProcess::default() };
        Addition { key: key.to_owned(), entry: process.into() }
    }

    fn edited(text: &str, additions: &[Addition], force: bool) -> Edited {
        add(text, &"i.yaml".into(), additions, force).unwrap()
    }

    #[test]
    fn entries_are_added_behind_the_last_and_nothing_else_moves() {
        let new = [addition("new:1", "/new")];
        let table = [
            ("", "new:1: {entrypoint: [/new]}\n"),
            ("# only this\n", "# only this\nnew:1: {entrypoint: [/new]}\n"),
            ("---\n", "---\nnew:1: {entrypoint: [/new]}\n"),
            ("images:\n", "images:\n  new:1: {entrypoint: [/new]}\n"),
            ("a: {cmd: [x]}", "a: {cmd: [x]}\nnew:1: {entrypoint: [/new]}\n"),
            ("a: {cmd: [x]}\r\n", "a: {cmd: [x]}\r\nnew:1: {entrypoint: [/new]}\r\n"),
            (
                "# a\na:\n  cmd:\n  - x # why\n\n# tail\n",
                "# a\na:\n  cmd:\n  - x # why\nnew:1: {entrypoint: [/new]}\n\n# tail\n",
            ),
            (
                "kind: ConfigMap\ndata:\n  images: |\n    a:\n      cmd: [x]\n  other: \"1\"\n",
                "kind: ConfigMap\ndata:\n  images: |\n    a:\n      cmd: [x]\n    new:1: {entrypoint: [/new]}\n  other: \"1\"\n",
            ),
        ];
        for (text, expected) in table {
            let Edited { text: found, changes } = edited(text, &new, false);
            assert_eq!((found.as_str(), changes.as_slice()), (expected, [Change::Added].as_slice()));
        }
    }

    #[test]
    fn what_differs_is_replaced_only_by_force() {
        let text = "b: {cmd: [z]}\nalpine: # old\n  cmd:\n  - x\n# c\nc: {cmd: [z]}\n";
        let other = [addition("docker.io/library/alpine:latest", "/new"), addition("d", "/d")];
        let Edited { text: kept, changes } = edited(text, &other, false);
        assert_eq!(kept, format!("{text}d: {{entrypoint: [/d]}}\n"));
        assert!(
            matches!(&changes[0], Change::Differs { place, before } if place.line == 2 && before == "alpine: {cmd: [x]}")
        );
        let Edited { text: replaced, changes } = edited(text, &other, true);
        assert_eq!(
            replaced,
            "b: {cmd: [z]}\nalpine: {entrypoint: [/new]}\n# c\nc: {cmd: [z]}\nd: {entrypoint: [/d]}\n"
        );
        assert_eq!(changes, [Change::Replaced { before: "alpine: {cmd: [x]}".to_owned() }, Change::Added]);
        assert_eq!(edited(&replaced, &other, false).changes, [Change::Same, Change::Same]);
    }

    #[test]
    fn the_last_entry_can_be_replaced_too() {
        let found = edited("a: {cmd: [x]}\n", &[addition("a", "/a"), addition("b", "/b")], true);
        assert_eq!(found.text, "a: {entrypoint: [/a]}\nb: {entrypoint: [/b]}\n");
    }

    #[test]
    fn what_cannot_be_added_to_is_refused() {
        for text in ["{\"a\": {\"cmd\": [\"x\"]}}\n", "images: {a: {cmd: [x]}}\n", "images: {}\n", "a: {cmd: 7}\n"] {
            let problems = add(text, &"i.yaml".into(), &[addition("b", "/b")], false).unwrap_err();
            assert!(problems.iter().all(|problem| problem.to_string().starts_with("i.yaml")), "{problems:?}");
        }
    }
}
