//! Whose turn it is: a few look-ups at a time for each host, and in turns between those who wait.

use crate::{Priority, memory::Print};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The look-ups under way, whether they run or wait.
pub(crate) struct Lanes {
    state: Mutex<State>,
    limits: Limits,
}

/// How many look-ups there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Running for one host.
    pub(crate) per_host: usize,
    /// Running and waiting for one namespace.
    pub(crate) per_namespace: usize,
    /// Running and waiting.
    pub(crate) all: usize,
}

#[derive(Default)]
struct State {
    /// Those with anybody running or waiting.
    hosts: HashMap<Arc<str>, Host>,
    namespaces: HashMap<Arc<str>, usize>,
    /// Look-ups that began with low priority: whose line they stand in, and with which priority by now.
    low: HashMap<Print, (Arc<str>, Priority)>,
    all: usize,
}

#[derive(Default)]
struct Host {
    running: usize,
    waiting: HashMap<Arc<str>, VecDeque<Waiter>>,
    /// The namespaces of `waiting`, the next first.
    order: VecDeque<Arc<str>>,
    /// Served when nobody else waits.
    low: VecDeque<(Arc<str>, Waiter)>,
}

struct Waiter {
    look_up: Print,
    call: oneshot::Sender<()>,
}

/// A place among the look-ups, given up when it is dropped.
pub(crate) struct Place {
    lanes: Arc<Lanes>,
    host: Arc<str>,
    namespace: Arc<str>,
    look_up: Print,
    turn: Turn,
}

enum Turn {
    Mine,
    Later(oneshot::Receiver<()>),
}

impl Lanes {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { state: Mutex::default(), limits }
    }

    /// Lines up; `None` where too many do already.
    pub(crate) fn enter(
        self: &Arc<Self>,
        host: &str,
        namespace: &Arc<str>,
        priority: Priority,
        look_up: Print,
    ) -> Option<Place> {
        let mut state = self.lock();
        let under_way = state.namespaces.get(namespace).copied().unwrap_or(0);
        // What is asked ahead of need leaves half to those who need it.
        let share = |limit: usize| if priority == Priority::Low { limit.div_ceil(2) } else { limit };
        if under_way >= share(self.limits.per_namespace) || state.all >= share(self.limits.all) {
            return None;
        }
        state.all += 1;
        *state.namespaces.entry(Arc::clone(namespace)).or_default() += 1;
        if priority == Priority::Low {
            state.low.insert(look_up, (host.into(), priority));
        }
        let (host, turn) = state.line_up(host, namespace, look_up, self.limits.per_host);
        Some(Place { lanes: Arc::clone(self), host, namespace: Arc::clone(namespace), look_up, turn })
    }

    /// Somebody who cannot wait asks for what was lined up with low priority.
    pub(crate) fn hasten(&self, look_up: Print) {
        let mut state = self.lock();
        let Some((host, priority)) = state.low.get_mut(&look_up) else { return };
        // Also for the next host's line, if it has to go there.
        *priority = Priority::Normal;
        let host = Arc::clone(host);
        let Some(host) = state.hosts.get_mut(&host) else { return };
        let Some(at) = host.low.iter().position(|(_, waiter)| waiter.look_up == look_up) else { return };
        if let Some((namespace, waiter)) = host.low.remove(at) {
            host.line_up(&namespace, Priority::Normal, waiter);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, place: &mut Place) {
        let mut state = self.lock();
        state.all -= 1;
        if let Some(under_way) = state.namespaces.get_mut(&place.namespace) {
            *under_way -= 1;
            if *under_way == 0 {
                state.namespaces.remove(&place.namespace);
            }
        }
        state.low.remove(&place.look_up);
        state.leave(place);
    }

    /// Leaves a host's line, or its place there, for the end of another's.
    fn move_to(&self, place: &mut Place, host: &str) {
        let mut state = self.lock();
        state.leave(place);
        (place.host, place.turn) = state.line_up(host, &place.namespace, place.look_up, self.limits.per_host);
    }
}

