use super::case::Case;
use super::judges::Judge;
use super::record::doubt;
use crate::manifest::{Document, Problem};
use crate::review::candidate::Candidate;
use crate::review::policies::Assumed;
use crate::review::reviewer::{Row, parallel};
use crate::review::wire::Ready;
use crate::review::worker::{Limits, Stopped, Worker, WorkerError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// A case that a webhook has recorded.
#[derive(Debug)]
pub struct Recorded {
    case: Case,
    /// `engine policy` of what read something that the record leaves out.
    unclear: Vec<String>,
}

impl Recorded {
    /// Reads a document.
    ///
    /// # Errors
    /// A [`Problem`] where it is no record.
    pub fn of(document: Document) -> Result<Self, Problem> {
        let Document { place, value, .. } = document;
        let unclear = value.get("readsRedacted").and_then(Value::as_array).into_iter().flatten();
        let unclear = unclear.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { case: Case::parse(value, place)?, unclear })
    }

    /// The pod.
    pub fn candidate(&self) -> &Candidate {
        &self.case.candidate
    }
}

/// Judges recorded cases: nothing is looked up, and no pod is rewritten, since the record has what came of it.
#[derive(Debug)]
pub struct Replay {
    judges: Vec<Worker>,
}

impl Replay {
    /// With the policies of these files, by so many processes.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn new(
        limits: Limits,
        files: Vec<PathBuf>,
        assumed: Assumed,
        count: NonZeroUsize,
    ) -> Result<Self, WorkerError> {
        let first = Worker::start(limits, files, assumed, Stopped::default())?;
        let mut judges: Vec<Worker> = (1..count.get()).map(|_| first.another()).collect();
        judges.push(first);
        Ok(Self { judges })
    }

    /// What is known of the policies.
    pub fn ready(&self) -> Ready {
        self.judges.first().map(|judge| judge.ready.clone()).unwrap_or_default()
    }

    /// Files that could not be loaded and programs that had to be stopped, with the reasons.
    pub fn stopped(&self) -> BTreeMap<String, String> {
        self.judges.first().map(Worker::stopped).unwrap_or_default()
    }

    /// Judges a chunk; a row for each, in order.
    pub fn review(&mut self, cases: &[Recorded]) -> Vec<Arc<Row>> {
        parallel(&mut self.judges, cases.iter().collect(), |worker, Recorded { case, unclear }| {
            let mut row = Judge::There(worker).row(case, true);
            doubt(&mut row, unclear);
            Arc::new(row)
        })
    }
}
