//! What watches have read, kept by namespace and name for whoever answers admissions.

use super::watch::{Object, Sink, Unreadable};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// How an object is read: into the little of it that is needed.
pub(super) type Read<V> = fn(&Object<'_>) -> Result<V, Unreadable>;

/// Values by namespace and name. Cloning gives another handle to the same.
///
/// Several watches may fill one: each takes away only what it brought.
#[derive(Debug)]
pub(super) struct Store<V>(Arc<Shared<V>>);

#[derive(Debug)]
struct Shared<V> {
    kept: RwLock<Kept<V>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Kept<V> {
    namespaces: HashMap<String, HashMap<String, Entry<V>>>,
    /// How many there are of each watch.
    counts: Vec<usize>,
}

#[derive(Debug)]
struct Entry<V> {
    watch: usize,
    value: V,
}

impl<V> Clone for Store<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        let kept = RwLock::new(Kept { namespaces: HashMap::new(), counts: Vec::new() });
        Self(Arc::new(Shared { kept, changed: Arc::default() }))
    }
}

impl<V: Clone + Send + Sync + 'static> Store<V> {
    /// Where a watch is to put what it reads.
    pub(super) fn sink(&self, read: Read<V>, when_forbidden: WhenForbidden) -> Box<dyn Sink> {
        let mut kept = self.write();
        kept.counts.push(0);
        let watch = kept.counts.len() - 1;
        Box::new(Filled { store: self.clone(), watch, read, when_forbidden })
    }

    /// One of them.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<V> {
        self.read().namespaces.get(namespace)?.get(name).map(|entry| entry.value.clone())
    }

    /// All of a namespace, in the order of their names.
    pub(super) fn all(&self, namespace: &str) -> Vec<V> {
        let kept = self.read();
        let Some(entries) = kept.namespaces.get(namespace) else { return Vec::new() };
        let mut entries: Vec<(&String, &Entry<V>)> = entries.iter().collect();
        entries.sort_unstable_by_key(|(name, _)| *name);
        entries.into_iter().map(|(_, entry)| entry.value.clone()).collect()
    }

    /// Ready after the next change from the moment of this call on.
    pub(super) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.0.changed).notified_owned()
    }
}

impl<V> Store<V> {
    fn read(&self) -> RwLockReadGuard<'_, Kept<V>> {
        self.0.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept<V>> {
        self.0.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Kept<V> {
    fn count(&mut self, watch: usize, change: fn(&mut usize)) {
        if let Some(count) = self.counts.get_mut(watch) {
            change(count);
        }
    }

    fn remove(&mut self, watch: usize, namespace: &str, name: &str) {
        let Some(entries) = self.namespaces.get_mut(namespace) else { return };
        if entries.get(name).is_none_or(|entry| entry.watch != watch) {
            return;
        }
        entries.remove(name);
        if entries.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.count(watch, |count| *count -= 1);
    }
}

/// What becomes of what is known once it may not be seen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenForbidden {
    /// It is still the best that is known.
    Keep,
    /// It is not ours to use any more.
    Forget,
}

struct Filled<V> {
    store: Store<V>,
    watch: usize,
    read: Read<V>,
    when_forbidden: WhenForbidden,
}

impl<V: Clone + Send + Sync + 'static> Sink for Filled<V> {
    fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable> {
        let value = match (self.read)(object) {
            Ok(value) => value,
            Err(unreadable) => {
                self.remove(object.namespace, object.name);
                return Err(unreadable);
            }
        };
        let mut kept = self.store.write();
        let entry = Entry { watch: self.watch, value };
        let before = match kept.namespaces.get_mut(object.namespace) {
            Some(entries) => entries.insert(object.name.to_owned(), entry),
            None => {
                let entries = HashMap::from([(object.name.to_owned(), entry)]);
                kept.namespaces.insert(object.namespace.to_owned(), entries);
                None
            }
        };
        if let Some(before) = before {
            kept.count(before.watch, |count| *count -= 1);
        }
        kept.count(self.watch, |count| *count += 1);
        drop(kept);
        self.store.0.changed.notify_waiters();
        Ok(())
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        self.store.write().remove(self.watch, namespace, name);
    }

    fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool) {
        let mut kept = self.store.write();
        let (watch, mut count) = (self.watch, 0);
        kept.namespaces.retain(|namespace, entries| {
            entries.retain(|name, entry| entry.watch != watch || listed(namespace, name));
            count += entries.values().filter(|entry| entry.watch == watch).count();
            !entries.is_empty()
        });
        if let Some(known) = kept.counts.get_mut(watch) {
            *known = count;
        }
    }

    fn forbidden(&mut self) {
        if self.when_forbidden == WhenForbidden::Forget {
            self.keep(&|_, _| false);
        }
    }

    fn count(&self) -> usize {
        self.store.read().counts.get(self.watch).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sink: &mut dyn Sink, namespace: &str, name: &str, value: &str) {
        let text = format!(r#"{{"value": {value}}}"#);
        let _ = sink.set(&Object::of(namespace, name, &text));
    }

    fn read(object: &Object<'_>) -> Result<String, Unreadable> {
        #[derive(serde::Deserialize)]
        struct Fields {
            value: String,
        }
        object.read::<Fields>().map(|fields| fields.value)
    }

    #[test]
    fn each_watch_takes_away_only_what_it_brought() {
        let store: Store<String> = Store::default();
        let mut one = store.sink(read, WhenForbidden::Keep);
        let mut other = store.sink(read, WhenForbidden::Forget);
        put(&mut *one, "a", "x", r#""1""#);
        put(&mut *one, "b", "x", r#""2""#);
        put(&mut *other, "a", "y", r#""3""#);
        assert_eq!((one.count(), other.count()), (2, 1));
        other.keep(&|_, _| false);
        assert_eq!(store.all("a"), ["1"]);
        // Deleted and made again as something that another watch sees, which may hear of it first.
        put(&mut *other, "a", "x", r#""4""#);
        one.remove("a", "x");
        assert_eq!(store.get("a", "x").as_deref(), Some("4"));
        assert_eq!((one.count(), other.count()), (1, 1));
        one.forbidden();
        other.forbidden();
        assert_eq!((store.get("b", "x").as_deref(), store.get("a", "x")), (Some("2"), None));
        assert_eq!((one.count(), other.count()), (1, 0));
        put(&mut *one, "b", "x", "7");
        assert_eq!((store.get("b", "x"), one.count()), (None, 0), "what cannot be read is not what was there before");
    }
}
