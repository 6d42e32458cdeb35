//! One list and watch: what the API server has of a kind goes into a [`Sink`], now and on every change.
//!
//! # Why a loop of our own
//! Objects are strangers' (every tenant writes Secrets and ConfigMaps), and there may be many. So a page of a list and a
//! line of a watch are bounded in bytes, not in objects; each object is decoded apart, so one that nobody can read
//! leaves the others be; only the fields that a sink names are ever decoded (`managedFields` never); and no text of an
//! object reaches a log. The ready-made loops promise none of these.
//!
//! # When the API server does not answer
//! | it says | is | tried again |
//! |---|---|---|
//! | 403 | [`State::Forbidden`]: the sink may drop what it has | every half minute |
//! | 404: no such resource, as where Argo is not installed | [`State::Absent`] | every half minute |
//! | 410: the version is too old | a new list, nothing is lost meanwhile | at once, then as below |
//! | anything else, or nothing | [`State::Failing`]: what is known stays in use | after 0.25 s, doubling to 30 s, jittered |
//!
//! A watch never ends by itself and never fails anything but itself.
//!
//! It is one file because a list, the watch that follows it, and what is done about failures share their state.

mod object;
pub(super) mod read;
mod state;

pub use object::{Object, Unreadable};
pub use state::{State, Status, Watches};

use emissary_registry::Backoff;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::request::Request;
use read::{Failure, Lines};
use serde::Deserialize;
use serde_json::value::RawValue;
use state::Reporter;
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many objects a page of a list has at first; fewer when they turn out to be large.
const PAGE: u32 = 500;
/// How long a page may take.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// How long the API server is asked to keep a watch open.
const WATCH_SECONDS: u32 = 290;
/// A watch that says nothing for so long is taken for dead. The API server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(100);
/// A watch that ends sooner counts as a failure, so that a server that closes at once is not asked all the time.
const SHORT: Duration = Duration::from_secs(1);
/// What goes well for so long has got over the failures before.
const STEADY: Duration = Duration::from_secs(10);
/// When a watch that failed is tried again.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// After failures.
    soon: Backoff,
    /// After what only an administrator can mend.
    late: Backoff,
}

impl Default for Pace {
    fn default() -> Self {
        let most = Duration::from_secs(30);
        Self { soon: Backoff { first: Duration::from_millis(250), most }, late: Backoff { first: most, most } }
    }
}

/// A resource of the API, by the names that its URL has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The version in it.
    pub version: &'static str,
    /// The plural, such as `configmaps`.
    pub plural: &'static str,
}

impl Resource {
    /// A resource of the core group, `v1`.
    pub const fn core(plural: &'static str) -> Self {
        Self { group: "", version: "v1", plural }
    }

    fn path(self, namespace: Option<&str>) -> String {
        let Self { group, version, plural } = self;
        let api = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
            None => format!("{api}/{plural}"),
        }
    }
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A word for logs, metrics and readiness; no two targets of one scope have the same.
    pub name: &'static str,
    /// The resource.
    pub resource: Resource,
    /// Where; `None` is the whole cluster.
    pub namespace: Option<String>,
    /// Only objects with these labels, as a selector.
    pub labels: Option<String>,
    /// Only objects with these fields, as a selector.
    pub fields: Option<String>,
    /// Whether `metadata` is all that is asked for (`PartialObjectMetadata`).
    pub metadata_only: bool,
}

impl Target {
    /// All objects of a resource in the whole cluster.
    pub const fn all(name: &'static str, resource: Resource) -> Self {
        Self { name, resource, namespace: None, labels: None, fields: None, metadata_only: false }
    }

    /// The same, of which `metadata` is enough.
    pub const fn metadata(name: &'static str, resource: Resource) -> Self {
        Self { name, resource, namespace: None, labels: None, fields: None, metadata_only: true }
    }

    /// The name of the only object that is watched, where there is only one.
    pub(super) fn only(&self) -> Option<&str> {
        self.fields.iter().flat_map(|fields| fields.split(',')).find_map(|field| field.strip_prefix("metadata.name="))
    }

    /// Where, for people: the namespace, and the object's name where only one is watched; `None` for the whole cluster.
    fn scope(&self) -> Option<String> {
        match (&self.namespace, self.only()) {
            (None, None) => None,
            (Some(one), None) => Some(one.clone()),
            (None, Some(one)) => Some(one.to_owned()),
            (Some(namespace), Some(only)) => Some(format!("{namespace}/{only}")),
        }
    }
}

