//! The task set of a workflow, followed by REST alone: one list, then one watch from where the list ended.
//!
//! A watch that ends goes on from the version that was seen last. Where the server has forgotten that version (410), the list
//! is asked for again. A service account that may not list is watched for from the beginning, which tells the same; only that
//! the set was removed meanwhile is then not seen.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::queue::TaskSet;
use crate::failure::Failure;
use crate::pod::Pod;
use crate::report::{Answer, Client};
use crate::retry::Backoff;

/// How long the server is to keep a watch open, seconds.
const WATCH: u64 = 300;
/// How long an answer may take in all: a little longer than the watch.
const PATIENCE: Duration = Duration::from_secs(WATCH + 30);
/// A watch that lasted so long was none that failed.
const STEADY: Duration = Duration::from_secs(10);
/// The longest line or list, bytes. An object is at most 1.5 MiB as it is stored.
const LONGEST: usize = 8 << 20;
/// Says that a workflow has ended.
const COMPLETED: &str = "workflows.argoproj.io/completed";

/// What has become of the task set.
#[derive(Debug)]
pub(super) enum Seen {
    Set(TaskSet),
    /// It was removed, is of another workflow of the same name, or its workflow has ended.
    Over,
}

/// Follows the task set of the pod's workflow.
pub(super) fn follow<'a>(pod: &'a Pod, client: &'a Client<'a>) -> impl Stream<Item = Result<Seen, Failure>> + 'a {
    let (name, uid) = pod.environment.workflow.clone().unwrap_or_default();
    let watch =
        Watch { pod, client, name, uid, since: Since::Unknown, lines: None, tried: 0, was_there: false, began: false };
    unfold(watch, async |mut watch| Some((watch.next().await, watch)))
}

/// Where a watch goes on.
#[derive(Debug)]
enum Since {
    /// What there is has to be asked for.
    Unknown,
    /// From what there is now, which is told first.
    Beginning,
    Version(String),
}

struct Watch<'a> {
    pod: &'a Pod,
    client: &'a Client<'a>,
    name: String,
    uid: String,
    since: Since,
    lines: Option<Lines>,
    tried: usize,
    was_there: bool,
    /// Whether there has been a watch.
    began: bool,
}

/// A list of task sets.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    items: Vec<Object>,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// A task set, or what an error of a watch has in its place.
#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    kind: String,
    uid: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    tasks: BTreeMap<String, Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    phase: String,
}

/// What a watch says instead of an object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Trouble {
    code: u16,
    message: String,
}

