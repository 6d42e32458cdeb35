//! Events (`events.k8s.io/v1`) on the objects that people look at: what `kubectl describe` and `kubectl get events` show.
//!
//! An Event is a courtesy: it is rate-limited, it may be lost, and nothing ever waits for one. Only tasks beside the
//! admissions have a [`Recorder`]; an admission has none, so the API server's `dryRun` causes no side effect here.

mod series;

use std::collections::HashSet;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event as Written, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::{Duration, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use series::{Series, Write};

use crate::metrics::Declare as _;

/// Events that wait to be written; what comes on top is dropped and counted.
const QUEUE: usize = 64;

/// How long one Event may take to be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether repetitions are due to be written.
const TICK: Duration = Duration::from_secs(5);

/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// `reportingController`.
const CONTROLLER: &str = "emissary-webhook.io/emissary-webhook";

/// Where Events on objects without a namespace are written: the API server takes them nowhere else.
const CLUSTER_SCOPED: &str = "default";

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Such as `v1` or `admissionregistration.k8s.io/v1`.
    pub api_version: &'static str,
    /// Such as `ConfigMap`.
    pub kind: &'static str,
    /// `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`, without which `kubectl describe` does not find the Event.
    pub uid: Option<String>,
}

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody ought to look.
    Warning,
}

/// Something that happened to an object. The same again is one more in the series of the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// The object.
    pub regarding: Regarding,
    /// How grave it is.
    pub severity: Severity,
    /// Why, in one `PascalCase` word for machines, such as `InvalidImageIndex`.
    pub reason: &'static str,
    /// What was being done, in the same form, such as `Load`.
    pub action: &'static str,
    /// The same for people, and what mends it. Clipped at 1 KiB. Whoever may read the namespace's Events reads it: no
    /// secrets.
    pub note: String,
}

/// What the recorder counts.
#[derive(Debug, Clone, Default)]
pub struct EventMetrics {
    written: Counter,
    dropped: Counter,
    failed: Counter,
}

impl EventMetrics {
    /// Declares the metrics in `registry`, under whatever prefix it has.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            written: registry.declare("events_written", "Events written to the API server"),
            dropped: registry.declare("events_dropped", "Events that were not written because there were too many"),
            failed: registry
                .declare("events_failed", "Events that the API server did not take, as when it is forbidden"),
        }
    }
}

/// Takes Events and has them written by a task of its own. Cloning gives another handle to the same task.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    metrics: EventMetrics,
}

impl Recorder {
    /// Starts the task, which ends with `cancel`. `instance` tells replicas apart: the pod's name.
    pub fn start(
        client: Client,
        instance: String,
        metrics: EventMetrics,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        let writer =
            Writer { client, series: Series::new(instance), metrics: metrics.clone(), refused: HashSet::new() };
        tracker.spawn(async move {
            cancel.run_until_cancelled(writer.run(queued)).await;
        });
        Self { queue, metrics }
    }

    /// Has an Event written, soon and perhaps. Never waits.
    pub fn record(&self, mut event: Event) {
        clip(&mut event.note);
        if self.queue.try_send(event).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

/// Cuts a note to what the API server takes, between two characters.
fn clip(note: &mut String) {
    const MORE: &str = " …";
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - MORE.len()));
        note.push_str(MORE);
    }
}

struct Writer {
    client: Client,
    series: Series,
    metrics: EventMetrics,
    /// The namespaces in which we may not write, each of which has been logged.
    refused: HashSet<String>,
}

impl Writer {
    async fn run(mut self, mut queued: mpsc::Receiver<Event>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = queued.recv() => {
                    let Some(event) = event else { return };
                    match self.series.take(event, Timestamp::now()) {
                        Ok(Some(write)) => self.write(write).await,
                        Ok(None) => {}
                        Err(series::TooMany) => { self.metrics.dropped.inc(); }
                    }
                }
                _ = ticks.tick() => {
                    for write in self.series.due(Timestamp::now()) {
                        self.write(write).await;
                    }
                }
            }
        }
    }

    async fn write(&mut self, write: Write) {
        let namespace = write.event.regarding.namespace.as_deref().unwrap_or(CLUSTER_SCOPED);
        let api: Api<Written> = Api::namespaced(self.client.clone(), namespace);
        let written = async {
            if write.count == 1 {
                return api.create(&PostParams::default(), &self.series.first(&write)).await.map(drop);
            }
            let series = EventSeries { count: write.count, last_observed_time: MicroTime(write.last) };
            let patch = serde_json::json!({ "series": series });
            api.patch(&write.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
        };
        let Ok(written) = timeout(PATIENCE, written).await else {
            tracing::debug!(namespace, "an Event took too long to be written");
            return self.lost(&write);
        };
        match written {
            Ok(()) => {
                self.metrics.written.inc();
                self.refused.remove(namespace);
            }
            Err(error) => {
                self.refused(namespace, &error);
                self.lost(&write);
            }
        }
    }

    /// The next of its kind begins a new series: that of this one may have expired, or never have begun.
    fn lost(&mut self, write: &Write) {
        self.metrics.failed.inc();
        self.series.forget(&write.event);
    }

    /// Says once a namespace that Events may not be written there.
    fn refused(&mut self, namespace: &str, error: &kube::Error) {
        let forbidden = matches!(error, kube::Error::Api(status) if status.is_forbidden());
        if forbidden && self.refused.insert(namespace.to_owned()) {
            tracing::warn!(
                namespace,
                "Events may not be written here: grant create and patch on events.events.k8s.io to see them on objects"
            );
        } else {
            tracing::debug!(namespace, error = error as &dyn std::error::Error, "an Event was not written");
        }
    }
}

/// A reference as the API has it.
impl From<&Regarding> for ObjectReference {
    fn from(regarding: &Regarding) -> Self {
        let Regarding { api_version, kind, namespace, name, uid } = regarding;
        Self {
            api_version: Some((*api_version).to_owned()),
            kind: Some((*kind).to_owned()),
            namespace: namespace.clone(),
            name: Some(name.clone()),
            uid: uid.clone(),
            ..Self::default()
        }
    }
}

/// The metadata of an Event.
fn metadata(regarding: &Regarding, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(regarding.namespace.clone().unwrap_or_else(|| CLUSTER_SCOPED.to_owned())),
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NOTE, clip};

    #[test]
    fn a_long_note_is_clipped_between_characters() {
        for (unit, count) in [("a", 1024), ("a", 1025), ("ü", 600), ("…", 400), ("", 0)] {
            let note = unit.repeat(count);
            let mut clipped = note.clone();
            clip(&mut clipped);
            assert!(clipped.len() <= LONGEST_NOTE, "{unit}: {}", clipped.len());
            assert_eq!(clipped == note, note.len() <= LONGEST_NOTE);
            assert!(clipped == note || clipped.ends_with(" …") && clipped.len() > LONGEST_NOTE - 4, "{clipped}");
        }
    }
}
