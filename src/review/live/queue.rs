//! Pods that wait to be judged after they were answered.

use super::metrics::Loss;
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue, shared by admissions and by the threads that judge. A namespace has half of it at most, so that nobody's flood
/// keeps all others out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: Limits,
    state: Mutex<State<T>>,
    pushed: Condvar,
}

/// How many may wait, and of how many bytes together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) places: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<Waiting<T>>,
    used: Used,
    namespaces: HashMap<String, Used>,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    places: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    namespace: String,
    bytes: usize,
    what: T,
}

impl Used {
    fn fits(self, bytes: usize, limits: Limits) -> bool {
        self.places < limits.places && self.bytes + bytes <= limits.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.places += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.places -= 1;
        self.bytes -= bytes;
    }
}

impl<T> Queue<T> {
    pub(super) fn new(limits: Limits) -> Self {
        let state =
            State { waiting: VecDeque::new(), used: Used::default(), namespaces: HashMap::new(), is_closed: false };
        Self { limits, state: Mutex::new(state), pushed: Condvar::new() }
    }

    /// Adds what takes that many bytes.
    ///
    /// # Errors
    /// What was to be added, where there is no room.
    pub(super) fn push(&self, namespace: &str, bytes: usize, what: T) -> Result<(), (Loss, T)> {
        let mut state = self.state();
        if state.is_closed || !state.used.fits(bytes, self.limits) {
            return Err((Loss::QueueFull, what));
        }
        let half = Limits { places: self.limits.places.div_ceil(2), bytes: self.limits.bytes.div_ceil(2) };
        let own = state.namespaces.get(namespace).copied().unwrap_or_default();
        if !own.fits(bytes, half) {
            return Err((Loss::NamespaceFull, what));
        }
        state.used.add(bytes);
        state.namespaces.entry(namespace.to_owned()).or_default().add(bytes);
        state.waiting.push_back(Waiting { namespace: namespace.to_owned(), bytes, what });
        drop(state);
        self.pushed.notify_one();
        Ok(())
    }

    /// The next one; waits for it, but not longer than `patience`.
    pub(super) fn next(&self, patience: Duration) -> Next<T> {
        let state = self.state();
        let is_idle = |state: &mut State<T>| state.waiting.is_empty() && !state.is_closed;
        let (mut state, _) =
            self.pushed.wait_timeout_while(state, patience, is_idle).unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return Next::Closed;
        }
        let Some(Waiting { namespace, bytes, what }) = state.waiting.pop_front() else { return Next::Nothing };
        state.used.take(bytes);
        if let Some(own) = state.namespaces.get_mut(&namespace) {
            own.take(bytes);
            if own.places == 0 {
                state.namespaces.remove(&namespace);
            }
        }
        Next::This(what)
    }

    pub(super) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Takes nothing more, and gives nothing more out.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.pushed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can panic between two writes, so a poisoned lock still holds true counts.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Queue::next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    This(T),
    Nothing,
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_leaves_room_for_others() {
        let queue = Queue::new(Limits { places: 4, bytes: 100 });
        let lost = |pushed: Result<(), (Loss, u8)>| pushed.err().map(|(loss, _)| loss);
        assert_eq!(lost(queue.push("a", 10, 1)), None);
        assert_eq!(lost(queue.push("a", 41, 2)), Some(Loss::NamespaceFull), "half of the bytes");
        assert_eq!(lost(queue.push("a", 40, 2)), None);
        assert_eq!(lost(queue.push("a", 0, 3)), Some(Loss::NamespaceFull), "half of the places");
        assert_eq!(lost(queue.push("b", 50, 3)), None);
        assert_eq!(lost(queue.push("c", 1, 4)), Some(Loss::QueueFull), "all of the bytes");
        assert_eq!(lost(queue.push("c", 0, 4)), None);
        assert_eq!(lost(queue.push("d", 0, 5)), Some(Loss::QueueFull), "all of the places");
        let given: Vec<_> = (0..5).map(|_| queue.next(Duration::ZERO)).collect();
        assert_eq!(given, [Next::This(1), Next::This(2), Next::This(3), Next::This(4), Next::Nothing]);
        assert_eq!(lost(queue.push("a", 50, 6)), None, "what was given out counts no more");
        queue.close();
        assert_eq!(queue.next(Duration::from_secs(9)), Next::Closed);
        assert_eq!(lost(queue.push("a", 1, 7)), Some(Loss::QueueFull));
    }
}
