use json_patch::jsonptr::PointerBuf;

/// A JSON Pointer (RFC 6901) under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path through the given members, each a name as it is written in the object.
    pub fn of(members: &[&str]) -> Self {
        members.iter().fold(Self::default(), |path, member| path.member(member))
    }

    /// One member further.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + name.len() + 1);
        text.push_str(&self.0);
        text.push('/');
        for c in name.chars() {
            match c {
                '~' => text.push_str("~0"),
                '/' => text.push_str("~1"),
                other => text.push(other),
            }
        }
        Self(text)
    }

    /// One element further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// The place behind a list's last element.
    #[must_use]
    pub fn end(&self) -> Self {
        Self(format!("{}/-", self.0))
    }

    pub(super) fn pointer(&self) -> PointerBuf {
        // Built member by member with the escapes of RFC 6901, so parsing cannot refuse it.
        PointerBuf::parse(self.0.clone()).unwrap_or_default()
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn members_are_escaped() {
        let path = Path::of(&["metadata", "annotations", "a.io/b~c"]);
        assert_eq!(path.to_string(), "/metadata/annotations/a.io~1b~0c");
        assert_eq!(path.pointer().as_str(), path.to_string());
    }
}
