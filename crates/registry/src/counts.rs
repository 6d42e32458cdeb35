use crate::{Failure, Layer, Resolved};
use std::sync::atomic::{AtomicU64, Ordering};

/// How questions were answered since the start, each once, and what is remembered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// From memory at once.
    pub hit: u64,
    /// Confirmed by the registry with one request, the rest from memory.
    pub revalidated: u64,
    /// Fetched.
    pub fetched: u64,
    /// From memory although too old, since the registry did not answer.
    pub stale: u64,
    /// With a failure that was remembered.
    pub negative: u64,
    /// With a failure of a look-up.
    pub failed: u64,
    /// With a failure because the registry is left alone for failing too often.
    pub breaker_open: u64,
    /// With a failure because too many wait.
    pub busy: u64,
    /// With a failure because the asker's deadline passed; the look-up went on.
    pub deadline: u64,
    /// Of all these, how many joined a look-up that somebody else had started.
    pub coalesced: u64,
    /// Contents remembered.
    pub contents: usize,
    /// Tags whose digest is remembered.
    pub tags: usize,
    /// Bytes that all of it takes.
    pub bytes: usize,
}

#[derive(Default)]
pub(crate) struct Counters {
    hit: AtomicU64,
    revalidated: AtomicU64,
    fetched: AtomicU64,
    stale: AtomicU64,
    negative: AtomicU64,
    failed: AtomicU64,
    breaker_open: AtomicU64,
    busy: AtomicU64,
    deadline: AtomicU64,
    coalesced: AtomicU64,
}

/// How an answer came about, where the answer itself does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Remembered,
    Started,
    Joined,
    GivenUp,
}

impl Counters {
    pub(crate) fn count(&self, outcome: Result<&Resolved, &Failure>, way: Way) {
        let counter = match (outcome.map(|resolved| resolved.layer), way) {
            (Ok(Layer::Hit), _) => &self.hit,
            (Ok(Layer::Revalidated), _) => &self.revalidated,
            (Ok(Layer::Fetched), _) => &self.fetched,
            (Ok(Layer::Stale), _) => &self.stale,
            (Err(_), Way::Remembered) => &self.negative,
            (Err(_), Way::GivenUp) => &self.deadline,
            (Err(Failure::LeftAlone), _) => &self.breaker_open,
            (Err(Failure::Busy), _) => &self.busy,
            (Err(_), _) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if way == Way::Joined {
            self.coalesced.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is remembered is the caller's to add.
    pub(crate) fn counts(&self) -> Counts {
        let Self { hit, revalidated, fetched, stale, negative, failed, breaker_open, busy, deadline, coalesced } = self;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            hit: read(hit),
            revalidated: read(revalidated),
            fetched: read(fetched),
            stale: read(stale),
            negative: read(negative),
            failed: read(failed),
            breaker_open: read(breaker_open),
            busy: read(busy),
            deadline: read(deadline),
            coalesced: read(coalesced),
            ..Counts::default()
        }
    }
}
