//! Glob keys: `registry.corp/team/*`, `alpine:3.*`, `registry.corp/**`.

use std::collections::HashMap;

/// The longest glob key that is accepted, in bytes of its normalised form: a repository name and a tag at their limits.
const MAX_LENGTH: usize = 255 + 1 + 128;

/// A glob over image names, normalised as a reference is.
///
/// `*` matches any run of characters within one path component or within the tag, `**` any run, slashes included; a run
/// may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// Pattern of `registry/repository`.
    name: String,
    /// Pattern of the tag; without one the glob is about repositories, whatever the tag or digest.
    tag: Option<String>,
    /// How many characters are no wildcard: what "longest" counts.
    literals: usize,
}

impl Glob {
    /// Reads a key that holds a `*`; the error says what a right one looks like.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains('@') {
            return Err("a digest names one image exactly, so a key with `@` cannot hold `*`");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*./:-_".contains(&byte)) {
            return Err(
                "a glob is an image name with `*` (within a path component or a tag) or `**` (across components)",
            );
        }
        let components = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text[components..].find(':') {
            Some(colon) => (&text[..components + colon], Some(&text[components + colon + 1..])),
            None => (text, None),
        };
        if tag.is_some_and(|tag| tag.is_empty() || tag.contains(':')) {
            return Err("after the last `/` comes at most one `:`, and a tag or `*` after it, such as `alpine:3.*`");
        }
        if name.split('/').any(str::is_empty) {
            return Err("a path component is empty; a right glob looks like `registry.example.com/team/*:*`");
        }
        let name = with_registry(name);
        let repository = name.find('/').map_or("", |slash| &name[slash..]);
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("a repository is spelled in lower case");
        }
        let length = name.len() + tag.map_or(0, |tag| tag.len() + 1);
        if length > MAX_LENGTH {
            return Err("it is longer than any image's name");
        }
        let stars = name.bytes().chain(tag.unwrap_or_default().bytes()).filter(|byte| *byte == b'*').count();
        Ok(Self { literals: length - stars, name, tag: tag.map(str::to_owned) })
    }

    /// The normalised spelling.
    pub(super) fn canonical(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}", self.name),
            None => self.name.clone(),
        }
    }

    /// Which of two matching globs wins: the one with more literal characters, then the first by name.
    fn outranks(&self, other: &Self) -> bool {
        (other.literals, &self.name, &self.tag) < (self.literals, &other.name, &other.tag)
    }

    /// `tag` is `None` for what goes by digest: a tag beside it may have moved.
    fn matches(&self, name: &str, tag: Option<&str>) -> bool {
        let tag_fits = match (&self.tag, tag) {
            (None, _) => true,
            (Some(pattern), Some(tag)) => wild(pattern.as_bytes(), tag.as_bytes()),
            (Some(_), None) => false,
        };
        tag_fits && wild(self.name.as_bytes(), name.as_bytes())
    }
}

/// A pattern as a text that stands for all that it matches: only a pattern whose own wildcards can take this one's fits it.
///
/// No name holds a control character, and what crosses components cannot be taken by a `*`, which a slash sees to.
fn as_text(pattern: &str) -> String {
    pattern.replace("**", "\u{1}/\u{1}").replace('*', "\u{2}")
}