/// Where objects go. Called from one task, so it holds nobody else up as long as it is quick.
pub trait Sink: Send + 'static {
    /// An object is there, or has changed.
    ///
    /// # Errors
    /// [`Unreadable`] where it cannot be used, which is logged and counted; what becomes of the version before is the
    /// sink's to decide.
    fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable>;

    /// An object is gone.
    fn remove(&mut self, namespace: &str, name: &str);

    /// A list is complete: what `listed` (namespace, name) says no to is gone.
    fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool);

    /// We may not see the objects, or not any more. What is known stays, unless the sink has it otherwise.
    fn forbidden(&mut self) {}

    /// How many objects it keeps.
    fn count(&self) -> usize;
}

/// What a watch needs.
#[derive(Clone)]
pub struct Dependencies {
    /// The API server.
    pub client: Client,
    /// Where its state is shown.
    pub watches: Watches,
    /// What its task is counted by.
    pub tracker: TaskTracker,
    /// Ends it.
    pub cancel: CancellationToken,
}

impl std::fmt::Debug for dyn Sink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} objects", self.count())
    }
}

/// A running watch. Dropping it leaves it running.
#[derive(Debug, Clone)]
pub struct Handle {
    status: tokio::sync::watch::Receiver<Status>,
    again: Arc<Notify>,
    cancel: CancellationToken,
}

impl Handle {
    /// Its state now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Returns once the first list is complete, or it is clear that there will be none before somebody mends something.
    pub async fn settled(&mut self) {
        // An error means that the watch has ended, which settles it too.
        let _ = self.status.wait_for(|status| status.state.is_settled()).await;
    }

    /// Has everything listed once more, for a sink that now makes other things of the same objects.
    pub fn list_again(&self) {
        self.again.notify_one();
    }

    /// Ends this watch alone.
    pub fn stop(&self) {
        self.cancel.cancel();
    }
}

/// Starts to watch. Readiness is [`Handle::settled`], or [`Watches::settled`] for all watches together.
pub fn start(target: Target, sink: Box<dyn Sink>, dependencies: &Dependencies) -> Handle {
    start_at(Pace::default(), target, sink, dependencies)
}

fn start_at(pace: Pace, target: Target, sink: Box<dyn Sink>, dependencies: &Dependencies) -> Handle {
    let Dependencies { client, watches, tracker, cancel } = dependencies;
    let (reporter, status) = watches.register(target.name, target.scope());
    let (cancel, again) = (cancel.child_token(), Arc::new(Notify::new()));
    let asked = Arc::clone(&again);
    let run = Run { target, sink, client: client.clone(), reporter, version: None, page: PAGE, pace, again: asked };
    let cancelled = cancel.clone();
    tracker.spawn(async move {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {}
            () = run.run() => {}
        }
    });
    Handle { status, again, cancel }
}

struct Run {
    target: Target,
    sink: Box<dyn Sink>,
    client: Client,
    reporter: Reporter,
    /// From where the watch goes on; `None` before a list.
    version: Option<String>,
    page: u32,
    pace: Pace,
    /// Somebody wants a new list.
    again: Arc<Notify>,
}

impl Run {
    async fn run(mut self) {
        let random = RandomState::new();
        let mut failed = 0_u32;
        loop {
            let began = Instant::now();
            let ended = match self.version.take() {
                None => self.list().await.map(|()| true),
                Some(version) => {
                    let again = Arc::clone(&self.again);
                    let ended = tokio::select! {
                        ended = self.watch(version) => Some(ended),
                        () = again.notified() => None,
                    };
                    let Some(ended) = ended else {
                        self.version = None;
                        continue;
                    };
                    ended.map(|()| began.elapsed() > SHORT)
                }
            };
            if began.elapsed() > STEADY {
                failed = 0;
            }
            let backoff = match ended {
                Ok(true) => {
                    failed = 0;
                    continue;
                }
                Ok(false) => self.pace.soon,
                Err(Failure::Gone) if failed == 0 => {
                    failed = 1;
                    continue;
                }
                Err(failure) => {
                    if matches!(failure, Failure::Forbidden(_)) {
                        self.sink.forbidden();
                    }
                    self.reporter.failed(&failure, self.sink.count());
                    if failure.is_lasting() { self.pace.late } else { self.pace.soon }
                }
            };
            // 53 bits are what a fraction has.
            let fraction = (random.hash_one(failed) >> 11) as f64 / (1_u64 << 53) as f64;
            tokio::time::sleep(backoff.after(failed, fraction)).await;
            failed = failed.saturating_add(1);
        }
    }

