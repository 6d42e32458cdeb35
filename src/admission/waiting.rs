use crate::mutation::Leave;
use crate::settings;
use emissary_core::lookup::LookUp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// What an admission takes besides its body, or more: a connection's buffers, tasks.
const LEAST: usize = 32 << 10;

/// Which admissions wait for look-ups: how many different look-ups in all and of each namespace, and how large the crowds are
/// that wait for the same ones.
///
/// A registry that hangs would otherwise hold every connection that the API server has to us; and one tenant's would hold
/// everybody's. A thousand pods of one workflow, though, wait for one look-up, so they count as one.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Room>);

#[derive(Debug)]
struct Room {
    counts: Mutex<Counts>,
    hashes: RandomState,
}

/// The bounds of [`Waiting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingLimits {
    /// Different look-ups that are waited for, in all.
    pub look_ups: usize,
    /// Different look-ups that one namespace waits for. Of as many admissions in a namespace none waits shorter than it may.
    pub look_ups_per_namespace: usize,
    /// Bytes of the bodies of all who joined a look-up that another one waits for; a namespace has half of it.
    pub joined_bytes: usize,
}

impl From<&settings::Admission> for WaitingLimits {
    fn from(settings: &settings::Admission) -> Self {
        let settings::Admission { max_waiting, max_waiting_per_namespace, max_joined } = settings;
        Self {
            look_ups: *max_waiting as usize,
            look_ups_per_namespace: *max_waiting_per_namespace as usize,
            joined_bytes: max_joined.0 as usize,
        }
    }
}

#[derive(Debug)]
struct Counts {
    limits: WaitingLimits,
    look_ups: usize,
    admissions: usize,
    joined_bytes: usize,
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    /// How many wait for each. A pod of several images waits for one thing here, all of them.
    look_ups: HashMap<u64, usize>,
    admissions: usize,
    joined_bytes: usize,
}

/// Leave to wait, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    waiting: Waiting,
    namespace: String,
    look_up: u64,
    joined_bytes: usize,
}

impl Waiting {
    /// Within these bounds.
    pub fn new(limits: WaitingLimits) -> Self {
        let counts = Counts { limits, look_ups: 0, admissions: 0, joined_bytes: 0, namespaces: HashMap::new() };
        Self(Arc::new(Room { counts: Mutex::new(counts), hashes: RandomState::new() }))
    }

    /// How many admissions wait now.
    pub fn count(&self) -> usize {
        self.counts().admissions
    }

