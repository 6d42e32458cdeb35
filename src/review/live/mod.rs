//! Review of what a running webhook sees.
//!
//! | when | what | how long |
//! |---|---|---|
//! | before the answer | [`Live::look`]: what needs no program, in this process | microseconds to a millisecond, by the pod's size |
//! | afterwards | [`Live::submit`]: everything, and whose doing it is, by threads that take from a bounded queue | as long as policies take |
//!
//! Policies that are programs run in processes of their own ([`worker`](super::worker)), and these are what reads the files of policies,
//! too: none of them costs an admission time, nor this process memory. `follow` loads them anew when they change.
//!
//! A [`Case`] is all that is known of an admission; one that was recorded is judged again without a cluster or a registry.

mod case;
mod follow;
mod judges;
mod metrics;
mod queue;
mod record;
mod redact;
mod replay;

pub use case::Around;
pub use metrics::Metrics as LiveMetrics;
pub use record::RecordOptions;
pub use replay::{Recorded, Replay};

use super::policies::{Assumed, LoadError, Policies};
use super::reviewer::Row;
use super::worker::{Limits, Worker};
use crate::manifest::Place;
use arc_swap::ArcSwap;
use case::Case;
use emissary_core::image::ImageProcess;
use judges::Judge;
use metrics::Loss;
use queue::{Next, Queue};
use record::Records;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a thread that judges waits for work before it looks for changed policies.
const LOOK: Duration = Duration::from_secs(1);

/// With what, and within which bounds.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Files and folders with policies.
    pub policies: Vec<PathBuf>,
    /// What no document says.
    pub assumed: Assumed,
    /// How processes are started that judge by programs, and how far they may go.
    pub limits: Limits,
    /// How many of them.
    pub processes: NonZeroUsize,
    /// The largest AdmissionReview that is looked at, in bytes.
    pub largest: usize,
    /// How many pods may wait to be judged.
    pub queued: usize,
    /// How many bytes they may take.
    pub queued_bytes: usize,
    /// Where reviewed pods are recorded, if they are.
    pub record: Option<RecordOptions>,
}

/// Reviews what admissions see. Clones share it.
#[derive(Clone)]
pub struct Live(Arc<Shared>);

struct Shared {
    options: LiveOptions,
    metrics: LiveMetrics,
    /// What judges without programs.
    native: ArcSwap<Policies>,
    queue: Queue<Job>,
    records: Option<Records>,
    /// For each thread what it is to judge with from now on.
    slots: Vec<Mutex<Option<Programs>>>,
    is_closed: AtomicBool,
}

/// With what a thread judges by programs; nothing where there are none.
type Programs = Option<Worker>;

/// What is done with a row.
type Then = Box<dyn FnOnce(&Row) + Send>;

struct Job {
    /// The case as JSON: parsed, it would take many times as much memory.
    case: String,
    /// What it is like, for records.
    key: String,
    then: Then,
}

/// A pod that was looked at before the answer.
#[derive(Debug)]
pub struct Seen {
    case: Case,
    /// What is known so far.
    pub row: Row,
}