impl Watch<'_> {
    async fn next(&mut self) -> Result<Seen, Failure> {
        loop {
            if let Since::Unknown = self.since {
                match self.list().await? {
                    Some(seen) => return Ok(seen),
                    None => continue,
                }
            }
            let Some(lines) = &mut self.lines else {
                self.connect().await?;
                continue;
            };
            match lines.next().await {
                Some(line) => {
                    if let Some(seen) = self.event(&line).await {
                        return Ok(seen);
                    }
                }
                None => {
                    let lasted = lines.begun.elapsed();
                    self.lines = None;
                    if lasted > STEADY {
                        self.tried = 0;
                    }
                    self.pause("the watch has ended").await;
                }
            }
        }
    }

    async fn pause(&mut self, why: &str) {
        self.tried += 1;
        self.pod.say(|| format!("task set, try {}: {why}", self.tried));
        Backoff::endless().wait(self.tried).await;
    }

    fn path(&self) -> String {
        format!(
            "/apis/argoproj.io/v1alpha1/namespaces/{}/workflowtasksets?fieldSelector=metadata.name%3D{}",
            self.client.namespace(),
            self.name
        )
    }

    /// Asks what there is. Nothing where that has to be tried again, or is left to the watch.
    async fn list(&mut self) -> Result<Option<Seen>, Failure> {
        let answer = match self.client.open(&self.path(), PATIENCE).await {
            Ok(response) if response.status().is_success() => match whole(response).await {
                Ok(list) => {
                    self.since = Since::Version(list.metadata.resource_version);
                    self.tried = 0;
                    return Ok(match list.items.into_iter().find(|object| object.metadata.name == self.name) {
                        Some(object) => Some(self.seen(object)),
                        None if self.was_there => Some(Seen::Over),
                        None => None,
                    });
                }
                Err(why) => Answer::Later(why),
            },
            Ok(response) => Client::refusal(response).await,
            Err(answer) => answer,
        };
        match answer {
            Answer::Forbidden(why) => {
                self.pod.say(|| format!("cannot list, so the watch begins at the beginning: {why}"));
                self.since = Since::Beginning;
                Ok(None)
            }
            other => self.later(other).await.map(|()| None),
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        let since = match &self.since {
            Since::Version(version) => format!("&resourceVersion={version}"),
            Since::Beginning | Since::Unknown => String::new(),
        };
        let path = format!("{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}{since}", self.path());
        match self.client.open(&path, PATIENCE).await {
            Ok(response) if response.status().is_success() => {
                self.lines = Some(Lines { response, rest: Vec::new(), looked: 0, begun: Instant::now() });
                self.began = true;
                Ok(())
            }
            Ok(response) if response.status() == StatusCode::GONE => {
                self.forget().await;
                Ok(())
            }
            Ok(response) => {
                let answer = Client::refusal(response).await;
                self.later(answer).await
            }
            Err(answer) => self.later(answer).await,
        }
    }

    /// Tries again later, or does not. What could be watched once is tried for as long as it takes: to begin anew would do
    /// tasks again.
    async fn later(&mut self, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Later(why) => {
                self.pause(&why).await;
                Ok(())
            }
            other if self.began => {
                self.pause(&other.to_string()).await;
                Ok(())
            }
            other => Err(Failure::own(format!(
                "cannot watch the workflow's tasks: {other}; the pod's service account needs list and watch on \
                 workflowtasksets.argoproj.io"
            ))),
        }
    }

    /// Begins anew: the server does not know the version any more.
    async fn forget(&mut self) {
        self.lines = None;
        self.since = Since::Unknown;
        self.pause("the version is too old").await;
    }

    async fn event(&mut self, line: &[u8]) -> Option<Seen> {
        let Ok(Event { kind, object }) = serde_json::from_slice(line) else {
            self.forget().await;
            return None;
        };
        if kind == "ERROR" {
            let trouble: Trouble = serde_json::from_str(object.get()).unwrap_or_default();
            self.pod.say(|| format!("the watch says {}: {}", trouble.code, trouble.message));
            self.forget().await;
            return None;
        }
        let Ok(object) = serde_json::from_str::<Object>(object.get()) else {
            self.forget().await;
            return None;
        };
        self.tried = 0;
        if !object.metadata.resource_version.is_empty() {
            self.since = Since::Version(object.metadata.resource_version.clone());
        }
        match kind {
            "ADDED" | "MODIFIED" if object.metadata.name == self.name => Some(self.seen(object)),
            "DELETED" if object.metadata.name == self.name => Some(Seen::Over),
            _ => None,
        }
    }

    fn seen(&mut self, object: Object) -> Seen {
        self.was_there = true;
        let of_another = |owner: &Owner| owner.kind == "Workflow" && owner.uid != self.uid;
        let foreign = !self.uid.is_empty() && object.metadata.owner_references.iter().any(of_another);
        let ended = object.metadata.labels.get(COMPLETED).is_some_and(|completed| completed == "true");
        if foreign || ended {
            return Seen::Over;
        }
        let nodes = object.status.unwrap_or_default().nodes;
        Seen::Set(TaskSet {
            tasks: object.spec.tasks,
            phases: nodes.into_iter().map(|(node, told)| (node, told.phase)).collect(),
        })
    }
}

/// Everything that an answer holds.
async fn whole(mut response: Response) -> Result<List, String> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| crate::storage::chain(&error.without_url()))? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST {
            return Err(format!("the answer is longer than {LONGEST} bytes"));
        }
    }
    serde_json::from_slice(&text).map_err(|error| format!("the answer is no list: {error}"))
}

/// An answer, a line at a time.
struct Lines {
    response: Response,
    rest: Vec<u8>,
    /// How much of the rest has no end of a line.
    looked: usize,
    begun: Instant,
}

impl Lines {
    /// The next line; nothing at the end, and where the connection broke or the line is too long.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let found = self.rest.get(self.looked..)?.iter().position(|byte| *byte == b'\n');
            if let Some(length) = found {
                let behind = self.rest.split_off(self.looked + length + 1);
                self.looked = 0;
                return Some(std::mem::replace(&mut self.rest, behind));
            }
            self.looked = self.rest.len();
            if self.looked > LONGEST {
                return None;
            }
            self.rest.extend_from_slice(&self.response.chunk().await.ok()??);
        }
    }
}
