//! Credentials in Docker's form, matched as the kubelet matches them (`k8s.io/kubernetes/pkg/credentialprovider`).

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use emissary_core::image::Reference;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

/// Docker pads its base64, some tools do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials that a look-up may use: image pull secrets, or a user's own docker config.
///
/// Cheap to clone. `Debug` shows hosts only.
#[derive(Clone, Default)]
pub struct Keyring {
    /// One list for each config, since the kubelet tries secrets in order and only sorts within one.
    configs: Vec<Arc<[Entry]>>,
}

/// Why a docker config cannot be read. The texts quote hosts, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Not JSON, or no object, or `auths` is none.
    #[error(
        "the docker config or its auths is not a JSON object; it looks like {{\"auths\": {{\"HOST\": {{\"auth\": \"…\"}}}}}}"
    )]
    NotAnObject,
    /// One host's value.
    #[error("auths[{host:?}] of the docker config: {fault}")]
    Entry {
        /// The key.
        host: String,
        /// What is wrong with its value, and what a right one is.
        fault: &'static str,
    },
}

struct Entry {
    pattern: Pattern,
    credential: Credential,
}

/// `HOST[:PORT][/PATH]`, where `*` and `?` within a label of the host stand for any text and any character.
struct Pattern {
    text: String,
    host: String,
    port: String,
    path: String,
}

/// A user name and password, ready to be sent.
#[derive(Clone)]
pub(crate) struct Credential {
    basic: HeaderValue,
    pub(crate) identity: Identity,
}

/// What tells credentials apart in a cache's key without being one: a hash keyed by a secret of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

/// The credentials for one repository, in the order in which they are to be tried.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) list: Vec<Credential>,
    pub(crate) identity: Identity,
}

impl Keyring {
    /// No credentials at all.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads `~/.docker/config.json`, a secret's `.dockerconfigjson`, or the older `.dockercfg`, which is the value of `auths`
    /// alone.
    ///
    /// Of an entry, `auth` (base64 of `USER:PASSWORD`) counts, else `username` and `password`. Entries without either and
    /// credential helpers are passed over with a warning in the log, since neither can be used here.
    ///
    /// # Errors
    /// No JSON object, or an entry that is malformed.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, KeyringError> {
        let config: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| KeyringError::NotAnObject)?;
        for helper in ["credHelpers", "credsStore"] {
            if config.get(helper).is_some_and(|value| !value.is_null()) {
                tracing::warn!("{helper} of a docker config is ignored: credential helpers are not run");
            }
        }
        let auths = match config.get("auths") {
            Some(Value::Object(auths)) => auths,
            Some(Value::Null) => return Ok(Self::anonymous()),
            Some(_) => return Err(KeyringError::NotAnObject),
            // Every value of a .dockercfg is an entry; a config.json without auths has other things in it.
            None if config.values().all(is_entry) => &config,
            None => return Ok(Self::anonymous()),
        };
        let mut entries = Vec::with_capacity(auths.len());
        for (host, value) in auths {
            let fault = |fault| KeyringError::Entry { host: host.clone(), fault };
            let pattern = Pattern::parse(host).ok_or_else(|| fault("the key is no HOST[:PORT][/PATH]"))?;
            match Credential::parse(value).map_err(fault)? {
                Some(credential) => entries.push(Entry { pattern, credential }),
                None => {
                    tracing::warn!(host, "an entry of a docker config has no user name and password, it is ignored")
                }
            }
        }
        // The kubelet's order: the more specific path first.
        entries.sort_by(|a, b| b.pattern.text.cmp(&a.pattern.text));
        Ok(Self { configs: vec![entries.into()] })
    }

    /// Several keyrings as one; all that matches in the first is tried before anything of the second.
    pub fn union(keyrings: impl IntoIterator<Item = Self>) -> Self {
        Self { configs: keyrings.into_iter().flat_map(|keyring| keyring.configs).collect() }
    }

    /// What matches a repository. A credential that several configs hold is tried once.
    pub(crate) fn credentials(&self, reference: &Reference) -> Credentials {
        let mut list: Vec<Credential> = Vec::new();
        for config in &self.configs {
            let matching = config.iter().filter(|entry| entry.pattern.matches(reference));
            let mut found: Vec<&Entry> = matching.collect();
            if found.is_empty() && reference.registry() == "docker.io" {
                found = config.iter().filter(|entry| entry.pattern.text == "index.docker.io").collect();
            }
            for entry in found {
                if !list.iter().any(|known| known.identity == entry.credential.identity) {
                    list.push(entry.credential.clone());
                }
            }
        }
        let identity = Identity::of(list.iter().map(|credential| credential.identity.0.as_slice()));
        Credentials { list, identity }
    }
}

