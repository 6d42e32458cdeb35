//! Credentials that are tried together: the more specific path first.

use super::{KeyringError, credential::Credential};
use crate::glob::glob;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Credentials by pattern, sorted as the kubelet sorts them.
#[derive(Default)]
pub(crate) struct Tier(Vec<Arc<Entry>>);

struct Entry {
    pattern: Pattern,
    credential: Credential,
}

/// `HOST[:PORT][/PATH]`, where `*` and `?` within a label of the host stand for any text and any character.
pub(crate) struct Pattern {
    text: String,
    host: String,
    port: String,
    path: String,
}

impl Tier {
    /// Reads what `auths` holds. Entries that are malformed are left out and told.
    ///
    /// Of an entry, `identitytoken` counts, else `auth` (base64 of `USER:PASSWORD`), else `username` and `password`.
    pub(crate) fn parse(auths: &Map<String, Value>) -> (Self, Vec<KeyringError>) {
        let mut entries = Vec::with_capacity(auths.len());
        let mut problems = Vec::new();
        for (host, value) in auths {
            let fault = |fault| KeyringError::Entry { host: host.clone(), fault };
            let Some(pattern) = Pattern::parse(host) else {
                problems.push(fault("the key is no HOST[:PORT][/PATH]"));
                continue;
            };
            match Credential::parse(value) {
                Ok(Some(credential)) => entries.push(Arc::new(Entry { pattern, credential })),
                Ok(None) => {
                    tracing::warn!(host, "an entry of a docker config has no user name and password, it is ignored");
                }
                Err(why) => problems.push(fault(why)),
            }
        }
        (Self::sorted(entries), problems)
    }

    /// Several as one; of two entries with one pattern the earlier tier's goes first.
    pub(super) fn merged<'a>(tiers: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::sorted(tiers.into_iter().flat_map(|tier| tier.0.iter().map(Arc::clone)).collect())
    }

    fn sorted(mut entries: Vec<Arc<Entry>>) -> Self {
        // The kubelet's order: so a longer path goes before what it starts with.
        entries.sort_by(|a, b| b.pattern.text.cmp(&a.pattern.text));
        Self(entries)
    }

    /// What matches a repository, in the order in which it is to be tried.
    pub(crate) fn credentials(&self, registry: &str, repository: &str) -> impl Iterator<Item = &Credential> {
        let matches = |entry: &&Arc<Entry>| entry.pattern.matches(registry, repository);
        let found: Vec<&Arc<Entry>> = self.0.iter().filter(matches).collect();
        // Docker's own name for its hub, which the kubelet takes where nothing else matches.
        let fallback = found.is_empty() && registry == "docker.io";
        let hub = self.0.iter().filter(move |entry| fallback && entry.pattern.text == "index.docker.io");
        found.into_iter().chain(hub).map(|entry| &entry.credential)
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.pattern.text.as_str())
    }
}

impl Pattern {
    pub(crate) fn parse(key: &str) -> Option<Self> {
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

    /// As the kubelet's `URLsMatch`: label by label, the same port, and a path that begins so.
    pub(crate) fn matches(&self, registry: &str, repository: &str) -> bool {
        let (host, port) = split_port(registry);
        let path_matches = match self.path.strip_prefix('/') {
            None => true,
            Some(path) => repository.starts_with(path),
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
