//! `argoexec agent`: the pod that does a workflow's tasks which need no pod of their own.
//!
//! The controller writes such tasks, HTTP requests and what plugins do, into the workflow's `WorkflowTaskSet`. `agent init`
//! gives each plugin's container a token; `agent main` follows the set, does its tasks, so many at a time, and patches the
//! set's status with what came of them. It ends when the workflow has ended. One thread does all of it: it mostly waits for
//! others.
//!
//! `queue` says what is done and when, `http` and `plugin` do it, `report` tells it; `watch` knows the API's way to follow an
//! object. The agent has no template, so that what it shares with the other verbs is a [`Pod`] with an empty one.

mod http;
mod outcome;
mod plugin;
mod queue;
mod report;
mod settings;
mod token;
mod watch;

use std::pin::pin;
use std::time::Duration;

use emissary_contract::path;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::report::Client;
use crate::shared::read_text;

use http::{Calls, Http};
use outcome::Outcome;
use plugin::{Asked, Plugins};
use queue::{Queue, Task};
use report::Untold;
use watch::Seen;

pub(crate) use settings::Settings;

/// How long an agent that has to end may take to tell what it knows.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The longest name of a namespace, bytes.
const LONGEST_NAMESPACE: u64 = 1 << 10;

/// What an agent does of a template; the other fields are the plugins'.
#[derive(Deserialize)]
struct Template<'a> {
    http: Option<Http>,
    #[serde(borrow)]
    plugin: Option<&'a RawValue>,
}

/// Does what the word behind `agent` says.
///
/// # Errors
/// Where it says nothing that is known; as [`token::write`] and [`follow`].
pub(crate) async fn run(pod: &Pod, word: &str) -> Result<(), Failure> {
    match word {
        "init" => token::write(pod),
        "main" => follow(pod).await,
        other => Err(Failure::own(format!("argoexec agent does not know {other:?}; it knows init and main"))),
    }
}

/// Does a workflow's tasks until it has ended.
///
/// # Errors
/// Where the task set may not be watched or its status patched, a plugin has no token, and after SIGTERM.
async fn follow(pod: &Pod) -> Result<(), Failure> {
    if pod.environment.workflow.is_none() {
        return Err(Failure::own("ARGO_WORKFLOW_NAME is not set: there is no workflow to be the agent of"));
    }
    let kind = SignalKind::terminate();
    let mut terminate = signal(kind).doing(|| "cannot wait for signals".to_owned())?;
    let told = async {
        terminate.recv().await;
        Failure::signalled(kind.as_raw_value())
    };
    work(pod, told).await
}

/// Works until the workflow has ended, or something says why not to go on.
async fn work(pod: &Pod, told: impl Future<Output = Failure>) -> Result<(), Failure> {
    let mut told = pin!(told);
    let settings = &pod.environment.agent;
    let client = Client::new(pod)?;
    let plugins = Plugins::read(pod)?;
    let calls = Calls::new(pod, &client);
    let mut seen = pin!(watch::follow(pod, &client));
    let mut queue = Queue::default();
    let mut untold = Untold::new(settings.rate);
    let mut running = FuturesUnordered::new();
    // One patch at a time: they are merged in the order in which they come.
    let mut telling = FuturesUnordered::new();
    tokio::select! {
        proved = report::prove(pod, &client) => proved?,
        failure = &mut told => return Err(failure),
    }
    let failure = loop {
        let now = Instant::now();
        while running.len() < settings.workers
            && let Some(task) = queue.begin(now)
        {
            pod.say(|| format!("node {} begins", task.node));
            running.push(execute(pod, &calls, &plugins, task));
        }
        if telling.is_empty() && untold.due().is_some_and(|due| due <= now) {
            telling.push(report::tell(pod, &client, untold.take(now)));
        }
        // While one patch is on its way, its end is what is waited for.
        let due = untold.due().filter(|_| telling.is_empty());
        let wake = queue.wake().filter(|_| running.len() < settings.workers);
        tokio::select! {
            event = seen.next() => match event {
                Some(Ok(Seen::Set(set))) => queue.see(set),
                // Nobody wants to know any more.
                Some(Ok(Seen::Over)) | None => return Ok(()),
                Some(Err(failure)) => break failure,
            },
            Some((task, (outcome, again))) = running.next(), if !running.is_empty() => {
                let now = Instant::now();
                if let Some(outcome) = outcome.filter(|_| queue.wants(&task.node)) {
                    pod.say(|| format!("node {}: {} {}", task.node, outcome.phase, outcome.message));
                    untold.add(task.node.clone(), outcome, now);
                }
                queue.end(task, again.and_then(|again| now.checked_add(again)));
            }
            Some(()) = telling.next(), if !telling.is_empty() => {}
            () = until(due) => {}
            () = until(wake) => {}
            failure = &mut told => break failure,
        }
    };
    let last = async {
        while telling.next().await.is_some() {}
        report::tell(pod, &client, untold.take(Instant::now())).await;
    };
    if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
        pod.say(|| "what came of some tasks could not be told in time".to_owned());
    }
    Err(failure)
}

/// Waits for a time; for ever where there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn execute(pod: &Pod, calls: &Calls<'_>, plugins: &Plugins, task: Task) -> (Task, Asked) {
    let asked = match serde_json::from_str::<Template>(task.template.get()) {
        Ok(Template { http: Some(http), .. }) => (Some(calls.execute(&http).await), None),
        Ok(Template { plugin: Some(_), .. }) => plugins.execute(pod, &task.template).await,
        Ok(_) => (Some(Outcome::error("an agent does HTTP and plugin templates, and this is neither")), None),
        Err(error) => (Some(Outcome::error(format!("the template cannot be read: {error}"))), None),
    };
    (task, asked)
}

/// The pod's namespace.
///
/// # Errors
/// Where the kubelet has not written it.
fn namespace(pod: &Pod) -> Result<String, Failure> {
    let file = pod.shared.place(path::SERVICE_ACCOUNT).join("namespace");
    let text = read_text(&file, LONGEST_NAMESPACE).doing(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim().to_owned())
}
