//! The wire around a mutation: an AdmissionReview in, an answer in time out.
//!
//! Codes exist only here. Argo tries a pod again after a 503 and takes a 422, an HTTP 500, a dropped connection or silence
//! as final (run against Argo 4.1.2): so what may pass later is a 503, what the user must mend a 422, and there is always
//! an answer, a bug included.

mod answer;
mod budget;
mod dry_run;
mod message;
mod metrics;
mod mode;
mod review;
mod route;
mod waiting;

pub use answer::Response;
pub use dry_run::DryRuns;
pub use metrics::Metrics;
pub use route::{recorded, report, routes};
pub use waiting::{Waiting, WaitingLimits};

use crate::mutation::{Asking, Facts, Kind, ObjectLabels, Rules, Subject, Surroundings, mutate};
use crate::review::{Around, Live, Seen, image_process};
use crate::settings::{self, Belonging, Mode, Snapshot};
use answer::Status;
use emissary_contract::label;
use emissary_core::lookup::{Answers, LookUp};
use emissary_core::object::{AdmissionRequest, ReviewError};
use emissary_core::outcome::{Outcome, Skip};
use emissary_registry::{Priority, Resolver};
use futures_util::FutureExt;
use jiff::Timestamp;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// What admissions are answered with.
pub struct Dependencies {
    /// The operator's decisions.
    pub settings: settings::Watch,
    /// Namespaces and credentials.
    pub surroundings: Arc<dyn Surroundings>,
    /// The registries.
    pub resolver: Resolver,
    /// How many admissions may wait for look-ups at once.
    pub waiting: Waiting,
    /// Where what dry runs find is noted.
    pub dry_runs: DryRuns,
    /// What says what policies would say of the pods that dry runs see; `None` where nobody asks.
    pub review: Option<Live>,
    /// Where admissions are counted.
    pub metrics: Metrics,
}

/// Answers admissions.
pub struct Admission {
    dependencies: Dependencies,
}

impl Admission {
    /// An admission with everything it needs.
    pub fn new(dependencies: Dependencies) -> Self {
        Self { dependencies }
    }

    /// Answers one AdmissionReview within `timeout`, which is the API server's own.
    ///
    /// # Errors
    /// [`ReviewError`] where the body has no uid that could be answered to.
    pub async fn answer(&self, body: &[u8], timeout: Duration) -> Result<Response, ReviewError> {
        let started = Instant::now();
        let request = AdmissionRequest::parse(body).inspect_err(|error| {
            self.dependencies.metrics.unreadable();
            tracing::warn!(%error, "not an admission");
        })?;
        let kind = Kind::of(&request.kind.group, &request.kind.kind);
        let span = tracing::info_span!(
            "admission",
            uid = %request.uid,
            kind = kind.name(),
            namespace = request.namespace.as_deref(),
            name = request.name.as_deref(),
            operation = %request.operation,
            dry_run = request.dry_run,
        );
        let deadline = started + budget::of(timeout);
        let response =
            AssertUnwindSafe(self.respond(&request, kind, body, deadline)).catch_unwind().instrument(span.clone());
        let response = response.await.unwrap_or_else(|_| {
            // The panic hook has written the message and the place.
            self.dependencies.metrics.panicked();
            span.in_scope(|| tracing::error!("an admission panicked"));
            Response::denied(
                &request.uid,
                Status::unavailable("emissary-webhook: internal error; see its log".to_owned()),
            )
        });
        self.dependencies.metrics.answered(kind, &response, started.elapsed());
        Ok(response)
    }

