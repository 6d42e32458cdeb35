//! Credentials in Docker's form, matched as the kubelet matches them (`k8s.io/kubernetes/pkg/credentialprovider`).

mod credential;
mod secret;
mod tier;

pub(crate) use credential::{Credential, Identity, Proof};
pub use secret::{Granted, KeyringWarning, PullSecret};
pub(crate) use tier::{Pattern, Tier};

use crate::{Providers, provider::Provider};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc};

/// The credentials that a look-up may use: image pull secrets, a user's own docker config, exec credential providers.
///
/// Cheap to clone. `Debug` shows hosts and names of providers only.
#[derive(Clone, Default)]
pub struct Keyring {
    /// All that matches in one is tried before anything of the next.
    layers: Vec<Layer>,
}

#[derive(Clone)]
enum Layer {
    Tier(Arc<Tier>),
    Providers(Providers),
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

/// Something to try: a credential, or a program that may have some.
#[derive(Clone)]
pub(crate) enum Candidate {
    Known(Credential),
    Provider(Arc<Provider>),
}

/// The credentials for one repository, in the order in which they are to be tried.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) list: Vec<Candidate>,
    pub(crate) identity: Identity,
}

impl Candidate {
    /// A provider's is its own, because what it answers changes every few hours.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Known(credential) => credential.identity(),
            Self::Provider(provider) => provider.identity(),
        }
    }
}

impl Keyring {
    /// No credentials at all.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads `~/.docker/config.json`, a secret's `.dockerconfigjson`, or the older `.dockercfg`, which is the value of `auths`
    /// alone.
    ///
    /// Of an entry, `identitytoken` counts, else `auth` (base64 of `USER:PASSWORD`), else `username` and `password`. Entries
    /// without any of them and credential helpers are passed over with a warning in the log, since they cannot be used here;
    /// `registrytoken` is, because the kubelet knows none.
    ///
    /// # Errors
    /// No JSON object, or an entry that is malformed.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, KeyringError> {
        let (tier, problems) = Tier::parse(&auths(bytes)?);
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Self { layers: vec![Layer::Tier(Arc::new(tier))] }),
        }
    }

    /// Several keyrings as one; all that matches in the first is tried before anything of the second.
    pub fn union(keyrings: impl IntoIterator<Item = Self>) -> Self {
        Self { layers: keyrings.into_iter().flat_map(|keyring| keyring.layers).collect() }
    }

    /// Several as one in which the more specific path goes first, whoever it is of: what the kubelet does with all pull
    /// secrets of a pod. Where paths are the same the earlier keyring's is tried first.
    pub fn merge(keyrings: impl IntoIterator<Item = Self>) -> Self {
        let (mut tiers, mut rest) = (Vec::new(), Vec::new());
        for layer in keyrings.into_iter().flat_map(|keyring| keyring.layers) {
            match layer {
                Layer::Tier(tier) => tiers.push(tier),
                providers @ Layer::Providers(_) => rest.push(providers),
            }
        }
        let first = match tiers.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            tiers => Some(Arc::new(Tier::merged(tiers.iter().map(|tier| &**tier)))),
        };
        Self { layers: first.map(Layer::Tier).into_iter().chain(rest).collect() }
    }

    /// What matches a repository of a registry, `HOST[:PORT]`, which may be another's mirror. A credential that is found
    /// twice is tried once.
    pub(crate) fn credentials_at(&self, registry: &str, repository: &str) -> Credentials {
        let mut list: Vec<Candidate> = Vec::new();
        let mut identities: Vec<Identity> = Vec::new();
        let mut add = |candidate: Candidate| {
            let identity = candidate.identity();
            if !identities.contains(&identity) {
                identities.push(identity);
                list.push(candidate);
            }
        };
        for layer in &self.layers {
            match layer {
                Layer::Tier(tier) => {
                    tier.credentials(registry, repository).cloned().map(Candidate::Known).for_each(&mut add);
                }
                Layer::Providers(providers) => {
                    providers.matching(registry, repository).cloned().map(Candidate::Provider).for_each(&mut add);
                }
            }
        }
        Credentials { list, identity: Identity::all(&identities) }
    }
}