fn is_entry(value: &Value) -> bool {
    ["auth", "username", "identitytoken"].iter().any(|key| value.get(key).is_some())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configs.iter().flat_map(|config| config.iter()).map(|e| &e.pattern.text)).finish()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    fn parse(value: &Value) -> Result<Option<Self>, &'static str> {
        let field = |name: &str| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("auth, username and password are strings"),
        };
        if !value.is_object() {
            return Err("it is no object; write {\"auth\": \"…\"}");
        }
        let (user, password) = match (field("auth")?, field("username")?, field("password")?) {
            (Some(auth), ..) => {
                let fault = "auth is not base64 of USER:PASSWORD";
                let decoded = BASE64.decode(auth.trim()).map_err(|_| fault)?;
                let decoded = String::from_utf8(decoded).map_err(|_| fault)?;
                let (user, password) = decoded.split_once(':').ok_or(fault)?;
                (user.to_owned(), password.to_owned())
            }
            (None, Some(user), password) => (user.to_owned(), password.unwrap_or_default().to_owned()),
            (None, None, _) => return Ok(None),
        };
        let encoded = BASE64.encode(format!("{user}:{password}"));
        let mut basic = HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|_| "it cannot be sent")?;
        basic.set_sensitive(true);
        let identity = Identity::of([user.as_bytes(), password.as_bytes()]);
        Ok(Some(Self { basic, identity }))
    }

    /// The value of `Authorization` that proves it to a registry or a token server.
    pub(crate) fn basic(&self) -> &HeaderValue {
        &self.basic
    }
}

impl Identity {
    fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        // The standard library seeds this from the operating system, and a hash of it cannot be turned round; so two
        // hundred and fifty-six bits of it are a key that is known to this process alone.
        static KEY: LazyLock<[u64; 4]> = LazyLock::new(|| {
            let secret = [RandomState::new(), RandomState::new()];
            [0_u64, 1, 2, 3].map(|n| secret[usize::from(n >= 2)].hash_one(n))
        });
        let mut hash = Sha256::new();
        KEY.iter().for_each(|word| hash.update(word.to_le_bytes()));
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl Pattern {
    fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // Docker writes https://index.docker.io/v1/ for a host; the version is no part of a repository's name.
        let path = match path.strip_prefix("/v1/").or_else(|| path.strip_prefix("/v2/")) {
            Some(path) => format!("/{path}"),
            None => path.to_owned(),
        };
        let path = if path == "/" { String::new() } else { path };
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return None;
        }
        Some(Self { text: format!("{authority}{path}"), host: host.to_owned(), port: port.to_owned(), path })
    }

    fn matches(&self, reference: &Reference) -> bool {
        let (host, port) = split_port(reference.registry());
        let path_matches = match self.path.strip_prefix('/') {
            None => true,
            Some(path) => reference.repository().starts_with(path),
        };
        let labels = || self.host.split('.').zip(host.split('.'));
        self.port == port
            && path_matches
            && self.host.split('.').count() == host.split('.').count()
            && labels().all(|(pattern, label)| glob(pattern.as_bytes(), label.as_bytes()))
    }
}

fn split_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand within brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    }
}