    /// Lists everything, page by page; afterwards the sink has what the API server has.
    async fn list(&mut self) -> Result<(), Failure> {
        let mut listed: HashSet<(String, String)> = HashSet::new();
        let mut continued: Option<String> = None;
        loop {
            let parameters = ListParams {
                label_selector: self.target.labels.clone(),
                field_selector: self.target.fields.clone(),
                limit: Some(self.page),
                continue_token: continued.clone(),
                ..ListParams::default()
            };
            let request = Request::new(self.target.resource.path(self.target.namespace.as_deref()));
            let request =
                if self.target.metadata_only { request.list_metadata(&parameters) } else { request.list(&parameters) };
            let request = request.map_err(|error| Failure::Other(error.to_string()))?;
            let body = timeout(PAGE_TIME, read::page(&self.client, request)).await.map_err(|_| Failure::late())?;
            let body = match body {
                Err(Failure::TooLarge) if self.page > 1 => {
                    // The same page again, in smaller pieces.
                    self.page = (self.page / 8).max(1);
                    continue;
                }
                body => body?,
            };
            let page: Page<'_> =
                serde_json::from_slice(&body).map_err(|_| Failure::Other("no list came".to_owned()))?;
            for item in page.items {
                if let Some(head) = self.head(item) {
                    let key = (head.metadata.namespace.into_owned(), head.metadata.name.into_owned());
                    self.set(&key.0, &key.1, item);
                    listed.insert(key);
                }
            }
            match page.metadata.r#continue {
                Some(token) if !token.is_empty() => continued = Some(token.into_owned()),
                _ => {
                    self.sink.keep(&|namespace, name| listed.contains(&(namespace.to_owned(), name.to_owned())));
                    self.version = Some(page.metadata.resource_version.into_owned());
                    self.reporter.synced(self.sink.count());
                    return Ok(());
                }
            }
        }
    }

    /// Follows the changes since `version` until the API server ends it. Afterwards it goes on from [`Run::version`].
    async fn watch(&mut self, version: String) -> Result<(), Failure> {
        let parameters = WatchParams {
            label_selector: self.target.labels.clone(),
            field_selector: self.target.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(self.target.resource.path(self.target.namespace.as_deref()));
        let request = if self.target.metadata_only {
            request.watch_metadata(&parameters, &version)
        } else {
            request.watch(&parameters, &version)
        };
        let request = request.map_err(|error| Failure::Other(error.to_string()))?;
        let opened =
            timeout(SILENCE, Lines::open(&self.client, request)).await.unwrap_or_else(|_| Err(Failure::late()));
        let mut lines = match opened {
            Ok(lines) => lines,
            Err(failure) => {
                // A new list where this version is of no use, or what is known was dropped.
                self.version = (!matches!(failure, Failure::Gone | Failure::Forbidden(_))).then_some(version);
                return Err(failure);
            }
        };
        self.version = Some(version);
        self.reporter.synced(self.sink.count());
        loop {
            let line = match timeout(SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                // Silence, or the end that was asked for.
                Err(_) | Ok(Ok(None)) => return Ok(()),
                Ok(Err(failure)) => return Err(failure),
            };
            if let Err(failure) = self.event(&line) {
                if matches!(failure, Failure::Gone | Failure::TooLarge) {
                    self.version = None;
                }
                return Err(failure);
            }
        }
    }

    fn event(&mut self, line: &[u8]) -> Result<(), Failure> {
        let event: Event<'_> =
            serde_json::from_slice(line).map_err(|_| Failure::Other("a line was no event".to_owned()))?;
        if event.r#type == "ERROR" {
            return Err(read::status(event.object.get().as_bytes()));
        }
        let Some(head) = self.head(event.object) else { return Ok(()) };
        let Head { metadata: Names { namespace, name, resource_version } } = head;
        match &*event.r#type {
            "ADDED" | "MODIFIED" => self.set(&namespace, &name, event.object),
            "DELETED" => self.sink.remove(&namespace, &name),
            // A bookmark has a version only.
            _ => {}
        }
        if !resource_version.is_empty() {
            self.version = Some(resource_version.into_owned());
        }
        self.reporter.counted(self.sink.count());
        Ok(())
    }

    fn head<'a>(&mut self, object: &'a RawValue) -> Option<Head<'a>> {
        let head = serde_json::from_str(object.get());
        if head.is_err() {
            self.reporter.unreadable("", "", &Unreadable("it has no readable metadata".to_owned()));
        }
        head.ok()
    }

    fn set(&mut self, namespace: &str, name: &str, object: &RawValue) {
        let object = Object::of(namespace, name, object.get());
        if let Err(unreadable) = self.sink.set(&object) {
            self.reporter.unreadable(namespace, name, &unreadable);
        }
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    metadata: Of<'a>,
    /// `null` where there are none.
    #[serde(borrow, default, deserialize_with = "nullable")]
    items: Vec<&'a RawValue>,
}

