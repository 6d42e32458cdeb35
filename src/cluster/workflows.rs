//! Labels of Workflows, for where they decide by which executor a pod is run (Argo up to 3.3, `containerRuntimeExecutors`).
//!
//! Watched from when they first decide anything, so that a cluster in which they never do pays nothing for them. A Workflow's
//! pods come right after it: an admission waits a moment for one that is not known yet, but only where it may still come.

use super::facts::within;
use super::objects::{self, Workflow};
use super::store::{Store, WhenForbidden};
use super::watch::{self, Dependencies, Handle, State, Target};
use crate::metrics::Declare as _;
use crate::mutation::{Labels, Owner};
use crate::settings;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long an admission waits for a Workflow that is not known yet.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// The Workflows that are known, by their labels.
pub(super) struct Workflows {
    store: Store<Workflow>,
    /// One for each namespace that is served, or one for all; none before they are needed.
    watches: OnceLock<Vec<(Option<String>, Handle)>>,
    waits: Family<Waited, Counter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waited {
    outcome: &'static str,
}

impl Workflows {
    /// None yet. What is counted is declared in `registry`.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "Pods whose executor depends on their Workflow's labels, by how those were found";
        let waits: Family<Waited, Counter> = registry.declare("workflow_waits", help);
        // From the start on: an alert asks for these before anything has gone wrong.
        for outcome in ["known", "waited", "unknown", "not-watched"] {
            drop(waits.get_or_create(&Waited { outcome }));
        }
        Self { store: Store::default(), watches: OnceLock::new(), waits }
    }

    /// Starts to watch them, if that has not been done yet.
    pub(super) fn watch(&self, cluster: &settings::Cluster, dependencies: &Dependencies) {
        self.watches.get_or_init(|| {
            let start = |namespace: Option<String>| {
                let target = Target { namespace: namespace.clone(), ..objects::WORKFLOWS };
                let sink = self.store.sink(objects::workflow, WhenForbidden::Keep);
                (namespace, watch::start(target, sink, dependencies))
            };
            within(cluster).into_iter().map(start).collect()
        });
    }

    /// Returns once they are known as far as they can be before somebody mends something.
    pub(super) async fn settled(&self) {
        for (_, handle) in self.watches.get().into_iter().flatten() {
            handle.clone().settled().await;
        }
    }

    /// Which of the watches are not in step, for people.
    pub(super) fn behind(&self) -> Vec<String> {
        let statuses = self.watches.get().into_iter().flatten().map(|(_, handle)| handle.status());
        statuses
            .filter(|status| !matches!(status.state, State::Synced { .. }))
            .map(|status| status.to_string())
            .collect()
    }

    /// The labels of a pod's Workflow; `None` where they are not known in time.
    pub(super) async fn labels(&self, namespace: &str, owner: &Owner) -> Option<Labels> {
        let count = |outcome| {
            self.waits.get_or_create(&Waited { outcome }).inc();
        };
        let until = Instant::now() + PATIENCE;
        let mut outcome = "known";
        loop {
            // Before looking, so that no change is missed.
            let changed = self.store.changed();
            let found = self.store.get(namespace, &owner.name).filter(|workflow| *workflow.uid == *owner.uid);
            if let Some(Workflow { labels, .. }) = found {
                count(outcome);
                return Some(labels);
            }
            if !self.may_come(namespace) {
                count("not-watched");
                return None;
            }
            outcome = "waited";
            if timeout_at(until, changed).await.is_err() {
                count("unknown");
                return None;
            }
        }
    }

    /// Whether a Workflow of this namespace that is not known may still become so.
    fn may_come(&self, namespace: &str) -> bool {
        let mut all = self.watches.get().into_iter().flatten();
        let of_namespace = all.find(|(scope, _)| scope.as_deref().is_none_or(|scope| scope == namespace));
        of_namespace
            .is_some_and(|(_, handle)| !matches!(handle.status().state, State::Forbidden { .. } | State::Absent { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::Fake;
    use crate::cluster::watch::Watches;
    use serde_json::{Value, json};

    const PATH: &str = "/apis/argoproj.io/v1alpha1/workflows";

    fn workflow(uid: &str) -> Value {
        json!({"metadata": {"namespace": "team-a", "name": "w", "uid": uid, "labels": {"e": "pns"}}})
    }

    fn owner(uid: &str) -> Owner {
        Owner { name: "w".to_owned(), uid: uid.to_owned() }
    }

    async fn watched(fake: &Fake) -> Workflows {
        let workflows = Workflows::new(&mut Registry::default());
        workflows.watch(&settings::Cluster::default(), &fake.dependencies(&Watches::default()).await);
        workflows.settled().await;
        workflows
    }

    fn counts(workflows: &Workflows) -> [u64; 4] {
        ["known", "waited", "unknown", "not-watched"]
            .map(|outcome| workflows.waits.get_or_create(&Waited { outcome }).get())
    }

    #[tokio::test]
    async fn one_that_comes_late_is_waited_for_but_not_long() {
        let fake = Fake::start().await;
        let workflows = watched(&fake).await;
        fake.put(PATH, workflow("first"));
        let began = Instant::now();
        assert!(workflows.labels("team-a", &owner("second")).await.is_none(), "a namesake of before is not it");
        assert!(began.elapsed() >= PATIENCE);
        let late = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            fake.put(PATH, workflow("second"));
        };
        let second = owner("second");
        let (labels, ()) = tokio::join!(workflows.labels("team-a", &second), late);
        assert_eq!(labels.as_deref(), Some([("e".to_owned(), "pns".to_owned())].as_slice()));
        assert!(workflows.labels("team-a", &owner("second")).await.is_some());
        assert_eq!(counts(&workflows), [1, 1, 1, 0]);
    }

    /// Every pod of such a cluster would come later for nothing.
    #[tokio::test]
    async fn one_that_cannot_come_is_not_waited_for() {
        let fake = Fake::start().await;
        fake.refuse(PATH, 403);
        let (refused, nobody) = (watched(&fake).await, Workflows::new(&mut Registry::default()));
        assert!(refused.behind()[0].contains("workflows forbidden (refused by the test)"), "{:?}", refused.behind());
        let began = Instant::now();
        for workflows in [&refused, &nobody] {
            assert!(workflows.labels("team-a", &owner("first")).await.is_none());
            assert_eq!(counts(workflows), [0, 0, 0, 1]);
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
}
