//! How watches are doing: for readiness, metrics and whoever asks.

use super::Unreadable;
use super::read::Failure;
use crate::metrics::gauge;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch::{Receiver, Sender, channel};

/// How a watch is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The first list is not complete.
    Starting,
    /// What the API server has is known.
    Synced {
        /// Since when without a break.
        since: SystemTime,
    },
    /// We may not see these objects.
    Forbidden {
        /// What the API server said.
        why: String,
    },
    /// The API server has no such resource.
    Absent {
        /// What the API server said.
        why: String,
    },
    /// The API server does not answer; what is known of before stays in use.
    Failing {
        /// What happened.
        why: String,
    },
}

impl State {
    /// Whether waiting longer is no use: the list is complete, or somebody has to mend something.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Synced { .. } | Self::Forbidden { .. } | Self::Absent { .. })
    }

    /// A word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Synced { .. } => "synced",
            Self::Forbidden { .. } => "forbidden",
            Self::Absent { .. } => "absent",
            Self::Failing { .. } => "failing",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Synced { .. } => None,
            Self::Forbidden { why } | Self::Absent { why } | Self::Failing { why } => Some(why),
        }
    }
}

/// The words of [`State::word`].
const WORDS: [&str; 5] = ["starting", "synced", "forbidden", "absent", "failing"];

/// One watch at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What is watched.
    pub name: &'static str,
    /// Where: a namespace, an object, `NAMESPACE/OBJECT`; `None` is the whole cluster.
    pub scope: Option<String>,
    /// How it is doing.
    pub state: State,
    /// Whether a list was ever complete.
    pub known: bool,
    /// How many objects are kept.
    pub objects: usize,
    /// How many objects could not be used, since the start.
    pub unreadable: u64,
    /// How often listing or watching failed, since the start.
    pub failures: u64,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)?;
        if let Some(scope) = &self.scope {
            write!(formatter, " in {scope}")?;
        }
        write!(formatter, " {}", self.state.word())?;
        match self.state.why() {
            Some(why) => write!(formatter, " ({why})"),
            None => Ok(()),
        }
    }
}

/// All watches of a process. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Watches(Arc<Mutex<Vec<Receiver<Status>>>>);

impl Watches {
    pub(super) fn register(&self, name: &'static str, scope: Option<String>) -> (Reporter, Receiver<Status>) {
        let (sender, receiver) = channel(Status {
            name,
            scope,
            state: State::Starting,
            known: false,
            objects: 0,
            unreadable: 0,
            failures: 0,
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are of no interest any more.
        all.retain(|status| status.has_changed().is_ok());
        all.push(receiver.clone());
        (Reporter(sender), receiver)
    }

    /// How they are doing, in the order in which they were started.
    pub fn statuses(&self) -> Vec<Status> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|status| status.has_changed().is_ok()).map(|status| status.borrow().clone()).collect()
    }

    /// Returns once every watch that was started by now is settled ([`State::is_settled`]), and after `bound` in any
    /// case: who cannot reach the API server for a while still answers by what it has. Returns whether all are.
    pub async fn settled(&self, bound: Duration) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let each = async {
            for mut status in all {
                let _ = status.wait_for(|status| status.state.is_settled()).await;
            }
        };
        tokio::time::timeout(bound, each).await.is_ok()
    }
}

impl Collector for Watches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let statuses = self.statuses();
        let labels =
            |status: &Status| [("watch", status.name.to_owned()), ("scope", status.scope.clone().unwrap_or_default())];
        let help = "Objects of the API server that are kept, by watch";
        let mut family = encoder.encode_descriptor("watch_objects", help, None, MetricType::Gauge)?;
        for status in &statuses {
            gauge(status.objects).encode(family.encode_family(&labels(status))?)?;
        }
        let help = "Whether a watch is in this state";
        let mut family = encoder.encode_descriptor("watch_state", help, None, MetricType::Gauge)?;
        for status in &statuses {
            for word in WORDS {
                let [watch, scope] = labels(status);
                let labels = [watch, scope, ("state", word.to_owned())];
                gauge(usize::from(word == status.state.word())).encode(family.encode_family(&labels)?)?;
            }
        }
        let failures = statuses.iter().map(|status| status.failures).collect::<Vec<_>>();
        let unreadable = statuses.iter().map(|status| status.unreadable).collect::<Vec<_>>();
        let counts = [
            ("watch_failures", "Lists and watches that failed", failures),
            ("watch_unreadable", "Objects that could not be used", unreadable),
        ];
        for (name, help, counts) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (status, count) in statuses.iter().zip(counts) {
                ConstCounter::new(count).encode(family.encode_family(&labels(status))?)?;
            }
        }
        Ok(())
    }
}

/// How one watch says how it is doing.
pub(super) struct Reporter(Sender<Status>);

impl Reporter {
    pub(super) fn synced(&self, objects: usize) {
        self.0.send_if_modified(|status| {
            status.objects = objects;
            if matches!(status.state, State::Synced { .. }) {
                return false;
            }
            tracing::info!(watch = status.name, scope = status.scope, objects, "synced");
            status.known = true;
            status.state = State::Synced { since: SystemTime::now() };
            true
        });
    }

    /// After a change.
    pub(super) fn counted(&self, objects: usize) {
        self.0.send_if_modified(|status| {
            status.objects = objects;
            false
        });
    }

    pub(super) fn failed(&self, failure: &Failure, objects: usize) {
        let state = match failure {
            Failure::Forbidden(why) => State::Forbidden { why: why.clone() },
            Failure::Absent(why) => State::Absent { why: why.clone() },
            Failure::Gone => State::Failing { why: "the version is gone again and again".to_owned() },
            Failure::TooLarge => State::Failing { why: "an object is larger than what is read".to_owned() },
            Failure::Other(why) => State::Failing { why: why.clone() },
        };
        self.0.send_if_modified(|status| {
            (status.objects, status.failures) = (objects, status.failures + 1);
            let changed = status.state != state;
            if changed {
                let why = state.why();
                tracing::warn!(watch = status.name, scope = status.scope, why, "the watch is {}", state.word());
                status.state = state;
            }
            changed
        });
    }

    pub(super) fn unreadable(&self, namespace: &str, name: &str, unreadable: &Unreadable) {
        self.0.send_if_modified(|status| {
            status.unreadable += 1;
            tracing::warn!(watch = status.name, namespace, name, why = %unreadable, "an object is left out");
            false
        });
    }
}
