//! ConfigMaps that reach the settings at run time, from whoever watches the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// A ConfigMap's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

/// `argo/image-index`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a ConfigMap holds (Kubernetes API, `v1.ConfigMap`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ConfigMap {
    /// `data`.
    pub data: BTreeMap<String, String>,
    /// `binaryData`, out of its Base64; what is compressed still is.
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

/// What a ConfigMap is to the settings. The order is that in which index entries are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The operator's image index.
    Index,
    /// Further entries of the operator's, by label.
    Labelled,
    /// The shipped entries, in place of those that the program carries.
    Defaults,
    /// The configuration of a workflow controller.
    Controller,
    /// A namespace's own image index.
    Namespace,
}

impl Role {
    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Index | Self::Labelled => "index",
            Self::Defaults => "defaults",
            Self::Controller => "controller",
            Self::Namespace => "namespace",
        }
    }
}

/// What has changed since the settings were last composed: for each ConfigMap its newest content, or that it is gone.
pub(super) type Changes = BTreeMap<(Role, ObjectName), Option<ConfigMap>>;

/// Where ConfigMaps are handed in. Cloning gives another end of the same.
///
/// Of several versions of one ConfigMap that come faster than they are composed only the last is looked at.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    pending: Mutex<Pending>,
    wake: Notify,
    composed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pending {
    changes: Changes,
    /// How many changes were ever handed in.
    count: u64,
}

impl Default for Feed {
    fn default() -> Self {
        let (composed, _) = watch::channel(0);
        Self(Arc::new(Queue { pending: Mutex::default(), wake: Notify::new(), composed }))
    }
}

impl Feed {
    /// A ConfigMap that is new or has changed.
    pub fn put(&self, role: Role, object: ObjectName, map: ConfigMap) {
        self.change(role, object, Some(map));
    }

    /// A ConfigMap that is gone: so is what it said.
    pub fn remove(&self, role: Role, object: ObjectName) {
        self.change(role, object, None);
    }

    /// Returns when all that was handed in before is in effect or reported.
    pub async fn composed(&self) {
        let count = self.pending().count;
        // The sender is ours, so it cannot be gone.
        let _ = self.0.composed.subscribe().wait_for(|composed| *composed >= count).await;
    }

    fn change(&self, role: Role, object: ObjectName, map: Option<ConfigMap>) {
        let mut pending = self.pending();
        pending.changes.insert((role, object), map);
        pending.count += 1;
        drop(pending);
        self.0.wake.notify_one();
    }

    /// Returns when something was handed in since it last returned.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// Everything that has not been taken, and the number to give to [`done`](Self::done) when it is composed.
    pub(super) fn take(&self) -> (Changes, u64) {
        let mut pending = self.pending();
        (std::mem::take(&mut pending.changes), pending.count)
    }

    pub(super) fn done(&self, count: u64) {
        self.0.composed.send_replace(count);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