impl Live {
    /// Starts the threads. Policies are loaded behind it: those that cannot be are logged and counted.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn start(options: LiveOptions, metrics: LiveMetrics) -> Result<Self, LiveError> {
        let native = Policies::of_native(&[], options.assumed.clone())?;
        let limits = queue::Limits { places: options.queued, bytes: options.queued_bytes };
        let records = match &options.record {
            Some(record) => {
                Some(Records::open(record.clone()).map_err(|error| LiveError::Record(record.folder.clone(), error))?)
            }
            None => None,
        };
        let slots = (0..options.processes.get()).map(|_| Mutex::new(None)).collect();
        let live = Self(Arc::new(Shared {
            metrics,
            native: ArcSwap::from_pointee(native),
            queue: Queue::new(limits),
            records,
            slots,
            is_closed: AtomicBool::new(false),
            options,
        }));
        let other = live.clone();
        std::thread::Builder::new().name("review-policies".to_owned()).spawn(move || follow::follow(&other.0))?;
        Ok(live)
    }

    /// Judges by what needs no program. `user` says as whom an image runs, if that is known. Nothing where the pod cannot be reviewed, which
    /// is counted.
    pub fn look(
        &self,
        body: &[u8],
        around: Around<'_>,
        user: impl Fn(&str) -> Option<ImageProcess>,
        deadline: Instant,
    ) -> Option<Seen> {
        let Shared { options, metrics, native, .. } = &*self.0;
        let lost = |loss| {
            metrics.lost(loss);
            None
        };
        if body.len() > options.largest {
            return lost(Loss::TooLarge);
        }
        if Instant::now() >= deadline {
            return lost(Loss::Late);
        }
        // A bug in here must not cost an admission.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let case = Case::of(body, around, user)?;
            let row = Judge::Here(&native.load()).row(&case, false);
            Ok::<_, crate::manifest::Problem>(Seen { case, row })
        }));
        match looked {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(problem)) => {
                tracing::debug!(%problem, "not reviewed");
                lost(Loss::Unreadable)
            }
            Err(_) => lost(Loss::Panic),
        }
    }

    /// Has it judged by everything, and then does something with what is said: at once, with what is known, where too many wait.
    /// `key` says what pods it is like; of those one is recorded.
    pub fn submit(&self, seen: Seen, key: String, then: impl FnOnce(&Row) + Send + 'static) {
        let Shared { metrics, queue, .. } = &*self.0;
        let Seen { case, row } = seen;
        let text = case.to_json().to_string();
        let job = Job { case: text, key, then: Box::new(then) };
        match queue.push(&case.candidate.namespace, job.case.len() + job.key.len(), job) {
            Ok(()) => metrics.queued(queue.len()),
            Err((loss, job)) => {
                metrics.lost(loss);
                metrics.judged(&row);
                (job.then)(&row);
            }
        }
    }

    /// The files of what was recorded, each a JSON document on a line.
    pub fn records(&self) -> Vec<PathBuf> {
        self.0.records.as_ref().map(Records::files).unwrap_or_default()
    }

    /// Judges nothing more.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
        self.0.queue.close();
    }
}

/// Why there is no review.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// What is assumed cannot be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No thread can be started.
    #[error("no thread can be started to review what dry runs see")]
    Thread(#[from] std::io::Error),
    /// The folder for records cannot be used.
    #[error("{}: nothing can be recorded there; mount a volume that the webhook may write to", .0.display())]
    Record(PathBuf, #[source] std::io::Error),
}

impl Shared {
    /// One thread: takes what waits, until the queue is closed.
    fn judge(&self, slot: &Mutex<Option<Programs>>) {
        let mut programs: Programs = None;
        loop {
            let next = self.queue.next(LOOK);
            if let Some(new) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                programs = new;
            }
            match next {
                Next::Closed => return,
                Next::Nothing => {}
                Next::This(job) => {
                    self.metrics.queued(self.queue.len());
                    let judged = catch_unwind(AssertUnwindSafe(|| self.judge_one(job, programs.as_mut())));
                    if judged.is_err() {
                        self.metrics.lost(Loss::Panic);
                        tracing::error!("a review panicked");
                    }
                }
            }
        }
    }

    fn judge_one(&self, job: Job, worker: Option<&mut Worker>) {
        let started = Instant::now();
        let Job { case, key, then } = job;
        let document = serde_json::from_str(&case).unwrap_or_default();
        let case = match Case::parse(document, Place::whole("admission")) {
            Ok(case) => case,
            Err(problem) => {
                tracing::warn!(%problem, "not reviewed");
                return self.metrics.lost(Loss::Unreadable);
            }
        };
        let native = self.native.load();
        let mut judge = worker.map_or_else(|| Judge::Here(&native), Judge::There);
        let before = judge.stopped();
        let row = judge.row(&case, true);
        let stopped = judge.stopped();
        for (what, why) in stopped.iter().filter(|(what, _)| !before.contains_key(*what)) {
            tracing::warn!(policy = what, why, "a policy ran away: it is unknown until the policies change");
        }
        if let Judge::There(worker) = &judge {
            self.metrics.not_in_effect(worker.ready.refusals.len(), stopped.len());
        }
        self.metrics.took(started.elapsed());
        self.metrics.judged(&row);
        then(&row);
        if let Some(records) = &self.records {
            let kept = records.keep(&key, &case, &row, &mut judge);
            self.metrics.kept(kept.inspect_err(|error| tracing::warn!(%error, "not recorded")).ok());
        }
    }
}
