use super::answer::Response;
use crate::mutation::Kind;
use crate::settings::Belonging;
use emissary_core::outcome::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// What is counted of admissions. All labels are words of ours, so their number is bounded.
#[derive(Debug, Clone)]
pub struct Metrics {
    answers: Family<Answered, Counter>,
    duration: Histogram,
    of_no_controller: Family<OfNoController, Counter>,
    unreadable: Counter,
    panics: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    kind: &'static str,
    mode: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNoController {
    reason: &'static str,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            answers: Family::default(),
            // 50 µs, what a warm admission takes, to 26 s, what the API server's longest timeout leaves.
            duration: Histogram::new(exponential_buckets(50e-6, 2.0, 20)),
            of_no_controller: Family::default(),
            unreadable: Counter::default(),
            panics: Counter::default(),
        };
        let Self { answers, duration, of_no_controller, unreadable, panics } = &metrics;
        registry.register("admissions", "Admissions answered", answers.clone());
        registry.register_with_unit(
            "admission_duration",
            "From the whole body to the answer",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "admissions_of_no_controller",
            "Objects of workflows for which the settings alone counted, since none or several of the controllers that they \
             name look at them",
            of_no_controller.clone(),
        );
        registry.register("admissions_unreadable", "Bodies that were no AdmissionReview", unreadable.clone());
        registry.register("admission_panics", "Admissions that ended in a bug and were answered 503", panics.clone());
        metrics
    }

    pub(super) fn answered(&self, kind: Kind, response: &Response, took: Duration) {
        let labels = Answered {
            kind: kind.name(),
            mode: response.mode().name(),
            outcome: response.outcome(),
            reason: response.reason(),
        };
        self.answers.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts an object that the webhook has something to do with, where whose it is is not clear. One that comes back the
    /// same (the API server asks again after its own plugins) is not counted twice.
    pub(super) fn belongs(&self, belonging: Belonging, outcome: &Outcome) {
        let reason = match belonging {
            Belonging::Unasked | Belonging::One => return,
            Belonging::Nobody => "none",
            Belonging::Several => "several",
        };
        if matches!(outcome, Outcome::Rewrite(..) | Outcome::Denial(_)) {
            self.of_no_controller.get_or_create(&OfNoController { reason }).inc();
        }
    }

    pub(super) fn unreadable(&self) {
        self.unreadable.inc();
    }

    pub(super) fn panicked(&self) {
        self.panics.inc();
    }
}
