use super::digest::{Digest, shortened};
use std::fmt;

const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's name of before 2014, still found in old configurations.
const DOCKER_HUB_OF_OLD: &str = "index.docker.io";
/// Where Docker Hub keeps what has no user in its name.
const OFFICIAL: &str = "library/";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// An image's name as a container runtime understands it, normalised: `alpine` is `docker.io/library/alpine:latest`.
///
/// The grammar is that of `github.com/distribution/reference`, which the kubelet and Argo use. Where both a tag and a digest
/// are given both are kept, and the digest is what counts.
///
/// ```
/// # use emissary_core::image::Reference;
/// let alpine = Reference::parse("alpine")?;
/// assert_eq!((alpine.registry(), alpine.repository(), alpine.tag()), ("docker.io", "library/alpine", Some("latest")));
/// # Ok::<(), emissary_core::image::ReferenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no image [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no image reference: {fault}")]
pub struct ReferenceError {
    text: String,
    fault: &'static str,
}

impl Reference {
    /// Parses and normalises `[REGISTRY[:PORT]/]REPOSITORY[:TAG][@DIGEST]`.
    ///
    /// # Errors
    /// Whatever breaks that grammar; the text says which part, and what a right one looks like.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::parts(text).map_err(|fault| ReferenceError { text: shortened(text), fault })
    }

    fn parts(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("it is empty; write REPOSITORY:TAG, such as alpine:3.20");
        }
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("it is a bare image id; write REPOSITORY@sha256: before the digits");
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let fault = "after @ comes sha256: and 64, or sha512: and 128, lower-case hex digits";
                (rest, Some(Digest::parse(digest).map_err(|_| fault)?))
            }
        };
        // A colon before the last slash belongs to the registry's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(fault) = tag.and_then(fault_of_tag) {
            return Err(fault);
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let registry = if registry == DOCKER_HUB_OF_OLD { DOCKER_HUB } else { registry };
        if !valid_registry(registry) {
            return Err("the part before the first slash is no registry; write HOST or HOST:PORT, such as quay.io");
        }
        let official = if registry == DOCKER_HUB && !repository.contains('/') { OFFICIAL } else { "" };
        let repository = format!("{official}{repository}");
        if let Some(fault) = fault_of_repository(&repository) {
            return Err(fault);
        }
        if registry.len() + 1 + repository.len() > LONGEST_NAME {
            return Err("the name without tag and digest is longer than 255 characters");
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// Host, with the port if one is given: `quay.io`, `localhost:5000`, `[::1]:5000`; `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path within the registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which goes before the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The whole normalised name, as [`Display`](fmt::Display) writes it: `docker.io/library/alpine:latest`.
    pub fn canonical(&self) -> String {
        self.to_string()
    }
}

/// `distribution/reference`'s way to tell `quay.io/x` from `someone/x`; a namespace on Docker Hub has no upper-case letters.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase)
}

fn valid_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
            Some((address, rest)) => match rest.strip_prefix(':') {
                Some(port) => return address.parse::<std::net::Ipv6Addr>().is_ok() && valid_port(port),
                None => return false,
            },
            None => return false,
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    port.is_none_or(valid_port) && host.split('.').all(valid_label)
}

