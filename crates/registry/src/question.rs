use crate::Keyring;
use emissary_core::image::{Digest, ImageProcess, Platform, Reference};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What to look up.
#[derive(Debug, Clone)]
pub struct Question {
    /// The image.
    pub reference: Reference,
    /// The platforms of the nodes that may run it; none means all that the image offers.
    pub platforms: Vec<Platform>,
    /// The credentials that may be used.
    pub keyring: Keyring,
    /// How old an answer may be.
    pub freshness: Freshness,
    /// Among whom a registry's time is shared fairly: the namespace of the pod. Who may see what goes by credential alone.
    pub namespace: Arc<str>,
    /// Whether it can wait for others.
    pub priority: Priority,
}

impl Question {
    /// Asks for all platforms, without credentials, within the TTL, for no namespace, at normal priority.
    pub fn new(reference: Reference) -> Self {
        Self {
            reference,
            platforms: Vec::new(),
            keyring: Keyring::anonymous(),
            freshness: Freshness::Ttl,
            namespace: Arc::default(),
            priority: Priority::Normal,
        }
    }

    /// Asks for these platforms only.
    pub fn with_platforms(self, platforms: Vec<Platform>) -> Self {
        Self { platforms, ..self }
    }

    /// Asks with these credentials.
    pub fn with_keyring(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
    }

    /// Asks for an answer no older than this.
    pub fn with_freshness(self, freshness: Freshness) -> Self {
        Self { freshness, ..self }
    }

    /// Asks on behalf of a namespace.
    pub fn with_namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Asks with this priority.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }
}

/// How old an answer for a tag may be. What a digest names never changes, so it plays no part there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Freshness {
    /// [`Options::ttl`](crate::Options::ttl): a node may have an old image too (pull policies `IfNotPresent` and `Never`).
    #[default]
    Ttl,
    /// [`Options::always_ttl`](crate::Options::always_ttl): every node asks the registry (pull policy `Always`).
    Always,
}

/// Who goes first where many wait for one registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// Namespaces in turns.
    #[default]
    Normal,
    /// When nobody else waits: prefetch and dry runs.
    Low,
}

/// What a registry says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What the reference names: an index's digest or a manifest's.
    pub digest: Digest,
    /// The platforms that the image states, in its order, without attestations and the like. Empty where a single manifest
    /// states none.
    pub offered: Vec<Platform>,
    /// For each wanted platform that is offered, or for all that are: the manifest's digest and what it runs.
    ///
    /// A single manifest stands here for every wanted platform even if it states another, since every node gets it.
    pub processes: Vec<(Platform, Digest, ImageProcess)>,
    /// When the registry last said that the reference names this digest; for a digest, when it last let us see it.
    pub checked_at: SystemTime,
    /// How long ago that was when the answer was given.
    pub age: Duration,
    /// Where the answer is from.
    pub layer: Layer,
}

impl Resolved {
    /// Whether it is older than it may be, given because the registry does not answer. Callers warn.
    pub fn is_stale(&self) -> bool {
        self.layer == Layer::Stale
    }
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Memory, and no request.
    Hit,
    /// Memory, after the registry had confirmed the digest and the credential.
    Revalidated,
    /// The registry.
    Fetched,
    /// Memory, older than it may be, since the registry does not answer.
    Stale,
}

impl Layer {
    /// One word, for logs and as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Fetched => "fetched",
            Self::Stale => "stale",
        }
    }
}