impl State {
    fn line_up(&mut self, host: &str, namespace: &Arc<str>, look_up: Print, per_host: usize) -> (Arc<str>, Turn) {
        let name: Arc<str> = match self.hosts.get_key_value(host) {
            Some((name, _)) => Arc::clone(name),
            None => host.into(),
        };
        let mut priority = Priority::Normal;
        if let Some((host, own)) = self.low.get_mut(&look_up) {
            *host = Arc::clone(&name);
            priority = *own;
        }
        let host = self.hosts.entry(Arc::clone(&name)).or_default();
        if host.running < per_host {
            host.running += 1;
            return (name, Turn::Mine);
        }
        let (call, receiver) = oneshot::channel();
        host.line_up(namespace, priority, Waiter { look_up, call });
        (name, Turn::Later(receiver))
    }

    fn leave(&mut self, place: &mut Place) {
        let Some(host) = self.hosts.get_mut(&place.host) else { return };
        let runs = match &mut place.turn {
            Turn::Mine => true,
            // It may have been called in this very moment.
            Turn::Later(receiver) => {
                receiver.close();
                receiver.try_recv().is_ok()
            }
        };
        if runs {
            host.running -= 1;
            host.call();
        }
        if host.running == 0 && host.order.is_empty() && host.low.is_empty() {
            self.hosts.remove(&place.host);
        }
    }
}

impl Host {
    fn line_up(&mut self, namespace: &Arc<str>, priority: Priority, waiter: Waiter) {
        match priority {
            Priority::Low => self.low.push_back((Arc::clone(namespace), waiter)),
            Priority::Normal => {
                let line = self.waiting.entry(Arc::clone(namespace)).or_default();
                if line.is_empty() {
                    self.order.push_back(Arc::clone(namespace));
                }
                line.push_back(waiter);
            }
        }
    }

    fn next(&mut self) -> Option<Waiter> {
        let Some(namespace) = self.order.pop_front() else { return Some(self.low.pop_front()?.1) };
        let line = self.waiting.get_mut(&namespace)?;
        let waiter = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        waiter
    }

    /// Gives a place that became free to the next who still wants it.
    fn call(&mut self) {
        while let Some(waiter) = self.next() {
            if waiter.call.send(()).is_ok() {
                self.running += 1;
                return;
            }
        }
    }
}

impl Place {
    /// Waits for it among those who ask that host.
    pub(crate) async fn turn_at(&mut self, host: &str) {
        if *self.host != *host {
            Arc::clone(&self.lanes).move_to(self, host);
        }
        self.turn().await;
    }