/// The entries of a config in either form.
fn auths(bytes: &[u8]) -> Result<Map<String, Value>, KeyringError> {
    let mut config: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| KeyringError::NotAnObject)?;
    for helper in ["credHelpers", "credsStore"] {
        if config.get(helper).is_some_and(|value| !value.is_null()) {
            tracing::warn!("{helper} of a docker config is ignored: credential helpers are not run");
        }
    }
    match config.remove("auths") {
        Some(Value::Object(auths)) => Ok(auths),
        Some(Value::Null) => Ok(Map::new()),
        Some(_) => Err(KeyringError::NotAnObject),
        // Every value of a .dockercfg is an entry; a config.json without auths has other things in it.
        None if config.values().all(is_entry) => Ok(config),
        None => Ok(Map::new()),
    }
}

fn is_entry(value: &Value) -> bool {
    ["auth", "username", "identitytoken"].iter().any(|key| value.get(key).is_some())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for layer in &self.layers {
            match layer {
                Layer::Tier(tier) => list.entries(tier.patterns()),
                Layer::Providers(providers) => list.entry(providers),
            };
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{credential::BASE64, *};
    use base64::Engine;
    use emissary_core::image::Reference;
    use serde_json::json;

    /// A config whose passwords are the hosts they are for, so that a test sees which were chosen.
    fn config(hosts: &[&str]) -> Keyring {
        let auths: Map<String, Value> =
            hosts.iter().map(|host| ((*host).to_owned(), json!({"username": "u", "password": host}))).collect();
        Keyring::from_docker_config(json!({ "auths": auths }).to_string().as_bytes()).unwrap()
    }

    fn credentials(keyring: &Keyring, image: &str) -> Credentials {
        let reference = Reference::parse(image).unwrap();
        keyring.credentials_at(reference.registry(), reference.repository())
    }

    fn chosen(keyring: &Keyring, image: &str) -> Vec<String> {
        let decode = |candidate: &Candidate| {
            let Candidate::Known(credential) = candidate else { panic!("no program was configured") };
            let Proof::Basic(basic) = credential.proof() else { return "token".to_owned() };
            let encoded = basic.to_str().unwrap().strip_prefix("Basic ").unwrap();
            String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap().split_once(':').unwrap().1.to_owned()
        };
        credentials(keyring, image).list.iter().map(decode).collect()
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
    fn pull_secrets_are_one_with_the_longest_path_first() {
        let secrets = [config(&["quay.io"]), config(&["quay.io/a", "ghcr.io"]), config(&["quay.io/a/b"])];
        let merged = Keyring::union([Keyring::merge(secrets), config(&["*.io"])]);
        assert_eq!(chosen(&merged, "quay.io/a/b"), ["quay.io/a/b", "quay.io/a", "quay.io", "*.io"]);
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
            (json!({"auths": {"quay.io": {"identitytoken": "t"}}}), vec!["token"]),
            (json!({"auths": {"quay.io": {"identitytoken": "t", "auth": auth}}}), vec!["token"]),
            (json!({"auths": {"quay.io": {"registrytoken": "t"}}}), vec![]),
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
        let identity = |keyring: &Keyring| credentials(keyring, "quay.io/a").identity;
        let anonymous = identity(&Keyring::anonymous());
        assert_eq!(identity(&config(&["ghcr.io"])), anonymous, "a credential for another registry changes nothing");
        assert_eq!(identity(&config(&["quay.io"])), identity(&config(&["quay.io", "ghcr.io"])));
        assert_ne!(identity(&config(&["quay.io"])), anonymous);
        assert_ne!(identity(&config(&["quay.io"])), identity(&config(&["*.io"])));
    }

    #[test]
    fn debug_shows_no_secret() {
        let keyring = config(&["quay.io"]);
        let text = format!("{keyring:?} {:?}", keyring.layers.len());
        assert_eq!(text, r#"["quay.io"] 1"#);
    }
}
