//! One of many: a `coordination.k8s.io` Lease that at most one replica holds.
//!
//! As Kubernetes' own controllers do it: the holder renews; another takes over when the record has not changed for as long
//! as it promises. How long is measured by the watcher's own clock from when it saw the record change, so clocks need
//! not agree. A holder gives up before others may take over, and at its end it lets go.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::MANAGER;
use super::events::{Event, Recorder, Regarding, Severity};
use crate::metrics::Declare as _;

/// `leaseDurationSeconds`: how long after its last sign of life a holder is given up.
const DURATION: Duration = Duration::from_secs(15);

/// How long after it began its last renewal a holder stops to be one. What it then still has under way ends before
/// [`DURATION`].
const RELIANCE: Duration = Duration::from_secs(10);

/// How often the holder renews, and others look.
const PERIOD: Duration = Duration::from_secs(3);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which Lease, and as whom.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `holderIdentity`: another for each process.
    pub identity: String,
}

/// What is counted of it.
#[derive(Debug, Clone, Default)]
pub struct LeaseMetrics {
    held: Gauge,
    failures: Counter,
}

impl LeaseMetrics {
    /// Declares the metrics in `registry`, under whatever prefix it has.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            held: registry.declare("lease_held", "Whether this replica writes certificate and caBundle"),
            failures: registry.declare(
                "lease_failures",
                "Times that the Lease could not be looked at or written, as where that is forbidden",
            ),
        }
    }
}

/// Whether this process holds the Lease. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Lease {
    until: watch::Receiver<Option<Instant>>,
    told: watch::Receiver<String>,
}

impl Lease {
    /// Starts to compete for the Lease, until `cancel`.
    pub fn start(
        client: Client,
        options: LeaseOptions,
        metrics: LeaseMetrics,
        recorder: Recorder,
        tracker: &TaskTracker,
        cancel: CancellationToken,
    ) -> Self {
        let (until, receiver) = watch::channel(None);
        let (tell, told) = watch::channel("not looked at yet".to_owned());
        let candidate = Candidate {
            api: Api::namespaced(client, &options.namespace),
            options,
            observed: None,
            until,
            tell,
            metrics,
            recorder,
            problem: None,
        };
        tracker.spawn(candidate.run(cancel));
        Self { until: receiver, told }
    }

    /// Whether the Lease is held at this moment, and will be for some seconds unless it is let go.
    pub fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Returns when it was renewed, taken or lost.
    pub async fn changed(&mut self) {
        if self.until.changed().await.is_err() {
            // Nobody competes any more.
            std::future::pending::<()>().await;
        }
    }

    /// Who holds it, or why that is not known and what mends it: for people, to read or to wait on.
    pub fn told(&self) -> watch::Receiver<String> {
        self.told.clone()
    }
}

/// What to do about a record.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// There is none: make it.
    Create,
    /// It is ours: say so again.
    Renew,
    /// Nobody holds it, or not any more.
    Take,
    /// It is another's.
    Leave,
}

#[derive(Debug)]
struct Observed {
    record: Record,
    /// When it was first seen as it is.
    since: Instant,
}

struct Candidate {
    api: Api<Record>,
    options: LeaseOptions,
    observed: Option<Observed>,
    until: watch::Sender<Option<Instant>>,
    tell: watch::Sender<String>,
    metrics: LeaseMetrics,
    recorder: Recorder,
    problem: Option<String>,
}