/// `*` and `?`. Go's character classes are left out: no name of a host has brackets but an IPv6 address.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A config whose passwords are the hosts they are for, so that a test sees which were chosen.
    fn config(hosts: &[&str]) -> Keyring {
        let auths: Map<String, Value> =
            hosts.iter().map(|host| ((*host).to_owned(), json!({"username": "u", "password": host}))).collect();
        Keyring::from_docker_config(json!({ "auths": auths }).to_string().as_bytes()).unwrap()
    }

    fn chosen(keyring: &Keyring, image: &str) -> Vec<String> {
        let decode = |credential: &Credential| {
            let encoded = credential.basic().to_str().unwrap().strip_prefix("Basic ").unwrap();
            String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap().split_once(':').unwrap().1.to_owned()
        };
        keyring.credentials(&Reference::parse(image).unwrap()).list.iter().map(decode).collect()
    }

    #[test]
    fn matches_as_the_kubelet_does() {
        let table: &[(&[&str], &str, &[&str])] = &[
            (&["quay.io"], "quay.io/a/b", &["quay.io"]),
            (&["quay.io"], "ghcr.io/a/b", &[]),
            (&["quay.io"], "quay.io:443/a/b", &[]),
            (&["quay.io:443"], "quay.io:443/a/b", &["quay.io:443"]),
            (&["https://quay.io"], "quay.io/a/b", &["https://quay.io"]),
            (&["https://quay.io/v2/"], "quay.io/a/b", &["https://quay.io/v2/"]),
            (&["quay.io", "quay.io/a", "quay.io/a/b"], "quay.io/a/b", &["quay.io/a/b", "quay.io/a", "quay.io"]),
            (&["quay.io/a/b", "quay.io/c"], "quay.io/a/x", &[]),
            (&["*.quay.io"], "x.quay.io/a", &["*.quay.io"]),
            (&["*.quay.io"], "quay.io/a", &[]),
            (&["*.quay.io"], "x.y.quay.io/a", &[]),
            (&["reg-*.ex?mple.com"], "reg-12.example.com/a", &["reg-*.ex?mple.com"]),
            (&["*.com"], "example.com/a", &["*.com"]),
            (&["*"], "example.com/a", &[]),
            (&["https://index.docker.io/v1/"], "alpine", &["https://index.docker.io/v1/"]),
            (&["docker.io"], "alpine", &["docker.io"]),
            (&["docker.io", "index.docker.io"], "alpine", &["docker.io"]),
            (&["docker.io/me"], "me/app", &["docker.io/me"]),
            (&["docker.io/me"], "alpine", &[]),
            (&["index.docker.io"], "quay.io/alpine", &[]),
            (&["[::1]:5000"], "[::1]:5000/a", &["[::1]:5000"]),
            (&["[::1]"], "[::1]:5000/a", &[]),
        ];
        for (hosts, image, expected) in table {
            assert_eq!(chosen(&config(hosts), image), *expected, "{hosts:?} for {image}");
        }
    }

    #[test]
    fn secrets_are_tried_in_order_and_once() {
        let union = Keyring::union([config(&["quay.io"]), config(&["quay.io/a", "quay.io"]), Keyring::anonymous()]);
        assert_eq!(chosen(&union, "quay.io/a/b"), ["quay.io", "quay.io/a"]);
    }

    #[test]
    fn reads_every_form_of_an_entry() {
        let auth = BASE64.encode("u:p:w");
        let bare = auth.trim_end_matches('=');
        let table = [
            (json!({"auths": {"quay.io": {"auth": auth}}}), vec!["p:w"]),
            (json!({"auths": {"quay.io": {"auth": bare}}}), vec!["p:w"]),
            (json!({"auths": {"quay.io": {"auth": auth, "username": "x", "password": "y"}}}), vec!["p:w"]),
            (json!({"auths": {"quay.io": {"username": "x", "password": "y", "email": "z"}}}), vec!["y"]),
            (json!({"auths": {"quay.io": {}}}), vec![]),
            (json!({"auths": {"quay.io": {"identitytoken": "t"}}}), vec![]),
            (json!({"auths": null}), vec![]),
            (json!({"quay.io": {"auth": auth}}), vec!["p:w"]),
            (json!({"credsStore": "desktop"}), vec![]),
            (json!({"auths": {"quay.io": {}}, "credHelpers": {"quay.io": "x"}}), vec![]),
            (json!({}), vec![]),
        ];
        for (config, expected) in table {
            let keyring = Keyring::from_docker_config(config.to_string().as_bytes()).unwrap();
            assert_eq!(chosen(&keyring, "quay.io/a"), expected, "{config}");
        }
    }

    #[test]
    fn a_bad_entry_is_named_and_its_secret_is_not() {
        let table = [
            (json!({"auths": {"quay.io": {"auth": "%%secret%%"}}}), "quay.io"),
            (json!({"auths": {"quay.io": {"auth": BASE64.encode("secret")}}}), "USER:PASSWORD"),
            (json!({"auths": {"quay.io": {"username": "u", "password": 17}}}), "strings"),
            (json!({"auths": {"quay.io": "secret"}}), "no object"),
            (json!({"auths": {"": {"auth": "secret"}}}), "HOST"),
            (json!(["secret"]), "JSON object"),
            (json!({"auths": "secret"}), "JSON object"),
        ];
        for (config, expected) in table {
            let error = Keyring::from_docker_config(config.to_string().as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{config}: {error}");
        }
    }

    #[test]
    fn identities_tell_credentials_apart_and_nothing_else() {
        let image = Reference::parse("quay.io/a").unwrap();
        let identity = |keyring: &Keyring| keyring.credentials(&image).identity;
        let anonymous = identity(&Keyring::anonymous());
        assert_eq!(identity(&config(&["ghcr.io"])), anonymous, "a credential for another registry changes nothing");
        assert_eq!(identity(&config(&["quay.io"])), identity(&config(&["quay.io", "ghcr.io"])));
        assert_ne!(identity(&config(&["quay.io"])), anonymous);
        assert_ne!(identity(&config(&["quay.io"])), identity(&config(&["*.io"])));
        assert_ne!(Identity::of([b"ab".as_slice(), b"c"]), Identity::of([b"a".as_slice(), b"bc"]));
    }

    #[test]
    fn debug_shows_no_secret() {
        let keyring = config(&["quay.io"]);
        let text = format!("{keyring:?} {:?}", keyring.credentials(&Reference::parse("quay.io/a").unwrap()).list);
        assert_eq!(text, r#"["quay.io"] [Credential]"#);
    }
}
