//! Image pull secrets, and what an operator grants to namespaces.

use super::{Keyring, KeyringError, Layer, auths, tier::Tier};
use crate::{Providers, glob::glob};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// A secret as Kubernetes has it, its values decoded.
#[derive(Clone, Copy)]
pub struct PullSecret<'a> {
    /// Its name, for warnings.
    pub name: &'a str,
    /// `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`.
    pub kind: &'a str,
    /// Its `data`.
    pub data: &'a BTreeMap<String, Vec<u8>>,
}

/// What of a pull secret is left out, and why. It quotes names of hosts, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image pull secret {secret:?} is not used{}: {fault}", if *in_part { " in part" } else { "" })]
pub struct KeyringWarning {
    /// The secret's name.
    pub secret: String,
    /// Whether the rest of it is used.
    pub in_part: bool,
    /// What is wrong with it, and what a right one is.
    pub fault: String,
}

impl fmt::Debug for PullSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullSecret").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads one image pull secret. What is malformed is left out and told; the rest is used.
    ///
    /// Read each secret when it changes, and [`merge`](Self::merge) those of a pod.
    pub fn from_pull_secret(secret: &PullSecret<'_>) -> (Self, Vec<KeyringWarning>) {
        let PullSecret { name, kind, data } = *secret;
        let warning = |in_part, fault: String| KeyringWarning { secret: name.to_owned(), in_part, fault };
        let key = match kind {
            "kubernetes.io/dockerconfigjson" => ".dockerconfigjson",
            "kubernetes.io/dockercfg" => ".dockercfg",
            _ => {
                let fault = format!("its type is {kind:?}; make it kubernetes.io/dockerconfigjson");
                return (Self::anonymous(), vec![warning(false, fault)]);
            }
        };
        let Some(bytes) = data.get(key) else {
            return (Self::anonymous(), vec![warning(false, format!("it has no data[{key:?}]"))]);
        };
        match auths(bytes) {
            Ok(auths) => {
                let (tier, problems) = Tier::parse(&auths);
                let warnings = problems.into_iter().map(|problem| warning(true, problem.to_string())).collect();
                (Self { layers: vec![Layer::Tier(Arc::new(tier))] }, warnings)
            }
            Err(problem @ (KeyringError::NotAnObject | KeyringError::Entry { .. })) => {
                (Self::anonymous(), vec![warning(false, problem.to_string())])
            }
        }
    }
}

/// The operator's own credentials and providers, and the namespaces that they serve.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    keyring: Keyring,
    namespaces: Vec<String>,
}

impl Granted {
    /// `namespaces` are globs (`*` is any text, `?` any character); none of them is nobody.
    pub fn new(config: Keyring, providers: Option<Providers>, namespaces: Vec<String>) -> Self {
        let mut keyring = config;
        keyring.layers.extend(providers.map(Layer::Providers));
        Self { keyring, namespaces }
    }

    /// What a namespace may use of it: all or nothing. Goes behind the namespace's own with [`Keyring::union`].
    pub fn to_namespace(&self, namespace: &str) -> Keyring {
        let serves = |pattern: &String| glob(pattern.as_bytes(), namespace.as_bytes());
        if self.namespaces.iter().any(serves) { self.keyring.clone() } else { Keyring::anonymous() }
    }

    /// The whole, for who asks as the operator.
    pub fn to_operator(&self) -> Keyring {
        self.keyring.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, key: &str, text: &str) -> (Keyring, Vec<String>) {
        let data = BTreeMap::from([(key.to_owned(), text.as_bytes().to_vec())]);
        let (keyring, warnings) = Keyring::from_pull_secret(&PullSecret { name: "mine", kind, data: &data });
        (keyring, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_types_are_read() {
        let entry = r#"{"quay.io": {"username": "u", "password": "p"}}"#;
        let table = [
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", format!(r#"{{"auths": {entry}}}"#)),
            ("kubernetes.io/dockercfg", ".dockercfg", entry.to_owned()),
        ];
        for (kind, key, text) in table {
            let (keyring, warnings) = read(kind, key, &text);
            assert_eq!((format!("{keyring:?}").as_str(), warnings.len()), (r#"["quay.io"]"#, 0), "{kind}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_and_the_rest_is_used() {
        let json = "kubernetes.io/dockerconfigjson";
        let half = r#"{"auths": {"quay.io": {"username": "u", "password": "p"}, "ghcr.io": {"auth": "%%secret%%"}}}"#;
        let table = [
            ("Opaque", ".dockerconfigjson", "{}", "[]", "type"),
            (json, "config.json", "{}", "[]", ".dockerconfigjson"),
            (json, ".dockerconfigjson", "secret", "[]", "JSON object"),
            (json, ".dockerconfigjson", r#"{"auths": ["secret"]}"#, "[]", "JSON object"),
            (json, ".dockerconfigjson", half, r#"["quay.io"]"#, "in part: auths[\"ghcr.io\"]"),
        ];
        for (kind, key, text, expected, warning) in table {
            let (keyring, warnings) = read(kind, key, text);
            assert_eq!(format!("{keyring:?}"), expected, "{text}");
            let [only] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert!(only.contains(warning) && only.contains("mine") && !only.contains("secret%"), "{only}");
        }
    }

    #[test]
    fn the_operators_own_is_for_whom_it_is_granted() {
        let config = br#"{"auths": {"quay.io": {"username": "u", "password": "p"}}}"#;
        let of = |namespaces: &[&str]| {
            let namespaces = namespaces.iter().map(|text| (*text).to_owned()).collect();
            Granted::new(Keyring::from_docker_config(config).unwrap(), None, namespaces)
        };
        let table: &[(&[&str], &str, bool)] = &[
            (&[], "team-a", false),
            (&["team-a"], "team-a", true),
            (&["team-a"], "team-ab", false),
            (&["team-*"], "team-b", true),
            (&["x", "*"], "anything", true),
        ];
        for (namespaces, namespace, expected) in table {
            let granted = of(namespaces).to_namespace(namespace);
            assert_eq!(format!("{granted:?}") == r#"["quay.io"]"#, *expected, "{namespaces:?} {namespace}");
        }
    }
}