    async fn respond(&self, request: &AdmissionRequest<'_>, kind: Kind, body: &[u8], deadline: Instant) -> Response {
        let Dependencies { settings, surroundings, resolver, waiting, dry_runs, metrics, .. } = &self.dependencies;
        let Some(object) = request.object() else {
            return Response::allowed(&request.uid, Mode::Enforce, Outcome::Skip(Skip::Operation));
        };
        let subject = Subject {
            kind,
            operation: &request.operation,
            sub_resource: request.sub_resource.as_deref(),
            name: request.name.as_deref().filter(|name| !name.is_empty()),
            namespace: request.namespace.as_deref().filter(|namespace| !namespace.is_empty()),
            object,
            old_object: request.old_object(),
        };
        let snapshot = settings.snapshot();
        let mut facts: Facts = surroundings.facts(&subject);
        let mode = mode::effective(snapshot.settings.mode, &facts, &subject, snapshot.pod().overrides.mode);
        if mode == Mode::Off {
            return Response::allowed(&request.uid, mode, Outcome::Skip(Skip::OptedOut));
        }
        if kind == Kind::Pod
            && snapshot.depends_on_workflow_labels()
            && let (Some(namespace), Some(owner)) = (subject.namespace, subject.workflow_owner())
        {
            facts.workflow_labels = surroundings.workflow_labels(namespace, &owner).await;
        }
        let wait =
            |look_ups: &[&LookUp]| waiting.enter(subject.namespace.unwrap_or_default(), look_ups, body.len(), deadline);
        let asking = Asking {
            resolver: Some(resolver),
            keyring: &facts.keyring,
            namespace: subject.namespace.unwrap_or_default(),
            priority: if mode == Mode::Enforce { Priority::Normal } else { Priority::Low },
            deadline,
            wait: &wait,
        };
        let mut belonging = Belonging::Unasked;
        let rules = |labels: &ObjectLabels<'_>| {
            let instance = || labels.get(label::INSTANCE_ID);
            let decisions = snapshot.decisions(subject.namespace.unwrap_or_default(), instance);
            belonging = decisions.belonging;
            Rules { pod: decisions.pod, workflow: decisions.workflow, indexes: decisions.indexes }
        };
        match mutate(&subject, rules, &facts, asking).await {
            Ok((outcome, answers)) => {
                metrics.belongs(belonging, &outcome);
                log(&outcome, mode);
                // What the API server only tries out leaves no trace.
                if mode != Mode::DryRun || request.dry_run {
                    return Response::of(&request.uid, mode, outcome);
                }
                let noted = dry_runs.note(&subject, &outcome, Timestamp::now());
                let around = Around { namespace_labels: &facts.namespace_labels, outcome: &outcome };
                let seen = noted.filter(|_| kind == Kind::Pod).and_then(|noted| {
                    let (review, seen) = self.look(body, around, &snapshot, &answers, deadline)?;
                    Some((noted, review, seen))
                });
                let response = Response::of(&request.uid, mode, outcome);
                let Some((noted, review, seen)) = seen else { return response };
                let response = response.with_review(&seen.row);
                let (span, dry_runs, key) = (tracing::Span::current(), dry_runs.clone(), noted.key());
                review.submit(seen, key, move |row| span.in_scope(|| review::keep(&dry_runs, &noted, row)));
                response
            }
            Err(unreadable) => {
                tracing::warn!(error = %unreadable, "the object is not readable");
                Response::unreadable(&request.uid, mode, &unreadable)
            }
        }
    }

    /// What policies say of a pod, as far as it takes no time to know.
    fn look(
        &self,
        body: &[u8],
        around: Around<'_>,
        snapshot: &Snapshot,
        answers: &Answers,
        deadline: Instant,
    ) -> Option<(&Live, Seen)> {
        let review = self.dependencies.review.as_ref()?;
        let process = |image: &str| image_process(snapshot, answers, image);
        review.look(body, around, process, deadline).map(|seen| (review, seen))
    }
}

fn log(outcome: &Outcome, mode: Mode) {
    match outcome {
        Outcome::Skip(skip) => tracing::debug!(outcome = outcome.word(), reason = skip.word(), mode = mode.name()),
        Outcome::Unchanged(_) => tracing::debug!(outcome = outcome.word(), mode = mode.name()),
        Outcome::Rewrite(edits, findings) => tracing::info!(
            outcome = outcome.word(),
            mode = mode.name(),
            operations = edits.operations().len(),
            filled = findings.provenance.len(),
            warnings = findings.warnings.len(),
        ),
        Outcome::Denial(denial) => {
            tracing::info!(outcome = outcome.word(), mode = mode.name(), transient = denial.is_transient(), reason = %denial);
        }
    }
}