/// Completes a name as a reference is: Docker Hub unless the first component looks like a host, `library` for a bare
/// name.
fn with_registry(name: &str) -> String {
    let looks_like_host = |first: &str| {
        first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let (registry, repository) = match name.split_once('/') {
        Some((first, _)) if first.contains("**") => return name.to_owned(),
        None if name.contains("**") => return name.to_owned(),
        Some(("index.docker.io", rest)) => ("docker.io", rest),
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        _ => ("docker.io", name),
    };
    let official = if registry == "docker.io" && !repository.contains('/') && !repository.contains("**") {
        "library/"
    } else {
        ""
    };
    format!("{registry}/{official}{repository}")
}

/// Whether `text` fits `pattern`, in time linear in one times the other and without recursion.
///
/// A mismatch goes back to the latest `*` and lets it take one byte more; where that byte is a slash, to the latest
/// `**`.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let (mut one, mut many) = (None, None);
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) if pattern.get(p + 1) == Some(&b'*') => {
                p += 2;
                (one, many) = (None, Some((p, t)));
            }
            (Some(b'*'), _) => {
                p += 1;
                one = Some((p, t));
            }
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found => (p, t) = (p + 1, t + 1),
            _ => match (one, many) {
                (Some((after, from)), _) if text.get(from).is_some_and(|byte| *byte != b'/') => {
                    one = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                (_, Some((after, from))) if from < text.len() => {
                    (one, many) = (None, Some((after, from + 1)));
                    (p, t) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// Many globs, found by the characters before their first wildcard.
///
/// A name is walked once; at each length at which some glob's literal prefix ends, the prefix so far is looked up by
/// hash. So 20,000 globs for 20,000 teams cost an image one walk and one candidate; only globs that share a prefix are
/// tried one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct Globs {
    /// Each glob and the position of its entry.
    globs: Vec<(Glob, usize)>,
    /// Hash of a literal prefix to positions in `globs`.
    by_prefix: HashMap<u64, Vec<usize>>,
    /// The lengths that prefixes have, in order, each once.
    lengths: Vec<usize>,
}

impl Globs {
    pub(super) fn insert(&mut self, glob: Glob, entry: usize) {
        let prefix = glob.name.split('*').next().unwrap_or_default();
        if let Err(place) = self.lengths.binary_search(&prefix.len()) {
            self.lengths.insert(place, prefix.len());
        }
        self.by_prefix.entry(super::fnv(super::FNV_START, prefix.as_bytes())).or_default().push(self.globs.len());
        self.globs.push((glob, entry));
    }

    /// The position of the best glob's entry.
    pub(super) fn find(&self, registry: &str, repository: &str, tag: Option<&str>) -> Option<usize> {
        if self.globs.is_empty() {
            return None;
        }
        let name = [registry, "/", repository].concat();
        let mut best: Option<&(Glob, usize)> = None;
        for candidate in self.candidates(&name) {
            if best.is_none_or(|best| candidate.0.outranks(&best.0)) && candidate.0.matches(&name, tag) {
                best = Some(candidate);
            }
        }
        best.map(|(_, entry)| *entry)
    }

    /// The globs that never win, each with one that outranks it wherever it matches, as positions of their entries.
    pub(super) fn shadowed(&self) -> Vec<(usize, usize)> {
        let mut shadowed = Vec::new();
        for (glob, entry) in &self.globs {
            let (name, tag) = (as_text(&glob.name), glob.tag.as_deref().map(|tag| tag.replace('*', "\u{2}")));
            let better = self
                .candidates(&name)
                .find(|(other, at)| at != entry && other.outranks(glob) && other.matches(&name, tag.as_deref()));
            shadowed.extend(better.map(|(_, at)| (*entry, *at)));
        }
        shadowed
    }

    /// The globs whose literal prefix `name` starts with, and with luck no others.
    pub(super) fn candidates(&self, name: &str) -> impl Iterator<Item = &(Glob, usize)> {
        let (mut hash, mut done) = (super::FNV_START, 0);
        let of_length = move |&length: &usize| {
            hash = super::fnv(hash, name.as_bytes().get(done..length)?);
            done = length;
            Some(self.by_prefix.get(&hash).into_iter().flatten().filter_map(|at| self.globs.get(*at)))
        };
        self.lengths.iter().map_while(of_length).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_documented() {
        let table = [
            ("r.io/team/*", "r.io/team/app", true),
            ("r.io/team/*", "r.io/team/sub/app", false),
            ("r.io/team/**", "r.io/team/sub/app", true),
            ("r.io/**/app", "r.io/a/b/app", true),
            ("r.io/**/app", "r.io/app", false),
            ("**/app", "r.io/team/app", true),
            ("**/a*/x*z", "r.io/q/ab/xyyz", true),
            ("**/a*/x*z", "r.io/ab/cd/xyyz", false),
            ("r.io/*-*-x", "r.io/a-b-c-x", true),
            ("r.io/*", "r.io/", true),
            ("*", "", true),
            ("a*", "b", false),
            ("**", "a/b/c", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(wild(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_glob_is_completed_as_a_reference_is() {
        let table = [
            ("alpine:3.*", "docker.io/library/alpine:3.*"),
            ("argoproj/*", "docker.io/argoproj/*"),
            ("index.docker.io/argoproj/*", "docker.io/argoproj/*"),
            ("*.corp/team/*:*", "*.corp/team/*:*"),
            ("registry:5000/**", "registry:5000/**"),
            ("localhost/*", "localhost/*"),
            ("**/busybox:1.*", "**/busybox:1.*"),
            ("*", "docker.io/library/*"),
            ("docker.io/*", "docker.io/library/*"),
            ("docker.io/**", "docker.io/**"),
            ("HOST/*", "HOST/*"),
            ("**", "**"),
        ];
        for (written, canonical) in table {
            assert_eq!(Glob::parse(written).unwrap().canonical(), canonical, "{written}");
        }
    }

    #[test]
    fn a_wrong_glob_says_what_is_wrong() {
        for (written, expected) in [
            ("alpine@sha256:*", "digest"),
            ("alpine:[0-9]*", "`**`"),
            ("team//*", "empty"),
            ("alpine:*:x", "at most one"),
            ("quay.io/Team/*", "lower case"),
        ] {
            let why = Glob::parse(written).unwrap_err();
            assert!(why.contains(expected), "{written}: {why}");
        }
        assert!(Glob::parse(&"a*".repeat(MAX_LENGTH)).is_err());
    }
}