impl Candidate {
    async fn run(mut self, cancel: CancellationToken) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            let began = Instant::now();
            let tried = cancel.run_until_cancelled(timeout(PATIENCE, self.attempt(began))).await;
            match tried {
                None => break,
                Some(Ok(Ok(()))) => self.problem = None,
                Some(Ok(Err(error))) => self.failed(self.refused(&error)),
                Some(Err(_)) => self.failed("the API server did not answer in time".to_owned()),
            }
            if self.until.borrow().is_some_and(|until| Instant::now() >= until) {
                tracing::warn!(lease = self.options.name, "the lease is lost: it was not renewed in time");
                self.hold(None);
            }
            self.say();
        }
        self.let_go().await;
    }

    async fn attempt(&mut self, began: Instant) -> Result<(), kube::Error> {
        let is_holder = self.until.borrow().is_some();
        if !is_holder || self.observed.is_none() {
            let record = self.api.get_opt(&self.options.name).await?;
            self.observe(record, began);
        }
        let spec = self.observed.as_ref().map(|seen| (seen.record.spec.as_ref(), seen.since));
        let record = match decide(spec, &self.options.identity, began) {
            // An apply, because a Role can allow that for one name; and still without a holder, so that nobody's is taken.
            Move::Create => {
                let made = self
                    .api
                    .patch(&self.options.name, &PatchParams::apply(MANAGER), &Patch::Apply(self.empty()))
                    .await?;
                self.observe(Some(made), began);
                self.api.replace(&self.options.name, &PostParams::default(), &self.record()).await
            }
            Move::Renew | Move::Take => {
                self.api.replace(&self.options.name, &PostParams::default(), &self.record()).await
            }
            Move::Leave => {
                self.hold(None);
                return Ok(());
            }
        };
        match record {
            Ok(record) => {
                self.observe(Some(record), began);
                self.hold(Some(began + RELIANCE));
                Ok(())
            }
            // Another was faster: the next look says who.
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                self.observed = None;
                self.hold(None);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn observe(&mut self, record: Option<Record>, now: Instant) {
        let Some(record) = record else {
            self.observed = None;
            return;
        };
        let same = |seen: &Observed| seen.record.metadata.resource_version == record.metadata.resource_version;
        if !self.observed.as_ref().is_some_and(same) {
            self.observed = Some(Observed { record, since: now });
        }
    }

    /// A record that nobody holds.
    fn empty(&self) -> Record {
        let LeaseOptions { namespace, name, identity: _ } = &self.options;
        Record {
            metadata: ObjectMeta {
                namespace: Some(namespace.clone()),
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        }
    }

    /// The record with us as its holder, over the one that was seen.
    fn record(&self) -> Record {
        let now = Some(MicroTime(Timestamp::now()));
        let identity = &self.options.identity;
        let mut record = self.observed.as_ref().map_or_else(|| self.empty(), |seen| seen.record.clone());
        let before = record.spec.take().unwrap_or_default();
        let ours = before.holder_identity.as_ref() == Some(identity);
        record.spec = Some(LeaseSpec {
            holder_identity: Some(identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if ours { before.acquire_time } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours))),
            ..LeaseSpec::default()
        });
        record
    }

    fn hold(&mut self, until: Option<Instant>) {
        let before = self.until.send_replace(until);
        self.metrics.held.set(i64::from(until.is_some()));
        if before.is_some() != until.is_some() {
            tracing::info!(lease = self.options.name, held = until.is_some(), "the lease has changed hands");
        }
    }

    /// Said once a problem. A holder stays one until its time is over.
    fn failed(&mut self, problem: String) {
        self.observed = None;
        self.metrics.failures.inc();
        if self.problem.as_ref() != Some(&problem) {
            let LeaseOptions { namespace, name, identity: _ } = &self.options;
            tracing::warn!(namespace, lease = name, problem, "cannot compete for the lease");
            let regarding = Regarding {
                api_version: "coordination.k8s.io/v1",
                kind: "Lease",
                namespace: Some(namespace.clone()),
                name: name.clone(),
                // It may not be there, or not for us to see.
                uid: None,
            };
            let (reason, action, note) = ("LeaseUnavailable", "Compete", problem.clone());
            self.recorder.record(Event { regarding, severity: Severity::Warning, reason, action, note });
            self.problem = Some(problem);
        }
    }

    /// What the API server did not let us do, and what mends it.
    fn refused(&self, error: &kube::Error) -> String {
        let LeaseOptions { namespace, name, identity: _ } = &self.options;
        match error {
            kube::Error::Api(status) if status.is_forbidden() => format!(
                "Lease {namespace}/{name} may not be kept: grant get, create, update and patch on \
                 leases.coordination.k8s.io named {name}"
            ),
            kube::Error::Api(status) => format!("Lease {namespace}/{name} cannot be kept: {}", status.message),
            _ => format!("Lease {namespace}/{name} cannot be kept: the API server is not to be reached"),
        }
    }

    fn say(&self) {
        let seen = self.observed.as_ref().and_then(|seen| seen.record.spec.as_ref()?.holder_identity.as_deref());
        let text = match (&self.problem, self.until.borrow().is_some(), seen) {
            (Some(problem), true, _) => format!("held here, for a moment yet: {problem}"),
            (Some(problem), false, _) => format!("certificate and caBundle are not kept from here: {problem}"),
            (None, true, _) => "held here".to_owned(),
            (None, false, Some(holder)) => format!("held by {holder}"),
            (None, false, None) => "held by nobody".to_owned(),
        };
        self.tell.send_if_modified(|told| {
            let differs = *told != text;
            if differs {
                *told = text;
            }
            differs
        });
    }

    /// So that another need not wait.
    async fn let_go(mut self) {
        if self.until.borrow().is_none() || self.observed.is_none() {
            return self.hold(None);
        }
        self.hold(None);
        let mut record = self.record();
        if let Some(spec) = &mut record.spec {
            (spec.holder_identity, spec.lease_duration_seconds) = (Some(String::new()), Some(1));
        }
        let parameters = PostParams::default();
        let written = self.api.replace(&self.options.name, &parameters, &record);
        if !matches!(timeout(PATIENCE, written).await, Ok(Ok(_))) {
            tracing::debug!(lease = self.options.name, "the lease could not be let go; it runs out");
        }
    }
}

