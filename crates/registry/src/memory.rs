//! A map that is bounded in bytes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// A key of 128 bits in place of the names that it stands for, so that a hundred thousand of them are small.
///
/// The hash is keyed by a secret of this process: nobody outside can look for two names with one print, and by chance a
/// million names collide once in 10²⁶ times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Print([u64; 2]);

impl Print {
    pub(crate) fn of(value: &impl Hash) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        // The standard library gives each a key of its own by counting one up, so the second is told apart by more.
        Self([KEYS[0].hash_one(value), KEYS[1].hash_one((value, 0x9e37_79b9_7f4a_7c15_u64))])
    }
}

/// Bytes that a value holds on the heap.
pub(crate) trait Heap {
    fn heap(&self) -> usize;
}

/// A time in half the space, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(0))
    }

    pub(crate) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl Heap for Moment {
    fn heap(&self) -> usize {
        0
    }
}

/// Forgets what was not asked for lately (the clock algorithm) as soon as the whole is heavier than its capacity.
///
/// Made for this rather than taken: general caches keep some 300 bytes of their own for each entry, more than the entry.
pub(crate) struct Memory<V> {
    state: Mutex<State<V>>,
    capacity: usize,
}

struct State<V> {
    slots: HashMap<Print, Slot<V>>,
    /// Every key of `slots`, and some that were removed.
    ring: VecDeque<Print>,
    bytes: usize,
}

struct Slot<V> {
    value: V,
    heap: u32,
    /// Asked for since the hand passed.
    used: bool,
}

impl<V: Heap + Clone> Memory<V> {
    /// What an entry costs besides its heap. Twice, since tables double when they grow.
    const SLOT: usize = 2 * (size_of::<(Print, Slot<V>)>() + 1 + size_of::<Print>());

    pub(crate) fn new(capacity: u64) -> Self {
        let state = State { slots: HashMap::new(), ring: VecDeque::new(), bytes: 0 };
        Self { state: Mutex::new(state), capacity: usize::try_from(capacity).unwrap_or(usize::MAX) }
    }

    pub(crate) fn get(&self, key: Print) -> Option<V> {
        let mut state = self.lock();
        let slot = state.slots.get_mut(&key)?;
        slot.used = true;
        Some(slot.value.clone())
    }

    /// Keeps a value, unless it alone is more than all may be.
    pub(crate) fn insert(&self, key: Print, value: V) {
        let heap = allocated(value.heap());
        let Ok(small) = u32::try_from(heap) else { return self.remove(key) };
        if heap + Self::SLOT > self.capacity {
            return self.remove(key);
        }
        let mut state = self.lock();
        match state.slots.insert(key, Slot { value, heap: small, used: false }) {
            Some(old) => state.bytes -= old.heap as usize + Self::SLOT,
            None => state.ring.push_back(key),
        }
        state.bytes += heap + Self::SLOT;
        state.make_room(self.capacity, Self::SLOT);
        state.tidy();
    }

    pub(crate) fn remove(&self, key: Print) {
        let mut state = self.lock();
        if let Some(old) = state.slots.remove(&key) {
            state.bytes -= old.heap as usize + Self::SLOT;
        }
    }

    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        *state = State { slots: HashMap::new(), ring: VecDeque::new(), bytes: 0 };
    }

    /// Entries, and the bytes that they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.slots.len(), state.bytes)
    }

    /// Everything there is, the oldest first.
    pub(crate) fn values(&self) -> Vec<V> {
        let state = self.lock();
        state.ring.iter().filter_map(|key| state.slots.get(key)).map(|slot| slot.value.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> State<V> {
    fn make_room(&mut self, capacity: usize, overhead: usize) {
        while self.bytes > capacity {
            let Some(key) = self.ring.pop_front() else { return };
            match self.slots.get_mut(&key) {
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.ring.push_back(key);
                }
                Some(slot) => {
                    self.bytes -= slot.heap as usize + overhead;
                    self.slots.remove(&key);
                }
                None => {}
            }
        }
    }

    /// Keys that were removed and put back stand in the ring twice; they may not pile up.
    fn tidy(&mut self) {
        if self.ring.len() > 2 * self.slots.len() + 64 {
            let mut seen = HashSet::with_capacity(self.slots.len());
            self.ring.retain(|key| self.slots.contains_key(key) && seen.insert(*key));
        }
    }
}

/// Allocators hand out multiples of 16 bytes, and keep a word for themselves.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Heap for usize {
        fn heap(&self) -> usize {
            *self
        }
    }

    fn print(n: usize) -> Print {
        Print::of(&n)
    }

    #[test]
    fn never_exceeds_its_bytes() {
        let memory = Memory::new(100_000);
        for n in 0..1000_usize {
            memory.insert(print(n), n);
            let (entries, bytes) = memory.size();
            assert!(bytes <= 100_000, "{bytes} bytes in {entries} entries");
        }
        assert!(memory.size().0 > 80);
        memory.insert(print(1), 200_000);
        assert_eq!(memory.get(print(1)), None);
    }

    #[test]
    fn keeps_what_is_asked_for() {
        let memory = Memory::new(20_000);
        memory.insert(print(0), 7);
        for n in 1..1000 {
            memory.insert(print(n), 7);
            assert!(memory.get(print(0)).is_some(), "forgotten after {n}");
        }
        assert!(memory.get(print(1)).is_none());
    }

    #[test]
    fn counts_what_is_replaced_and_removed() {
        let memory = Memory::new(1 << 20);
        for n in 0..10_000 {
            memory.insert(print(1), n % 100);
            memory.insert(print(2), 7);
            memory.remove(print(2));
        }
        memory.remove(print(1));
        assert_eq!(memory.size(), (0, 0));
        assert!(memory.lock().ring.len() < 100);
    }
}