    /// Waits for it.
    pub(crate) async fn turn(&mut self) {
        if let Turn::Later(receiver) = &mut self.turn {
            // Its sender is dropped unused only when the place is.
            let _ = receiver.await;
            self.turn = Turn::Mine;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Arc::clone(&self.lanes).leave(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(per_host: usize) -> Arc<Lanes> {
        Arc::new(Lanes::new(Limits { per_host, per_namespace: 100, all: 150 }))
    }

    fn enter(lanes: &Arc<Lanes>, host: &str, namespace: &str, priority: Priority, n: u32) -> Option<Place> {
        lanes.enter(host, &namespace.into(), priority, Print::of(&n))
    }

    fn is_called(place: &mut Place) -> bool {
        if let Turn::Later(receiver) = &mut place.turn
            && receiver.try_recv().is_ok()
        {
            place.turn = Turn::Mine;
        }
        matches!(place.turn, Turn::Mine)
    }

    /// The names of places in the order in which they run, one at a time.
    fn order(mut places: Vec<(&'static str, Place)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while !places.is_empty() {
            let called: Vec<usize> = (0..places.len()).filter(|at| is_called(&mut places[*at].1)).collect();
            assert_eq!(called.len(), 1, "after {order:?}");
            order.push(places.remove(called[0]).0);
        }
        order
    }

    #[test]
    fn namespaces_take_turns() {
        let lanes = lanes(1);
        let mut places = Vec::new();
        for namespace in ["a", "a", "a", "a", "b", "b", "c"] {
            places.push((namespace, enter(&lanes, "host", namespace, Priority::Normal, 0).unwrap()));
        }
        assert_eq!(order(places), ["a", "a", "b", "c", "a", "b", "a"]);
        assert!(lanes.lock().hosts.is_empty() && lanes.lock().namespaces.is_empty());
    }

    #[test]
    fn what_can_wait_waits() {
        let lanes = lanes(1);
        let mut places = Vec::new();
        for (n, (name, priority)) in [
            ("first", Priority::Low),
            ("low", Priority::Low),
            ("hastened", Priority::Low),
            ("normal", Priority::Normal),
        ]
        .into_iter()
        .enumerate()
        {
            places.push((name, enter(&lanes, "host", name, priority, n as u32).unwrap()));
        }
        lanes.hasten(Print::of(&2_u32));
        lanes.hasten(Print::of(&9_u32));
        assert_eq!(order(places), ["first", "normal", "hastened", "low"]);
    }

    #[test]
    fn who_moves_makes_room_and_lines_up_anew() {
        let lanes = lanes(1);
        let enter = |host, priority, n| enter(&lanes, host, "a", priority, n).unwrap();
        let mut moved = enter("mirror", Priority::Low, 0);
        let mut behind = enter("mirror", Priority::Normal, 1);
        let (registry, mut waiting) = (enter("registry", Priority::Normal, 2), enter("registry", Priority::Low, 3));
        assert!(is_called(&mut moved) && !is_called(&mut behind));
        // Somebody asks for it while it runs, so there it goes before what can wait.
        lanes.hasten(Print::of(&0_u32));
        lanes.move_to(&mut moved, "registry");
        assert!(is_called(&mut behind) && !is_called(&mut moved));
        drop(registry);
        assert!(is_called(&mut moved) && !is_called(&mut waiting));
        drop(moved);
        assert!(is_called(&mut waiting));
        drop((waiting, behind));
        let state = lanes.lock();
        assert!(state.hosts.is_empty() && state.namespaces.is_empty() && state.low.is_empty() && state.all == 0);
    }

    #[test]
    fn hosts_do_not_wait_for_each_other() {
        let lanes = lanes(2);
        let mut dead: Vec<Place> = (0..50).map(|n| enter(&lanes, "dead", "a", Priority::Normal, n).unwrap()).collect();
        assert_eq!(dead.iter_mut().filter_map(|place| is_called(place).then_some(())).count(), 2);
        assert!(is_called(&mut enter(&lanes, "alive", "b", Priority::Normal, 0).unwrap()));
    }

    #[test]
    fn neither_one_nor_all_are_without_bound() {
        let lanes = lanes(1);
        let mut places: Vec<Place> =
            (0..100).map(|n| enter(&lanes, "host", "a", Priority::Normal, n).unwrap()).collect();
        assert!(enter(&lanes, "other", "a", Priority::Normal, 0).is_none());
        assert!(enter(&lanes, "host", "b", Priority::Low, 0).is_none());
        places.extend((0..50).map(|n| enter(&lanes, "host", "b", Priority::Normal, n).unwrap()));
        assert!(enter(&lanes, "host", "c", Priority::Normal, 0).is_none());
        drop(places);
        assert!(enter(&lanes, "host", "c", Priority::Normal, 0).is_some());
    }

    #[test]
    fn who_leaves_the_line_holds_nobody() {
        let lanes = lanes(1);
        let first = enter(&lanes, "host", "a", Priority::Normal, 0).unwrap();
        let second = enter(&lanes, "host", "a", Priority::Normal, 1).unwrap();
        let called = enter(&lanes, "host", "a", Priority::Normal, 2).unwrap();
        let mut last = enter(&lanes, "host", "a", Priority::Normal, 3).unwrap();
        drop(second);
        drop(first);
        assert!(!is_called(&mut last));
        // Called, and gone before it noticed.
        drop(called);
        assert!(is_called(&mut last));
    }
}
