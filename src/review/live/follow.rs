//! Policies in files that may change at any moment.

use super::Shared;
use crate::review::policies::Policies;
use crate::review::worker::{Stopped, Worker, WorkerError};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often is looked whether files have changed.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest wait until what failed is tried again.
const LONGEST: Duration = Duration::from_secs(300);
/// How many refused policies are named in the log.
const NAMED: usize = 20;

/// A file as it was: another content is another of these, however it came there. Not the content itself, since anything may stand
/// in the folder, and it is read by a process that may be stopped.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Starts the threads that judge once the policies are loaded for the first time, or cannot be; then loads them whenever they change.
pub(super) fn follow(shared: &Arc<Shared>) {
    let mut known = None;
    let mut is_started = false;
    // When to try again what failed, and how long to wait after that: a machine that is short of memory has more later.
    let mut again: Option<(Instant, Duration)> = None;
    while !shared.is_closed.load(Ordering::Relaxed) {
        let now = stamps(&shared.options.policies);
        let is_new = known.as_ref() != Some(&now);
        if is_new || again.is_some_and(|(at, _)| Instant::now() >= at) {
            let before = again.filter(|_| !is_new).map_or(PERIOD / 2, |(_, wait)| wait);
            let wait = (before * 2).min(LONGEST);
            again = (!load(shared, &now)).then(|| (Instant::now() + wait, wait));
            known = Some(now);
        }
        if !is_started {
            is_started = true;
            for at in 0..shared.slots.len() {
                let other = Arc::clone(shared);
                let thread = std::thread::Builder::new().name(format!("review-{at}"));
                let started = thread.spawn(move || {
                    if let Some(slot) = other.slots.get(at) {
                        other.judge(slot);
                    }
                });
                if let Err(error) = started {
                    tracing::error!(%error, "no thread can be started to review what dry runs see");
                }
            }
            if shared.options.policies.is_empty() {
                return;
            }
        }
        std::thread::sleep(PERIOD);
    }
}

fn stamps(paths: &[PathBuf]) -> Result<Vec<Stamp>, String> {
    let files = Policies::files(paths).map_err(|error| error.to_string())?;
    let stamp = |path: PathBuf| {
        let file = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Stamp {
            path,
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    };
    files.into_iter().map(stamp).collect()
}

/// Whether they are in effect.
fn load(shared: &Shared, now: &Result<Vec<Stamp>, String>) -> bool {
    if shared.options.policies.is_empty() {
        return true;
    }
    let loaded = match now {
        Ok(stamps) => start(shared, stamps.iter().map(|stamp| stamp.path.clone()).collect()),
        Err(why) => Err(WorkerError::Policies(why.clone())),
    };
    let is_invalid = loaded.is_err();
    match loaded {
        Ok(files) => tracing::info!(files, "policies loaded"),
        // What it was loaded before, if it was, stays.
        Err(error) => {
            let why = std::iter::successors(std::error::Error::source(&error), |error| error.source())
                .fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            tracing::warn!(why, "policies not in effect; those before stay");
        }
    }
    shared.metrics.invalid(is_invalid);
    !is_invalid
}

/// Loads the policies and hands them to the threads; how many files there are.
fn start(shared: &Shared, files: Vec<PathBuf>) -> Result<usize, WorkerError> {
    let options = &shared.options;
    let count = files.len();
    let worker = Worker::start(options.limits.clone(), files, options.assumed.clone(), Stopped::default())?;
    let native = Policies::of_native(&worker.ready.native, options.assumed.clone())
        .map_err(|error| WorkerError::Policies(error.to_string()))?;
    let (refusals, stopped) = (&worker.ready.refusals, worker.stopped());
    for refusal in refusals.iter().take(NAMED) {
        tracing::warn!(place = refusal.place, policy = refusal.policy, why = refusal.why, "a policy judges nothing");
    }
    if refusals.len() > NAMED {
        tracing::warn!(others = refusals.len() - NAMED, "further policies judge nothing");
    }
    for (file, why) in &stopped {
        tracing::warn!(file, why, "a file of policies cannot be loaded within the limits");
    }
    shared.metrics.not_in_effect(refusals.len(), stopped.len());
    let has_programs = worker.ready.has_programs || !stopped.is_empty();
    let mut workers: Vec<Option<Worker>> = match has_programs {
        true => (1..shared.slots.len()).map(|_| Some(worker.another())).collect(),
        false => shared.slots.iter().skip(1).map(|_| None).collect(),
    };
    workers.push(has_programs.then_some(worker));
    shared.native.store(Arc::new(native));
    for (slot, worker) in shared.slots.iter().zip(workers) {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
    }
    Ok(count)
}