    /// Leave for an admission with a body of `bytes` that has to be answered by `deadline`; `None` where too many wait.
    ///
    /// One of a crowd waits half of the time that is left. A registry that is well answers by then; the look-ups of one that
    /// is not go on, and who comes back later finds what became of them.
    pub(super) fn enter(
        &self,
        namespace: &str,
        look_ups: &[&LookUp],
        bytes: usize,
        deadline: Instant,
    ) -> Option<Leave<Permit>> {
        let look_up = self.0.hashes.hash_one(look_ups);
        let mut counts = self.counts();
        let limits = counts.limits;
        let (known, of_namespace, namespace_joined, joins) = match counts.namespaces.get(namespace) {
            Some(known) => {
                (known.look_ups.len(), known.admissions, known.joined_bytes, known.look_ups.contains_key(&look_up))
            }
            None => (0, 0, 0, false),
        };
        let joined_bytes = if joins { bytes.max(LEAST) } else { 0 };
        let is_full = if joins {
            counts.joined_bytes + joined_bytes > limits.joined_bytes
                || namespace_joined + joined_bytes > limits.joined_bytes / 2
        } else {
            counts.look_ups >= limits.look_ups || known >= limits.look_ups_per_namespace
        };
        if is_full {
            return None;
        }
        counts.look_ups += usize::from(!joins);
        counts.admissions += 1;
        counts.joined_bytes += joined_bytes;
        let entry = counts.namespaces.entry(namespace.to_owned()).or_default();
        *entry.look_ups.entry(look_up).or_default() += 1;
        entry.admissions += 1;
        entry.joined_bytes += joined_bytes;
        let is_crowd = joins && of_namespace >= limits.look_ups_per_namespace;
        let held = Permit { waiting: self.clone(), namespace: namespace.to_owned(), look_up, joined_bytes };
        let half = || {
            let now = Instant::now();
            now + deadline.saturating_duration_since(now) / 2
        };
        Some(Leave { held, until: is_crowd.then(half) })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing in here can panic between two writes, so a poisoned lock still holds true counts.
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.admissions -= 1;
        counts.joined_bytes -= self.joined_bytes;
        let Some(namespace) = counts.namespaces.get_mut(&self.namespace) else { return };
        namespace.admissions -= 1;
        namespace.joined_bytes -= self.joined_bytes;
        let is_empty = namespace.admissions == 0;
        let mut is_last = false;
        if let Some(count) = namespace.look_ups.get_mut(&self.look_up) {
            *count -= 1;
            is_last = *count == 0;
        }
        if is_last {
            namespace.look_ups.remove(&self.look_up);
            counts.look_ups -= 1;
        }
        if is_empty {
            counts.namespaces.remove(&self.namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emissary_core::image::{Platform, Reference};

    fn look_up(image: &str) -> LookUp {
        let platforms = vec![Platform::new("linux", "amd64", None)];
        LookUp { reference: Reference::parse(image).unwrap(), platforms, stated: true, always: false }
    }

    fn waiting(look_ups: usize, look_ups_per_namespace: usize, joined: usize) -> Waiting {
        Waiting::new(WaitingLimits { look_ups, look_ups_per_namespace, joined_bytes: joined * LEAST })
    }

    fn enter(waiting: &Waiting, namespace: &str, image: &str) -> Option<Leave<Permit>> {
        waiting.enter(namespace, &[&look_up(image)], 1, Instant::now())
    }

    #[test]
    fn one_namespace_leaves_room_for_others() {
        let waiting = waiting(3, 2, 0);
        let a = (enter(&waiting, "a", "one").unwrap(), enter(&waiting, "a", "two").unwrap());
        assert!(enter(&waiting, "a", "three").is_none());
        let b = enter(&waiting, "b", "one").unwrap();
        assert!(enter(&waiting, "b", "two").is_none(), "three wait already");
        drop((a, b));
        assert_eq!(waiting.count(), 0);
        assert!(enter(&waiting, "a", "one").is_some());
    }

    #[test]
    fn a_crowd_waits_for_one_look_up_within_its_bytes() {
        let waiting = waiting(2, 2, 8);
        let crowd: Vec<_> = (0..5).map(|_| enter(&waiting, "a", "one").unwrap()).collect();
        assert!(enter(&waiting, "a", "one").is_none(), "half of what may join is another namespace's");
        let impatient: Vec<bool> = crowd.iter().map(|leave| leave.until.is_some()).collect();
        assert_eq!(impatient, [false, false, true, true, true]);
        let other = enter(&waiting, "a", "two").unwrap();
        assert!(
            other.until.is_none() && enter(&waiting, "a", "three").is_none() && enter(&waiting, "b", "x").is_none()
        );
        drop(other);
        let b = enter(&waiting, "b", "one").unwrap();
        assert!(waiting.enter("b", &[&look_up("one")], 4 * LEAST, Instant::now()).is_some(), "as much as four");
        assert!(waiting.enter("b", &[&look_up("one")], 4 * LEAST + 1, Instant::now()).is_none());
        assert_eq!(waiting.count(), 6);
        drop((crowd, b));
        let counts = waiting.counts();
        assert_eq!((counts.look_ups, counts.admissions, counts.joined_bytes), (0, 0, 0));
        assert!(counts.namespaces.is_empty());
    }
}
