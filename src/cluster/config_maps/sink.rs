//! From a watch into the settings.

use crate::cluster::watch::{Object, Sink, Unreadable};
use crate::settings::{ConfigMap, Feed, ObjectName, Role};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one watch has fed to the settings. Cloning gives another handle to the same.
#[derive(Clone)]
pub(super) struct Fed {
    role: Role,
    feed: Feed,
    objects: Arc<Mutex<Objects>>,
}

#[derive(Default)]
struct Objects {
    /// With their uids.
    there: HashMap<ObjectName, String>,
    /// Nothing is fed any more.
    closed: bool,
}

impl Fed {
    pub(super) fn new(role: Role, feed: Feed) -> Self {
        Self { role, feed, objects: Arc::default() }
    }

    /// The uid of an object that is there.
    pub(super) fn uid(&self, object: &ObjectName) -> Option<String> {
        self.objects().there.get(object).cloned()
    }

    /// Takes everything back, whatever its watch still brings.
    pub(super) fn close(&self) {
        let mut objects = self.objects();
        objects.closed = true;
        objects.there.drain().for_each(|(object, _)| self.feed.remove(self.role, object));
    }

    /// Goes on with what was fed so far; from this one nothing comes any more.
    pub(super) fn succeed(&self) -> Self {
        let mut objects = self.objects();
        objects.closed = true;
        let there = objects.there.clone();
        let objects = Arc::new(Mutex::new(Objects { there, closed: false }));
        Self { role: self.role, feed: self.feed.clone(), objects }
    }

    fn put(&self, object: ObjectName, uid: String, map: ConfigMap) {
        let mut objects = self.objects();
        if !objects.closed {
            objects.there.insert(object.clone(), uid);
            self.feed.put(self.role, object, map);
        }
    }

    fn keep(&self, stays: impl Fn(&ObjectName) -> bool) {
        let mut objects = self.objects();
        if objects.closed {
            return;
        }
        objects.there.retain(|object, _| {
            let stays = stays(object);
            if !stays {
                tracing::info!(%object, "a ConfigMap is gone, and what it said");
                self.feed.remove(self.role, object.clone());
            }
            stays
        });
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct MapSink {
    fed: Fed,
    /// Left out.
    except: Vec<ObjectName>,
}

impl MapSink {
    pub(super) fn new(fed: Fed, except: Vec<ObjectName>) -> Self {
        Self { fed, except }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
    #[serde(borrow, default)]
    binary_data: Option<BTreeMap<String, Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

impl Sink for MapSink {
    fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable> {
        let name = ObjectName { namespace: object.namespace.to_owned(), name: object.name.to_owned() };
        if self.except.contains(&name) {
            return Ok(());
        }
        let Fields { metadata, data, binary_data } = object.read()?;
        let mut map = ConfigMap { data: data.unwrap_or_default(), ..ConfigMap::default() };
        for (key, text) in binary_data.unwrap_or_default() {
            let bytes = STANDARD.decode(text.as_bytes());
            let bytes = bytes.map_err(|_| Unreadable("a value of its binaryData is no Base64".to_owned()))?;
            map.binary_data.insert(key, bytes);
        }
        self.fed.put(name, metadata.uid.into_owned(), map);
        Ok(())
    }

    fn remove(&mut self, namespace: &str, name: &str) {
        self.fed.keep(|object| !(object.namespace == namespace && object.name == name));
    }

    fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool) {
        self.fed.keep(|object| listed(&object.namespace, &object.name));
    }

    fn count(&self) -> usize {
        self.fed.objects().there.len()
    }
}
