//! A circuit breaker a host: who does not answer is left alone for a while, and then asked once.

use crate::backoff::Backoff;
use moka::sync::Cache;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// Names of hosts come from pods, so how many are remembered is bounded.
const MOST_HOSTS: u64 = 4096;
const IDLE: Duration = Duration::from_secs(3600);

/// A breaker for each host that was asked lately.
pub(crate) struct Breakers {
    hosts: Cache<String, Arc<Mutex<State>>>,
    threshold: u32,
    backoff: Backoff,
}

#[derive(Default)]
struct State {
    /// Transient failures in a row.
    failures: u32,
    /// How often it opened in a row.
    opened: u32,
    /// Open until then, and from then on half-open. `None`: closed.
    until: Option<SystemTime>,
    /// Somebody is asking the half-open host right now.
    probing: bool,
}

/// Leave to ask a host. Whoever drops it unreported has learned nothing.
pub(crate) struct Pass {
    state: Arc<Mutex<State>>,
    probe: bool,
}

impl Breakers {
    /// `threshold` failures in a row open a breaker; each time that it opens again without a success it stays open longer.
    pub(crate) fn new(threshold: u32, backoff: Backoff) -> Self {
        Self { hosts: Cache::builder().max_capacity(MOST_HOSTS).time_to_idle(IDLE).build(), threshold, backoff }
    }

    /// `None` while the breaker is open, or half-open and somebody else is asking.
    pub(crate) fn enter(&self, host: &str, now: SystemTime) -> Option<Pass> {
        let state = self.hosts.get_with_by_ref(host, Arc::default);
        let mut held = lock(&state);
        let probe = match held.until {
            None => false,
            Some(until) if self.is_ahead(until, now) || held.probing => return None,
            Some(_) => true,
        };
        held.probing |= probe;
        drop(held);
        Some(Pass { state, probe })
    }

    /// Whether it is of no use to wait for one's turn.
    pub(crate) fn is_open(&self, host: &str, now: SystemTime) -> bool {
        let Some(state) = self.hosts.get(host) else { return false };
        let state = lock(&state);
        state.until.is_some_and(|until| self.is_ahead(until, now) || state.probing)
    }

    /// A clock that was set back must not keep a host shut for longer than it ever would be.
    fn is_ahead(&self, until: SystemTime, now: SystemTime) -> bool {
        until.duration_since(now).is_ok_and(|left| !left.is_zero() && left <= self.backoff.most)
    }

    /// The host answered, whatever it said.
    pub(crate) fn succeeded(&self, pass: Pass) {
        *lock(&pass.state) = State::default();
    }

    /// The host did not answer, or with HTTP 5xx.
    pub(crate) fn failed(&self, pass: Pass, now: SystemTime, random: f64) {
        let mut state = lock(&pass.state);
        // The others who were under way when it opened say nothing new.
        if state.until.is_some() && !pass.probe {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if pass.probe || state.failures >= self.threshold {
            state.until = Some(now + self.backoff.after(state.opened, random));
            state.opened = state.opened.saturating_add(1);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe {
            lock(&self.state).probing = false;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakers() -> Breakers {
        Breakers::new(3, Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + seconds)
    }

    fn open(breakers: &Breakers) {
        for _ in 0..3 {
            breakers.failed(breakers.enter("a", at(0)).unwrap(), at(0), 0.0);
        }
    }

    #[test]
    fn opens_after_failures_in_a_row() {
        let breakers = breakers();
        for _ in 0..5 {
            breakers.failed(breakers.enter("a", at(0)).unwrap(), at(0), 0.0);
            breakers.failed(breakers.enter("a", at(0)).unwrap(), at(0), 0.0);
            breakers.succeeded(breakers.enter("a", at(0)).unwrap());
        }
        open(&breakers);
        assert!(breakers.enter("a", at(4)).is_none() && breakers.is_open("a", at(4)));
        assert!(breakers.enter("b", at(4)).is_some() && !breakers.is_open("b", at(4)));
    }

    #[test]
    fn one_asks_for_all() {
        let breakers = breakers();
        open(&breakers);
        let probe = breakers.enter("a", at(5)).unwrap();
        assert!(breakers.enter("a", at(5)).is_none());
        // One that is given up makes room for the next.
        drop(probe);
        breakers.succeeded(breakers.enter("a", at(5)).unwrap());
        let (_one, _other) = (breakers.enter("a", at(5)).unwrap(), breakers.enter("a", at(5)).unwrap());
    }

    #[test]
    fn stays_open_longer_each_time() {
        let breakers = breakers();
        open(&breakers);
        let mut now = 5;
        for seconds in [10, 20, 40, 60, 60] {
            breakers.failed(breakers.enter("a", at(now)).unwrap(), at(now), 0.0);
            assert!(breakers.enter("a", at(now + seconds - 1)).is_none());
            now += seconds;
            drop(breakers.enter("a", at(now)).unwrap());
        }
        breakers.succeeded(breakers.enter("a", at(now)).unwrap());
        open(&breakers);
        assert!(breakers.enter("a", at(5)).is_some());
    }

    #[test]
    fn late_failures_do_not_prolong() {
        let breakers = breakers();
        let late = breakers.enter("a", at(0)).unwrap();
        open(&breakers);
        breakers.failed(late, at(4), 0.0);
        assert!(breakers.enter("a", at(5)).is_some());
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out() {
        let breakers = breakers();
        open(&breakers);
        assert!(breakers.enter("a", SystemTime::UNIX_EPOCH).is_some());
    }
}
