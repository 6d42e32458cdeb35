//! One object by its name, followed. Its list and watch name the object, so that a Role with `resourceNames` suffices.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::Api;
use kube::runtime::watcher::{self, watch_object};
use kube::runtime::{WatchStreamExt as _, watcher::DefaultBackoff};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What is known of an object.
#[derive(Debug, Clone)]
pub(super) enum Seen<K> {
    /// Nothing yet: it is being looked for.
    Pending,
    /// Nothing, and why: forbidden, or the API server is away. What was known before may have changed since.
    Unknown(String),
    /// There is none.
    Absent,
    /// There it is.
    Present(Arc<K>),
}

/// Follows the object until `cancel`; `changed` is told of each change. A watch that fails is begun again, with pauses.
pub(super) fn follow<K>(
    api: Api<K>,
    name: String,
    changed: Arc<Notify>,
    tracker: &TaskTracker,
    cancel: CancellationToken,
) -> watch::Receiver<Seen<K>>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default,
{
    let (sender, receiver) = watch::channel(Seen::Pending);
    tracker.spawn(async move {
        let mut seen = pin!(watch_object(api, &name).backoff(DefaultBackoff::default()));
        while let Some(Some(seen)) = cancel.run_until_cancelled(seen.next()).await {
            match seen {
                Ok(Some(object)) => sender.send_replace(Seen::Present(Arc::new(object))),
                Ok(None) => sender.send_replace(Seen::Absent),
                // A watch ends now and then; only one that cannot be begun leaves us without knowledge.
                Err(watcher::Error::WatchError(_) | watcher::Error::WatchFailed(_)) => continue,
                Err(error) => sender.send_replace(Seen::Unknown(unknown::<K>(&name, &error))),
            };
            changed.notify_one();
        }
    });
    receiver
}

/// Why nothing is known, and what mends it.
fn unknown<K: kube::Resource>(name: &str, error: &watcher::Error) -> String
where
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let plural = K::plural(&K::DynamicType::default()).into_owned();
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) = error else {
        return format!("{kind} {name} cannot be watched: {error}");
    };
    match cause {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{kind} {name} may not be read: grant get, list and watch on {plural} named {name}")
        }
        kube::Error::Api(status) => format!("{kind} {name} cannot be read: {}", status.reason),
        _ => format!("{kind} {name} cannot be read: the API server is not to be reached"),
    }
}
