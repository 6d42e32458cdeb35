use super::reference::Reference;
use std::{cmp::Reverse, str::FromStr};

/// Other names of registries and of parts of them: `mirror.corp/dockerhub` for `docker.io`.
///
/// Webhooks that rewrite image names run before or after us, so that one image has two names in a cluster. What is matched
/// and remembered goes by one of them; what stands in the pod stays as it is.
///
/// ```
/// # use emissary_core::image::{Aliases, Reference};
/// let aliases = Aliases::new([("mirror.corp/dockerhub", "docker.io")])?;
/// let image = Reference::parse("mirror.corp/dockerhub/library/alpine:3.20")?;
/// assert_eq!(aliases.canonical(&image).to_string(), "docker.io/library/alpine:3.20");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aliases(Vec<Alias>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alias {
    from: Prefix,
    to: Prefix,
}

/// `REGISTRY[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix {
    registry: String,
    path: String,
}

/// Why an alias cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// One of its sides.
    #[error("{0:?} is no registry with or without a path; write HOST[:PORT][/PATH], such as mirror.corp/dockerhub")]
    Prefix(String),
    /// Two are for the same prefix.
    #[error("{0:?} is an alias twice")]
    Twice(String),
}

impl Aliases {
    /// Takes pairs of what stands in pods and what is meant by it.
    ///
    /// # Errors
    /// A side that is no registry with or without a path, and the same left side twice.
    pub fn new<F: AsRef<str>, T: AsRef<str>>(pairs: impl IntoIterator<Item = (F, T)>) -> Result<Self, AliasError> {
        let mut aliases: Vec<Alias> = Vec::new();
        for (from, to) in pairs {
            let prefix = |text: &str| Prefix::parse(text).ok_or_else(|| AliasError::Prefix(text.to_owned()));
            let alias = Alias { from: prefix(from.as_ref())?, to: prefix(to.as_ref())? };
            if aliases.iter().any(|known| known.from == alias.from) {
                return Err(AliasError::Twice(from.as_ref().to_owned()));
            }
            aliases.push(alias);
        }
        // The longest first, so that the first that matches is the one.
        aliases.sort_by_key(|alias| Reverse(alias.from.path.len()));
        Ok(Self(aliases))
    }

    /// The name by which an image is matched and remembered; its own where no alias is for it.
    ///
    /// Of several aliases the one with the longest path counts, and only one: what comes out is not looked at again. Paths
    /// are compared by their components, so `mirror.corp/hub` is not for `mirror.corp/hubble/x`.
    pub fn canonical(&self, reference: &Reference) -> Reference {
        let renamed = self.0.iter().find_map(|Alias { from, to }| {
            let rest = from.rest(reference)?;
            let name = [to.registry.as_str(), to.path.as_str(), rest].into_iter().filter(|part| !part.is_empty());
            let mut text = name.collect::<Vec<_>>().join("/");
            reference.tag().iter().for_each(|tag| text.extend([":", tag]));
            reference.digest().iter().for_each(|digest| text.extend(["@", digest.as_str()]));
            // What becomes too long for a name keeps the one that it has.
            Reference::from_str(&text).ok()
        });
        renamed.unwrap_or_else(|| reference.clone())
    }
}

impl Prefix {
    fn parse(text: &str) -> Option<Self> {
        let (registry, path) = text.split_once('/').unwrap_or((text, ""));
        // The grammar is that of references, so the parser of those says what is one.
        let sample = match path {
            "" => format!("{registry}/sample/sample"),
            path => format!("{registry}/{path}/sample"),
        };
        let parsed = Reference::parse(&sample).ok()?;
        let path = parsed.repository().strip_suffix("/sample")?;
        let path = if text.contains('/') { path.to_owned() } else { String::new() };
        let same = parsed.registry() == registry || registry == "index.docker.io";
        (same && !text.ends_with('/')).then(|| Self { registry: parsed.registry().to_owned(), path })
    }

    /// What of a repository's path stands behind this; never nothing.
    fn rest<'a>(&self, reference: &'a Reference) -> Option<&'a str> {
        if !self.registry.eq_ignore_ascii_case(reference.registry()) {
            return None;
        }
        match self.path.as_str() {
            "" => Some(reference.repository()),
            path => reference.repository().strip_prefix(path)?.strip_prefix('/'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_prefix_counts_by_components() {
        let aliases = Aliases::new([
            ("mirror.corp", "registry.corp:5000"),
            ("mirror.corp/dockerhub", "docker.io"),
            ("mirror.corp/dockerhub/team", "quay.io/team"),
            ("old.corp:5000/a/b", "new.corp/c"),
            ("a.corp", "b.corp"),
            ("b.corp", "a.corp"),
            ("docker.io/library", "base.corp"),
        ])
        .unwrap();
        let digest = format!("sha256:{}", "1f".repeat(32));
        let table = [
            ("mirror.corp/dockerhub/library/alpine:3", "docker.io/library/alpine:3".to_owned()),
            // As a mirror of Docker Hub is asked for official images without their library.
            ("mirror.corp/dockerhub/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("mirror.corp/dockerhub/team/x:1", "quay.io/team/x:1".to_owned()),
            ("mirror.corp/dockerhubble/x:1", "registry.corp:5000/dockerhubble/x:1".to_owned()),
            ("mirror.corp/dockerhub:1", "registry.corp:5000/dockerhub:1".to_owned()),
            ("Mirror.corp/x:1", "registry.corp:5000/x:1".to_owned()),
            ("mirror.corp:443/x:1", "mirror.corp:443/x:1".to_owned()),
            ("old.corp:5000/a/b/c:1", "new.corp/c/c:1".to_owned()),
            ("old.corp:5000/a/bc:1", "old.corp:5000/a/bc:1".to_owned()),
            ("a.corp/x:1", "b.corp/x:1".to_owned()),
            ("alpine:3", "base.corp/alpine:3".to_owned()),
            ("quay.io/x:1", "quay.io/x:1".to_owned()),
            (&format!("a.corp/x:1@{digest}"), format!("b.corp/x:1@{digest}")),
            (&format!("a.corp/x@{digest}"), format!("b.corp/x@{digest}")),
        ];
        for (text, expected) in table {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(aliases.canonical(&reference).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_prefix() {
        let table = [
            "",
            "/",
            "mirror.corp/",
            "corp",
            "corp/x",
            "mirror.corp//x",
            "mirror.corp/x:1",
            "https://mirror.corp",
            "mirror.corp/X",
        ];
        for text in table {
            assert!(matches!(Aliases::new([(text, "docker.io")]), Err(AliasError::Prefix(_))), "{text}");
            assert!(matches!(Aliases::new([("mirror.corp", text)]), Err(AliasError::Prefix(_))), "{text}");
        }
        let twice = [("index.docker.io", "a.corp"), ("docker.io", "b.corp")];
        assert!(matches!(Aliases::new(twice), Err(AliasError::Twice(_))));
        assert!(Aliases::new([("localhost", "docker.io"), ("[::1]:5000/x", "localhost:5000")]).is_ok());
    }

    proptest! {
        #[test]
        fn tag_and_digest_stay(text in r"[a-c]\.corp(/[a-c]){1,4}(:[a-c])?(@sha256:[0-9a-f]{64})?") {
            let aliases = Aliases::new([("a.corp/a", "b.corp"), ("b.corp", "c.corp/x/y")]).unwrap();
            let reference = Reference::parse(&text).unwrap();
            let canonical = aliases.canonical(&reference);
            prop_assert_eq!((canonical.tag(), canonical.digest()), (reference.tag(), reference.digest()));
        }
    }
}