fn valid_label(label: &str) -> bool {
    let ends = [label.as_bytes().first(), label.as_bytes().last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Stricter than `distribution/reference`, which takes any digits: nobody can listen on such a port.
fn valid_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn fault_of_repository(repository: &str) -> Option<&'static str> {
    if repository.chars().any(char::is_uppercase) {
        return Some("the repository has upper-case letters; write it in lower case");
    }
    let fault = "the repository is made of a-z and 0-9, in parts joined by /, within which stand single ., _, __ or any \
                 number of -, such as team/app-one";
    (!repository.split('/').all(valid_path_component)).then_some(fault)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn valid_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [component.as_bytes().first(), component.as_bytes().last()];
    ends.iter().all(|end| end.is_some_and(|b| is_word(*b)))
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
fn fault_of_tag(tag: &str) -> Option<&'static str> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if tag.len() > LONGEST_TAG {
        return Some("the tag is longer than 128 characters");
    }
    let valid = tag.bytes().next().is_some_and(is_word) && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'));
    (!valid)
        .then_some("the tag is made of letters, digits, _, . and -, and starts with none of the last two, such as v1.2")
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalises() {
        let digest = format!("sha256:{}", "1f".repeat(32));
        let table = [
            ("alpine", "docker.io/library/alpine:latest".to_owned()),
            ("alpine:3.20", "docker.io/library/alpine:3.20".to_owned()),
            ("docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest".to_owned()),
            ("index.docker.io/a/b:1", "docker.io/a/b:1".to_owned()),
            ("argoproj/argosay:v2", "docker.io/argoproj/argosay:v2".to_owned()),
            ("a/b/c", "docker.io/a/b/c:latest".to_owned()),
            ("quay.io/argoproj/argoexec:v3.3", "quay.io/argoproj/argoexec:v3.3".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("localhost:5000", "docker.io/library/localhost:5000".to_owned()),
            ("localhost:5000/x:1", "localhost:5000/x:1".to_owned()),
            ("host:5000/x", "host:5000/x:latest".to_owned()),
            ("HOST/x", "HOST/x:latest".to_owned()),
            ("192.168.0.1/x", "192.168.0.1/x:latest".to_owned()),
            ("[::1]:5000/x", "[::1]:5000/x:latest".to_owned()),
            ("[2001:db8::1]/x:1", "[2001:db8::1]/x:1".to_owned()),
            ("x/a__b--c.d_e/f---g", "docker.io/x/a__b--c.d_e/f---g:latest".to_owned()),
            ("x:_A.b-C", "docker.io/library/x:_A.b-C".to_owned()),
            (&format!("x@{digest}"), format!("docker.io/library/x@{digest}")),
            (&format!("quay.io/x:1@{digest}"), format!("quay.io/x:1@{digest}")),
        ];
        for (text, expected) in table {
            assert_eq!(Reference::parse(text).unwrap().canonical(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_and_says_what_is_wrong() {
        let table = [
            ("", "empty"),
            (&"a".repeat(64), "image id"),
            ("Alpine", "upper-case"),
            ("quay.io/Alpine", "upper-case"),
            ("x:", "the tag"),
            ("x:-1", "the tag"),
            ("x:a b", "the tag"),
            (&format!("x:{}", "t".repeat(129)), "128"),
            ("x@sha256:12", "after @"),
            ("x@", "after @"),
            ("x@sha256:12@sha256:13", "after @"),
            ("/x", "repository"),
            ("x/", "repository"),
            ("a//b", "repository"),
            ("a/___b/c", "repository"),
            ("a/b..c", "repository"),
            ("a/-b", "repository"),
            ("é", "repository"),
            ("a b", "repository"),
            ("https://quay.io/x", "no registry"),
            ("-bad.io/x", "no registry"),
            ("bad..io/x", "no registry"),
            ("host:/x", "no registry"),
            ("host:99999/x", "no registry"),
            ("host:+1/x", "no registry"),
            ("[::1/x", "no registry"),
            ("[::1]5000/x", "no registry"),
            ("[::zz]/x", "no registry"),
            ("[fe80::1%eth0]/x", "no registry"),
            ("user:pass@quay.io/x", "after @"),
            (&format!("quay.io/{}", "a".repeat(248)), "255"),
            (&"b".repeat(300), "255"),
        ];
        for (text, expected) in table {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Reference::parse(&format!("quay.io/{}", "a".repeat(247))).is_ok());
        assert!(Reference::parse(&format!("x:{}", "t".repeat(128))).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            let _ = Reference::parse(&text);
        }

        #[test]
        fn the_canonical_name_means_the_same(text in r"([a-zA-Z0-9\[\]:.-]{1,12}/)?[a-z0-9._/-]{1,20}(:[\w.-]{0,8})?(@sha256:[0-9a-f]{64})?") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.canonical()), Ok(reference));
            }
        }
    }
}
