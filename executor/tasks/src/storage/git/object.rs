//! What a repository is made of, by git's own names, and how it is read. All of it comes from a stranger.

use std::fmt;
use std::io;

use super::broken;

/// An object's name: SHA-1 of what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Id(pub(super) [u8; 20]);

impl Id {
    /// Reads 40 hexadecimal digits.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut id = Self::default();
        if text.len() != 2 * id.0.len() {
            return None;
        }
        for (byte, pair) in id.0.iter_mut().zip(text.chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What an object is; the numbers are those of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
}

impl Kind {
    /// The name that is hashed with it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// A commit, as far as it is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: Id,
    pub(super) parents: Vec<Id>,
}

impl Commit {
    pub(super) fn parse(data: &[u8]) -> io::Result<Self> {
        let mut lines = data.split(|byte| *byte == b'\n');
        let tree = lines.next().and_then(|line| Id::parse(line.strip_prefix(b"tree ")?));
        let tree = tree.ok_or_else(|| broken("a commit without a tree"))?;
        let parents = lines.map_while(|line| Id::parse(line.strip_prefix(b"parent ")?)).collect();
        Ok(Self { tree, parents })
    }
}

/// What a tag is of.
pub(super) fn tagged(data: &[u8]) -> io::Result<Id> {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_prefix(b"object ").and_then(Id::parse).ok_or_else(|| broken("a tag of nothing"))
}

/// An entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) what: What,
    pub(super) name: &'a [u8],
    pub(super) id: Id,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Folder,
    File,
    Program,
    Link,
    /// A commit of another repository.
    Submodule,
}

/// A tree's entries.
pub(super) fn entries(mut data: &[u8]) -> impl Iterator<Item = io::Result<Entry<'_>>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let entry = entry(data);
        data = entry.as_ref().map(|(_, rest)| *rest).unwrap_or_default();
        Some(entry.map(|(entry, _)| entry))
    })
}

fn entry(data: &[u8]) -> io::Result<(Entry<'_>, &[u8])> {
    let cut = |data: &[u8], at: u8| data.iter().position(|byte| *byte == at);
    let parts = cut(data, b' ').and_then(|space| {
        let (mode, rest) = data.split_at_checked(space)?;
        let rest = rest.get(1..)?;
        let (name, rest) = rest.split_at_checked(cut(rest, 0)?)?;
        let (id, rest) = rest.get(1..)?.split_first_chunk::<20>()?;
        Some((mode, name, Id(*id), rest))
    });
    let (mode, name, id, rest) = parts.ok_or_else(|| broken("a tree that is cut off"))?;
    let what = match mode {
        b"40000" | b"040000" => What::Folder,
        // The group's right to write is from git's first weeks.
        b"100644" | b"100664" => What::File,
        b"100755" => What::Program,
        b"120000" => What::Link,
        b"160000" => What::Submodule,
        _ => return Err(broken("a tree with an entry of no kind that git has")),
    };
    Ok((Entry { what, name, id }, rest))
}

/// Whether a name may be a reference's: what git itself takes (`git check-ref-format`).
pub(super) fn is_reference(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.split('/').all(part)
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_name_is_forty_digits() {
        assert_eq!(Id::parse(HEX.as_bytes()).unwrap().to_string(), HEX);
        for wrong in ["", "0123", &HEX[1..], &format!("{HEX}0"), &HEX.replace('a', "g"), &HEX.replace("01", "+1")] {
            assert_eq!(Id::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_commit_has_a_tree_and_parents() {
        let text = format!("tree {HEX}\nparent {HEX}\nparent {HEX}\nauthor x\n\nparent {HEX}\n");
        let id = Id::parse(HEX.as_bytes()).unwrap();
        assert_eq!(Commit::parse(text.as_bytes()).unwrap(), Commit { tree: id, parents: vec![id, id] });
        assert!(Commit::parse(b"parent x").is_err());
    }

    #[test]
    fn references_are_named_as_git_names_them() {
        for name in ["HEAD", "refs/heads/main", "refs/heads/a/b-c_d+é", "refs/tags/v1.0"] {
            assert!(is_reference(name), "{name}");
        }
        for name in [
            "", "/", "a//b", "a/", "a/.b", "a..b", "a b", "a\nb", "a~1", "a^", "a:b", "a?", "a[", "a\\b", "a.lock",
            "a.", "@", "a@{1}",
        ] {
            assert!(!is_reference(name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>) {
            let _ = Commit::parse(&data);
            let _ = tagged(&data);
            let all: io::Result<Vec<_>> = entries(&data).collect();
            if let Ok(all) = all {
                // Nothing is read twice, nothing skipped.
                let length: usize = all.iter().map(|entry| entry.name.len() + 22).sum();
                prop_assert!(length <= data.len());
            }
        }
    }
}
