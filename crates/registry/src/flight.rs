use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Work under way, each piece once, whoever asks for it.
///
/// The work belongs to nobody who waits for it: who stops waiting ends nothing.
pub(crate) struct Flights<K: Eq + Hash, V>(Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>);

/// What an asker gets.
pub(crate) enum Joined<V> {
    /// It is there already.
    Known(V),
    /// It will be; a sender dropped without a value means that it will not.
    Awaited(watch::Receiver<Option<V>>),
}

/// Held by the work; however that ends, the flight ends with it.
pub(crate) struct Flight<K: Eq + Hash, V> {
    key: K,
    flights: Flights<K, V>,
    sender: watch::Sender<Option<V>>,
}

impl<K: Eq + Hash + Clone, V> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the flight for `key`, or takes what `known` has, or calls `start`.
    ///
    /// The work stores its result where `known` looks before it ends its flight, and `known` is called under the lock that
    /// ends flights; so nobody can miss both.
    pub(crate) fn join(
        &self,
        key: &K,
        known: impl FnOnce() -> Option<V>,
        start: impl FnOnce(Flight<K, V>),
    ) -> Joined<V> {
        let mut flights = self.lock();
        if let Some(receiver) = flights.get(key) {
            return Joined::Awaited(receiver.clone());
        }
        if let Some(value) = known() {
            return Joined::Known(value);
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver.clone());
        drop(flights);
        start(Flight { key: key.clone(), flights: Self(Arc::clone(&self.0)), sender });
        Joined::Awaited(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Flight<K, V> {
    /// Hands the result to all who wait.
    pub(crate) fn land(self, value: V) {
        self.sender.send_replace(Some(value));
    }
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a flight that the test holds in its hands.
    fn start(flights: &Flights<u8, u8>) -> (Flight<u8, u8>, watch::Receiver<Option<u8>>) {
        let mut started = None;
        let joined = flights.join(&1, || None, |flight| started = Some(flight));
        let Joined::Awaited(receiver) = joined else { panic!("it was known") };
        (started.expect("it was under way"), receiver)
    }

    #[test]
    fn the_second_joins_the_first() {
        let flights = Flights::new();
        let (flight, first) = start(&flights);
        let joined = flights.join(&1, || panic!("asked while under way"), |_| panic!("started twice"));
        let Joined::Awaited(second) = joined else { panic!("known while under way") };
        flight.land(7);
        assert_eq!((*first.borrow(), *second.borrow()), (Some(7), Some(7)));
        let joined = flights.join(&1, || Some(8), |_| panic!("started although known"));
        assert!(matches!(joined, Joined::Known(8)));
    }

    #[tokio::test]
    async fn work_that_dies_holds_nobody() {
        let flights = Flights::new();
        let (flight, mut receiver) = start(&flights);
        drop(flight);
        assert!(receiver.wait_for(Option::is_some).await.is_err());
        start(&flights);
    }
}
