use crate::metrics::Declare;
use crate::review::reviewer::Row;
use crate::review::verdict::{Verdict, worst};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is counted of reviews. All labels are words of ours, so their number is bounded.
#[derive(Debug, Clone)]
pub struct Metrics {
    verdicts: Family<Said, Counter>,
    duration: Histogram,
    dropped: Family<Dropped, Counter>,
    queued: Gauge,
    policies: Family<State, Gauge>,
    recorded: Counter,
    record_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Said {
    executor: &'static str,
    engine: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    reason: &'static str,
}

/// What policies are in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Why a pod is not reviewed, or not by every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is larger than the settings allow.
    TooLarge,
    /// It is not what an AdmissionReview of a pod is.
    Unreadable,
    /// The time for the answer is nearly over; judged afterwards only.
    Late,
    /// Too many wait.
    QueueFull,
    /// Too many of its namespace do.
    NamespaceFull,
    /// A bug.
    Panic,
}

impl Loss {
    const ALL: [Self; 6] =
        [Self::TooLarge, Self::Unreadable, Self::Late, Self::QueueFull, Self::NamespaceFull, Self::Panic];

    fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Unreadable => "unreadable",
            Self::Late => "late",
            Self::QueueFull => "queue-full",
            Self::NamespaceFull => "namespace-full",
            Self::Panic => "panic",
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            verdicts: registry.declare(
                "review_verdicts",
                "Pods of dry runs by the worst that an engine's policies say, as they are and as enforcing would make them",
            ),
            // 100 µs, what native engines take, to 100 s, more than the longest deadline of programs usually is.
            duration: registry.declare_seconds(
                "review_duration",
                "Judging one pod, after its answer",
                Histogram::new(exponential_buckets(100e-6, 4.0, 11)),
            ),
            dropped: registry.declare("review_dropped", "Pods of dry runs that were not reviewed in full"),
            queued: registry.declare("review_queued", "Pods that wait to be reviewed"),
            policies: registry.declare(
                "review_policies",
                "Policies that are not in effect: refused as a cluster would, stopped because they ran away, or invalid (1 where \
                 what the files have now cannot be loaded, so that what was before stays)",
            ),
            recorded: registry.declare("review_recorded", "Reviewed pods that were recorded"),
            record_failures: registry.declare("review_record_failures", "Reviewed pods that could not be recorded"),
        };
        // A series that begins with its first event has no increase for it.
        Loss::ALL.iter().for_each(|loss| _ = metrics.dropped.get_or_create(&Dropped { reason: loss.word() }));
        metrics.not_in_effect(0, 0);
        metrics.invalid(false);
        metrics
    }

    pub(super) fn lost(&self, loss: Loss) {
        self.dropped.get_or_create(&Dropped { reason: loss.word() }).inc();
    }

    /// Counts a pod, once for each executor and engine.
    pub(super) fn judged(&self, row: &Row) {
        for cell in row {
            let mut by_engine: BTreeMap<&'static str, Verdict> = BTreeMap::new();
            for judgement in &cell.judgements {
                let verdict = by_engine.entry(judgement.engine).or_insert(Verdict::Allowed);
                *verdict = worst([judgement]).max(*verdict);
            }
            for (engine, verdict) in by_engine {
                let said = Said { executor: cell.column.name(), engine, verdict: verdict.name() };
                self.verdicts.get_or_create(&said).inc();
            }
        }
    }

    /// Counts a pod that was recorded; `None` where it could not be.
    pub(super) fn kept(&self, is_new: Option<bool>) {
        match is_new {
            Some(true) => _ = self.recorded.inc(),
            Some(false) => {}
            None => _ = self.record_failures.inc(),
        }
    }

    /// How many wait now.
    pub(super) fn queued(&self, count: usize) {
        self.queued.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// How many policies are not in effect, by why.
    pub(super) fn not_in_effect(&self, refused: usize, stopped: usize) {
        for (state, count) in [("refused", refused), ("stopped", stopped)] {
            self.policies.get_or_create(&State { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Whether what the files have now cannot be loaded.
    pub(super) fn invalid(&self, is_invalid: bool) {
        self.policies.get_or_create(&State { state: "invalid" }).set(is_invalid.into());
    }
}
