use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many admissions wait for look-ups, in all and of each namespace.
///
/// A registry that hangs would otherwise hold every connection that the API server has to us; and one tenant's would hold
/// everybody's.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    limit_per_namespace: usize,
    all: usize,
    namespaces: HashMap<String, usize>,
}

/// Leave to wait, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    waiting: Waiting,
    namespace: String,
}

impl Waiting {
    /// At most `limit` in all and `limit_per_namespace` of one namespace.
    pub fn new(limit: usize, limit_per_namespace: usize) -> Self {
        Self(Arc::new(Mutex::new(Counts { limit, limit_per_namespace, all: 0, namespaces: HashMap::new() })))
    }

    /// Changes the limits; who waits already goes on.
    pub fn limit(&self, limit: usize, limit_per_namespace: usize) {
        let mut counts = self.counts();
        (counts.limit, counts.limit_per_namespace) = (limit, limit_per_namespace);
    }

    /// How many wait now.
    pub fn count(&self) -> usize {
        self.counts().all
    }

    pub(super) fn enter(&self, namespace: &str) -> Option<Permit> {
        let mut counts = self.counts();
        let of_namespace = counts.namespaces.get(namespace).copied().unwrap_or(0);
        if counts.all >= counts.limit || of_namespace >= counts.limit_per_namespace {
            return None;
        }
        counts.all += 1;
        counts.namespaces.insert(namespace.to_owned(), of_namespace + 1);
        Some(Permit { waiting: self.clone(), namespace: namespace.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing in here can panic between two writes, so a poisoned lock still holds true counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.all -= 1;
        if let Some(count) = counts.namespaces.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                counts.namespaces.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Waiting;

    #[test]
    fn one_namespace_leaves_room_for_others() {
        let waiting = Waiting::new(3, 2);
        let a = (waiting.enter("a").unwrap(), waiting.enter("a").unwrap());
        assert!(waiting.enter("a").is_none());
        let b = waiting.enter("b").unwrap();
        assert!(waiting.enter("b").is_none(), "three wait already");
        drop((a, b));
        assert_eq!(waiting.count(), 0);
        assert!(waiting.enter("a").is_some());
    }
}