fn nullable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    Option::<Vec<&'de RawValue>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Of<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, default)]
    r#continue: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Names<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::Fake;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// Keeps `data.x` of each object.
    #[derive(Default, Clone)]
    struct Kept(Arc<Mutex<BTreeMap<String, String>>>);

    impl Sink for Kept {
        fn set(&mut self, object: &Object<'_>) -> Result<(), Unreadable> {
            #[derive(Deserialize)]
            struct Fields {
                data: BTreeMap<String, String>,
            }
            let Fields { mut data } = object.read()?;
            let key = format!("{}/{}", object.namespace, object.name);
            self.0.lock().unwrap().insert(key, data.remove("x").unwrap_or_default());
            Ok(())
        }

        fn remove(&mut self, namespace: &str, name: &str) {
            self.0.lock().unwrap().remove(&format!("{namespace}/{name}"));
        }

        fn keep(&mut self, listed: &dyn Fn(&str, &str) -> bool) {
            self.0.lock().unwrap().retain(|key, _| {
                let (namespace, name) = key.split_once('/').unwrap();
                listed(namespace, name)
            });
        }

        fn forbidden(&mut self) {
            self.0.lock().unwrap().clear();
        }

        fn count(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    impl Kept {
        async fn until(&self, expected: &[(&str, &str)]) {
            let expected: BTreeMap<String, String> =
                expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            for _ in 0..1000 {
                if *self.0.lock().unwrap() == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{:?} and not {expected:?}", self.0.lock().unwrap());
        }
    }

    const MAPS: Resource = Resource::core("configmaps");
    const PATH: &str = "/api/v1/configmaps";

    /// Sooner than in earnest, and what is late is later by far.
    const QUICK: Pace = Pace {
        soon: Backoff { first: Duration::from_millis(5), most: Duration::from_millis(50) },
        late: Backoff { first: Duration::from_millis(800), most: Duration::from_millis(800) },
    };

    async fn started(fake: &Fake) -> (Kept, Handle, Watches) {
        let (kept, watches) = (Kept::default(), Watches::default());
        let dependencies = fake.dependencies(&watches).await;
        let handle = start_at(QUICK, Target::all("maps", MAPS), Box::new(kept.clone()), &dependencies);
        (kept, handle, watches)
    }

    fn map(namespace: &str, name: &str, x: &serde_json::Value) -> serde_json::Value {
        json!({"metadata": {"namespace": namespace, "name": name, "managedFields": "not even looked at"}, "data": {"x": x}})
    }

    #[tokio::test]
    async fn what_is_there_is_known_and_so_is_what_changes() {
        let fake = Fake::start().await;
        fake.put(PATH, map("a", "one", &json!("1")));
        let (kept, mut handle, watches) = started(&fake).await;
        handle.settled().await;
        kept.until(&[("a/one", "1")]).await;
        fake.put(PATH, map("a", "two", &json!("2")));
        fake.put(PATH, map("a", "one", &json!("3")));
        kept.until(&[("a/one", "3"), ("a/two", "2")]).await;
        fake.delete(PATH, "a", "one");
        kept.until(&[("a/two", "2")]).await;
        let statuses = watches.statuses();
        assert_eq!(statuses.len(), 1);
        assert_eq!((statuses[0].objects, statuses[0].failures, statuses[0].state.word()), (1, 0, "synced"));
        handle.stop();
        for _ in 0..1000 {
            if watches.statuses().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a watch that has ended is still shown");
    }

    #[tokio::test]
    async fn one_bad_object_leaves_the_others_be() {
        let fake = Fake::start().await;
        fake.put(PATH, map("a", "bad", &json!(["hunter2"])));
        fake.put(PATH, json!({"metadata": 7}));
        fake.put(PATH, map("a", "good", &json!("1")));
        let (kept, mut handle, _) = started(&fake).await;
        handle.settled().await;
        kept.until(&[("a/good", "1")]).await;
        fake.put(PATH, map("a", "bad", &json!({})));
        fake.put(PATH, map("a", "good", &json!("2")));
        kept.until(&[("a/good", "2")]).await;
        assert_eq!(handle.status().unreadable, 3);
        let object = Object::of("a", "b", r#"{"data": "hunter2"}"#);
        let error = object.read::<BTreeMap<String, u8>>().unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !format!("{object:?}").contains("hunter2"), "{error} {object:?}");
    }

    #[tokio::test]
    async fn what_was_missed_is_found_again() {
        let fake = Fake::start().await;
        for name in ["one", "two"] {
            fake.put(PATH, map("a", name, &json!("1")));
        }
        let (kept, mut handle, _) = started(&fake).await;
        handle.settled().await;
        // Meanwhile one goes and another comes, and the version becomes too old.
        fake.compact(PATH, |objects| {
            objects.retain(|object| object["metadata"]["name"] != "one");
            objects.push(map("a", "three", &json!("3")));
        });
        kept.until(&[("a/three", "3"), ("a/two", "1")]).await;
        fake.hang_up(PATH);
        fake.put(PATH, map("a", "four", &json!("4")));
        kept.until(&[("a/four", "4"), ("a/three", "3"), ("a/two", "1")]).await;
    }

    #[tokio::test]
    async fn a_long_list_comes_in_pages_and_large_objects_in_small_ones() {
        let fake = Fake::start().await;
        for at in 0..12 {
            let name = format!("m{at}");
            fake.put(PATH, map("a", &name, &json!("x".repeat(1 << 20))));
        }
        let (kept, mut handle, _) = started(&fake).await;
        handle.settled().await;
        assert_eq!(kept.0.lock().unwrap().len(), 12);
        assert!(fake.requests(PATH) >= 3, "12 MiB are no page");
    }

    #[tokio::test]
    async fn forbidden_is_shown_forgotten_and_tried_again_slowly() {
        let fake = Fake::start().await;
        fake.put(PATH, map("a", "one", &json!("1")));
        let (kept, mut handle, watches) = started(&fake).await;
        handle.settled().await;
        fake.refuse(PATH, 403);
        fake.hang_up(PATH);
        kept.until(&[]).await;
        let text = watches.statuses()[0].to_string();
        assert_eq!(text, "maps forbidden (refused by the test)");
        assert!(watches.settled(Duration::ZERO).await, "waiting would be of no use");
        let asked = fake.requests(PATH);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(fake.requests(PATH), asked, "not again soon");
        fake.allow(PATH);
        kept.until(&[("a/one", "1")]).await;
    }

    #[tokio::test]
    async fn a_failing_server_is_no_reason_to_wait_for_ever_nor_to_forget() {
        let fake = Fake::start().await;
        fake.refuse(PATH, 500);
        let (kept, mut handle, watches) = started(&fake).await;
        assert!(!watches.settled(Duration::from_millis(50)).await);
        fake.put(PATH, map("a", "one", &json!("1")));
        fake.allow(PATH);
        handle.settled().await;
        kept.until(&[("a/one", "1")]).await;
        fake.refuse(PATH, 500);
        fake.hang_up(PATH);
        while handle.status().state.word() != "failing" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kept.until(&[("a/one", "1")]).await;
    }

    #[test]
    fn scopes_name_the_namespace_and_the_one_object() {
        let table = [
            (None, None, None),
            (Some("a"), None, Some("a")),
            (Some("a"), Some("type=x,metadata.name=b"), Some("a/b")),
            (None, Some("metadata.name=b"), Some("b")),
            (Some("a"), Some("type=x"), Some("a")),
        ];
        for (namespace, fields, scope) in table {
            let (namespace, fields) = (namespace.map(str::to_owned), fields.map(str::to_owned));
            assert_eq!(Target { namespace, fields, ..Target::all("x", MAPS) }.scope().as_deref(), scope);
        }
    }

    #[test]
    fn paths_are_those_of_the_api() {
        let workflows = Resource { group: "argoproj.io", version: "v1alpha1", plural: "workflows" };
        let table = [
            (MAPS, None, "/api/v1/configmaps"),
            (MAPS, Some("a"), "/api/v1/namespaces/a/configmaps"),
            (workflows, None, "/apis/argoproj.io/v1alpha1/workflows"),
            (workflows, Some("a"), "/apis/argoproj.io/v1alpha1/namespaces/a/workflows"),
        ];
        for (resource, namespace, path) in table {
            assert_eq!(resource.path(namespace), path);
        }
    }
}
