use crate::{Failure, Layer, Resolved};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Registries that are counted apart. Who lists more has them counted together with what nobody listed.
const MOST_REGISTRIES: usize = 100;

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

/// The same for each registry that the operator has named. Strangers name the others, and as many as they like; those are
/// counted together.
pub(crate) struct ByRegistry {
    named: ArcSwap<BTreeMap<Arc<str>, Arc<Counters>>>,
    other: Counters,
}

impl ByRegistry {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let by_registry = Self { named: ArcSwap::default(), other: Counters::default() };
        by_registry.name(names);
        by_registry
    }

    /// Replaces the names. What was counted of one that stays is kept.
    pub(crate) fn name(&self, names: impl IntoIterator<Item = String>) {
        let before = self.named.load();
        let kept = |name: &str| before.get(name).cloned().unwrap_or_default();
        let named = names.into_iter().take(MOST_REGISTRIES).map(|name| (name.as_str().into(), kept(&name))).collect();
        self.named.store(Arc::new(named));
    }

    pub(crate) fn count(&self, registry: &str, outcome: Result<&Resolved, &Failure>, way: Way) {
        self.named.load().get(registry).map_or(&self.other, |counters| &**counters).count(outcome, way);
    }

    /// Each name, and none for all others.
    pub(crate) fn counts(&self) -> Vec<(Option<Arc<str>>, Counts)> {
        let named = self.named.load();
        let named = named.iter().map(|(name, counters)| (Some(Arc::clone(name)), counters.counts()));
        named.chain([(None, self.other.counts())]).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_registries_are_counted_together() {
        let by_registry = ByRegistry::new(["a.example".to_owned(), "b.example:5000".to_owned()]);
        let failure = || Err(&Failure::NotFound);
        for registry in ["a.example", "x.example", "y.example", "b.example"] {
            by_registry.count(registry, failure(), Way::Started);
        }
        let failed = || -> Vec<(Option<String>, u64)> {
            let counts = by_registry.counts().into_iter();
            counts.map(|(name, counts)| (name.map(|name| name.to_string()), counts.failed)).collect()
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(failed(), [(named("a.example"), 1), (named("b.example:5000"), 0), (None, 3)]);
        by_registry.name(["a.example".to_owned()]);
        by_registry.count("b.example:5000", failure(), Way::Started);
        assert_eq!(failed(), [(named("a.example"), 1), (None, 4)]);
        by_registry.name((0..1000).map(|n| format!("{n}.example")));
        assert_eq!(failed().len(), MOST_REGISTRIES + 1);
    }
}