/// `observed` is the record's spec, and since when it has been seen so.
fn decide(observed: Option<(Option<&LeaseSpec>, Instant)>, identity: &str, now: Instant) -> Move {
    let Some((spec, since)) = observed else { return Move::Create };
    let Some(LeaseSpec { holder_identity, lease_duration_seconds, .. }) = spec else { return Move::Take };
    let promised = lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let promised = promised.map_or(DURATION, Duration::from_secs);
    match holder_identity.as_deref() {
        Some(holder) if holder == identity => Move::Renew,
        None | Some("") => Move::Take,
        Some(_) if now.duration_since(since) > promised => Move::Take,
        Some(_) => Move::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_is_taken_only_when_it_is_free_or_abandoned() {
        let now = Instant::now();
        let spec = |holder: Option<&str>, seconds| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        let ago = |seconds| now - Duration::from_secs(seconds);
        for (what, spec, since, expected) in [
            ("ours", Some(spec(Some("us"), Some(15))), ago(0), Move::Renew),
            ("ours, and long silent", Some(spec(Some("us"), Some(15))), ago(100), Move::Renew),
            ("another's", Some(spec(Some("them"), Some(15))), ago(15), Move::Leave),
            ("another's, abandoned", Some(spec(Some("them"), Some(15))), ago(16), Move::Take),
            ("another's, without a promise", Some(spec(Some("them"), None)), ago(15), Move::Leave),
            ("another's, with a senseless promise", Some(spec(Some("them"), Some(-1))), ago(1), Move::Leave),
            ("let go", Some(spec(Some(""), Some(1))), ago(0), Move::Take),
            ("nobody's", Some(spec(None, None)), ago(0), Move::Take),
            ("empty", None, ago(0), Move::Take),
        ] {
            assert_eq!(decide(Some((spec.as_ref(), since)), "us", now), expected, "{what}");
        }
        assert_eq!(decide(None, "us", now), Move::Create);
    }
}
