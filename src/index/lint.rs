use crate::manifest::{Place, Problem};
use crate::settings::read_index;
use emissary_core::image::{ImageIndex, IndexEntry, IndexProblem, Reference};
use std::collections::HashMap;
use std::sync::Arc;

/// Something about an index that its author did not mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What kind.
    pub rule: Rule,
    /// Where, and what to do.
    pub problem: Problem,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is not read: a key or value is not what it should be, or a file has an image twice.
    Malformed,
    /// An earlier file has the image already, and is the one that counts.
    Duplicate,
    /// Another key matches better wherever this one does.
    Shadowed,
    /// No image can have such a name.
    Unreachable,
    /// The key names an image that can change under its name.
    Floating,
}

impl Rule {
    /// The word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::Shadowed => "shadowed",
            Self::Unreachable => "unreachable",
            Self::Floating => "floating",
        }
    }
}

/// Checks files as they are merged, in the order of their precedence; `immutable` for those that are to hold only what
/// cannot change.
pub fn lint(files: &[(Arc<str>, String)], immutable: bool) -> Vec<Finding> {
    let (mut findings, mut merged, mut places) = (Vec::new(), ImageIndex::default(), Vec::<Place>::new());
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for (source, text) in files {
        let (file, problems) = read_index(text, source);
        findings.extend(problems.into_iter().map(|problem| Finding { rule: Rule::Malformed, problem }));
        for (hit, place) in file.index.iter().zip(&file.places) {
            let mut find = |rule, text: String| {
                findings.push(Finding { rule, problem: Problem::new(place.clone(), format!("{}: {text}", hit.key)) });
            };
            if hit.key.contains('*') && !is_reachable(hit.key) {
                find(Rule::Unreachable, "no image can be called so, whatever stands for `*`; remove it".to_owned());
            }
            if let Some(why) = immutable.then(|| floats(hit.key)).flatten() {
                find(Rule::Floating, format!("{why}; name a full version such as 1.2.3, or a digest"));
            }
            match merged.insert(hit.key, hit.entry.clone()) {
                Ok(()) => {
                    by_key.insert(hit.key.to_owned(), places.len());
                    places.push(place.clone());
                }
                Err(IndexProblem::Duplicate { earlier, .. }) => {
                    let first = by_key.get(&earlier).and_then(|at| places.get(*at));
                    let first = first.map(|place| format!(" at {place}")).unwrap_or_default();
                    find(Rule::Duplicate, format!("`{earlier}`{first} is the same image and counts; remove one"));
                }
                Err(IndexProblem::Malformed(_)) => {}
            }
        }
    }
    let keys: Vec<&str> = merged.iter().map(|hit| hit.key).collect();
    for (lower, higher) in merged.shadowed() {
        if let (Some(key), Some(place), Some(other), Some(there)) =
            (keys.get(lower), places.get(lower), keys.get(higher), places.get(higher))
        {
            let text = format!("{key}: never counts, because `{other}` at {there} goes before it wherever it matches");
            findings.push(Finding { rule: Rule::Shadowed, problem: Problem::new(place.clone(), text) });
        }
    }
    findings.sort_by(|a, b| a.problem.place.cmp(&b.problem.place));
    findings
}

/// Whether some image has a name that the glob matches. Wildcards are tried with what can stand where names are strict:
/// nothing, a letter, a path, a host.
fn is_reachable(key: &str) -> bool {
    let mut index = ImageIndex::default();
    if index.insert(key, IndexEntry::default()).is_err() {
        return true;
    }
    const ONE: [&str; 3] = ["", "a", "1"];
    const MANY: [&str; 4] = ["", "a", "a/a", "a.a/a"];
    let tries = MANY.iter().flat_map(|many| ONE.iter().map(move |one| key.replace("**", many).replace('*', one)));
    tries.into_iter().any(|name| Reference::parse(&name).is_ok_and(|image| index.find(&image).is_some()))
}

/// Why the image under a key can change; `None` where it cannot.
fn floats(key: &str) -> Option<&'static str> {
    if key.contains('*') {
        return Some("a glob covers images that nobody has looked at");
    }
    if key.starts_with("sha256:") || key.starts_with("sha512:") {
        return None;
    }
    let reference = Reference::parse(key).ok()?;
    let tag = reference.tag().filter(|_| reference.digest().is_none())?;
    let version = tag.split('-').next().unwrap_or_default().trim_start_matches('v');
    let numbers = version.split('.').filter(|part| part.parse::<u64>().is_ok()).count();
    // `3.12` moves on to the next patch version, `3.12.1` does not.
    (numbers < 3).then_some("the tag may be moved to another image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_where() {
        type Row<'a> = (&'a [&'a str], bool, &'a [(Rule, &'a str)]);
        let table: [Row<'_>; 8] = [
            (&["a:1: {cmd: [x]}\n"], false, &[]),
            (&["a:1: {cmd: x}\nb:1: {cmd: [x]}\n"], false, &[(Rule::Malformed, "0.yaml:1:12: a:1: expected a list")]),
            (&["a: {cmd: [x]}\nlibrary/a: {cmd: [x]}\n"], false, &[(Rule::Malformed, "0.yaml:2:1: ")]),
            (
                &["a: {cmd: [x]}\n", "# b\ndocker.io/library/a: {cmd: [x]}\n"],
                false,
                &[(Rule::Duplicate, "1.yaml:2:1: docker.io/library/a: `a` at 0.yaml:1:1 is the same image")],
            ),
            (
                &["r.io/*b: {cmd: [x]}\nr.io/**b: {cmd: [x]}\n"],
                false,
                &[(Rule::Shadowed, "0.yaml:1:1: r.io/*b: never counts, because `r.io/**b` at 0.yaml:2:1")],
            ),
            (
                &["r.io/-x*: {cmd: [x]}\n\"a:.*\": {cmd: [x]}\n\"**:*\": {cmd: [x]}\n\"*.r.io/x:*\": {cmd: [x]}\n"],
                false,
                &[
                    (Rule::Unreachable, "0.yaml:1:1: r.io/-x*: no image"),
                    (Rule::Unreachable, "0.yaml:2:1: a:.*: no image"),
                ],
            ),
            (
                &["a: {cmd: [x]}\na:3.12: {cmd: [x]}\nr.io/*: {cmd: [x]}\n"],
                true,
                &[
                    (Rule::Floating, "0.yaml:1:1: a: the tag may be moved"),
                    (Rule::Floating, "0.yaml:2:1: a:3.12: the tag"),
                    (Rule::Floating, "0.yaml:3:1: r.io/*: a glob covers"),
                ],
            ),
            (&["a:v3.12.1-slim: {cmd: [x]}\n"], true, &[]),
        ];
        for (texts, immutable, expected) in table {
            let files: Vec<(Arc<str>, String)> =
                texts.iter().enumerate().map(|(at, text)| (format!("{at}.yaml").into(), (*text).to_owned())).collect();
            let findings = lint(&files, immutable);
            assert_eq!(findings.len(), expected.len(), "{texts:?}: {findings:?}");
            for (finding, (rule, text)) in findings.iter().zip(expected) {
                assert_eq!(finding.rule, *rule);
                assert!(finding.problem.to_string().starts_with(text), "{}", finding.problem);
            }
        }
    }
}
