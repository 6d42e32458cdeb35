//! Executor plugins: containers of the agent's pod that do tasks of their own kinds, asked by HTTP one after another.

use std::cell::Cell;
use std::time::Duration;

use emissary_contract::go_duration;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::outcome::{self, Outcome};
use super::token;
use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::retry::Backoff;
use crate::storage::chain;

/// How long an answer may take (Argo's own).
const PATIENCE: Duration = Duration::from_secs(30);
/// How a plugin is asked again that is not there yet, or says that it cannot now (Argo's own).
const AGAIN: Backoff = Backoff { steps: 5, first: Duration::from_secs(1), factor: 2.0, jitter: 0.2 };
/// The longest answer, bytes.
const LONGEST: usize = 1 << 20;
/// What is shown of an answer that is an error, characters.
const SHOWN: usize = 500;
/// The one thing that a plugin is asked.
const METHOD: &str = "/api/v1/template.execute";

/// The plugins of a pod.
#[derive(Debug)]
pub(super) struct Plugins {
    client: reqwest::Client,
    plugins: Vec<Plugin>,
    /// The workflow, as plugins are told of it.
    workflow: Value,
}

#[derive(Debug)]
struct Plugin {
    name: String,
    url: String,
    token: String,
    /// It has no such method, and is not asked again.
    without: Cell<bool>,
}

/// What a plugin says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    node: Option<Node>,
    requeue: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    phase: String,
    message: String,
    outputs: Option<Map<String, Value>>,
    progress: String,
}

/// Why a plugin says nothing of use.
enum Silence {
    /// It is not its task.
    Passed,
    /// Worth another try.
    Passing(String),
    /// Not worth one.
    Lasting(String),
}

/// What came of asking: an outcome to tell, if there is one, and whether to ask again and when.
pub(super) type Asked = (Option<Outcome>, Option<Duration>);

impl Plugins {
    /// The plugins that the controller names, with the tokens that `agent init` has written.
    ///
    /// # Errors
    /// Where names and addresses do not fit each other, or a token is missing.
    pub(super) fn read(pod: &Pod) -> Result<Self, Failure> {
        let names = token::plugins(pod)?;
        let addresses = token::list(pod.environment.agent.addresses.as_deref(), "ARGO_PLUGIN_ADDRESSES")?;
        if names.len() != addresses.len() {
            return Err(Failure::own(format!(
                "ARGO_PLUGIN_NAMES has {} plugins and ARGO_PLUGIN_ADDRESSES {}",
                names.len(),
                addresses.len()
            )));
        }
        let plugins = names.into_iter().zip(addresses).map(|(name, address)| {
            let token = token::read(pod, &name)?;
            Ok(Plugin { name, url: format!("{address}{METHOD}"), token, without: Cell::new(false) })
        });
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            // They are in this pod.
            .no_proxy()
            .http1_only()
            .build()
            .doing(|| "cannot make a client for plugins".to_owned())?;
        let (name, uid) = pod.environment.workflow.clone().unwrap_or_default();
        let namespace = super::namespace(pod)?;
        let workflow = json!({ "metadata": { "name": name, "namespace": namespace, "uid": uid } });
        Ok(Self { plugins: plugins.collect::<Result<_, Failure>>()?, client, workflow })
    }

    /// Asks one plugin after another until one takes the task.
    pub(super) async fn execute(&self, pod: &Pod, template: &RawValue) -> Asked {
        // The template goes on as it came.
        let body = format!("{{\"workflow\":{},\"template\":{}}}", self.workflow, template.get());
        for plugin in self.plugins.iter().filter(|plugin| !plugin.without.get()) {
            match self.again(pod, plugin, &body).await {
                Ok(asked) => return asked,
                Err(Silence::Passed) => {}
                Err(Silence::Passing(why) | Silence::Lasting(why)) => {
                    return (Some(Outcome::failed(format!("plugin {}: {why}", plugin.name))), None);
                }
            }
        }
        (Some(Outcome::failed("no plugin executed the template")), None)
    }

    async fn again(&self, pod: &Pod, plugin: &Plugin, body: &str) -> Result<Asked, Silence> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.ask(plugin, body).await {
                Err(Silence::Passing(why)) => {
                    pod.say(|| format!("plugin {}, try {tried}: {why}", plugin.name));
                    if !AGAIN.wait(tried).await {
                        return Err(Silence::Passing(why));
                    }
                }
                other => return other,
            }
        }
    }

    async fn ask(&self, plugin: &Plugin, body: &str) -> Result<Asked, Silence> {
        let request = self.client.post(&plugin.url).bearer_auth(&plugin.token);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.map_err(|error| match error.is_builder() {
            true => Silence::Lasting(format!("its address is none: {}", chain(&error.without_url()))),
            false => Silence::Passing(chain(&error.without_url())),
        })?;
        let status = response.status();
        let text = text(response).await?;
        let shown = || text.trim().chars().take(SHOWN).collect::<String>();
        match status {
            StatusCode::OK => read(&text),
            StatusCode::NOT_FOUND => {
                plugin.without.set(true);
                Err(Silence::Passed)
            }
            StatusCode::SERVICE_UNAVAILABLE => Err(Silence::Passing(shown())),
            status => Err(Silence::Lasting(format!("{status}: {}", shown()))),
        }
    }
}

async fn text(mut response: Response) -> Result<String, Silence> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Silence::Passing(chain(&error.without_url())))? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST {
            return Err(Silence::Lasting(format!("its answer is longer than {LONGEST} bytes")));
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads what a plugin says; nothing is as good as an empty object.
fn read(text: &str) -> Result<Asked, Silence> {
    if text.trim().is_empty() {
        return Err(Silence::Passed);
    }
    let wrong = |why: String| Silence::Lasting(format!("its answer is none: {why}"));
    let reply: Reply = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Some(node) = reply.node else { return Err(Silence::Passed) };
    let again = match reply.requeue.as_deref() {
        None => None,
        Some(duration) => {
            let parsed = go_duration(duration).ok_or_else(|| wrong(format!("requeue {duration:?} is no duration")))?;
            Some(parsed).filter(|again| !again.is_zero())
        }
    };
    if node.phase.is_empty() {
        // To say nothing and not to be asked again would leave the node as it is for ever.
        return match again {
            Some(_) => Ok((None, again)),
            None => Err(wrong("the node has no phase, and there is no requeue".to_owned())),
        };
    }
    let phase = outcome::phase(&node.phase).ok_or_else(|| wrong(format!("{:?} is no phase", node.phase)))?;
    let mut outcome = Outcome::new(phase, node.message);
    outcome.outputs = node.outputs.map(outcome::with_texts);
    outcome.progress = Some(node.progress).filter(|progress| !progress.is_empty());
    // What has succeeded is not done again, whatever the plugin asks for.
    Ok((Some(outcome), again.filter(|_| phase != "Succeeded")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_are_read() {
        let cases = [
            ("{}", "passed"),
            ("", "passed"),
            ("{\"node\":null,\"requeue\":\"1s\"}", "passed"),
            ("{\"node\":{\"phase\":\"Succeeded\",\"message\":\"m\"},\"requeue\":\"1s\"}", "Succeeded m None"),
            ("{\"node\":{\"phase\":\"Running\",\"progress\":\"1/2\"},\"requeue\":\"2m\"}", "Running  Some(120s)"),
            ("{\"node\":{\"phase\":\"Failed\",\"message\":\"m\"},\"requeue\":\"0s\"}", "Failed m None"),
            ("{\"node\":{},\"requeue\":\"1s\"}", "nothing Some(1s)"),
            ("{\"node\":{}}", "its answer is none: the node has no phase, and there is no requeue"),
            ("{\"node\":{\"phase\":\"Done\"}}", "its answer is none: \"Done\" is no phase"),
            (
                "{\"node\":{\"phase\":\"Running\"},\"requeue\":\"soon\"}",
                "its answer is none: requeue \"soon\" is no duration",
            ),
            ("[", "its answer is none: EOF while parsing a list at line 1 column 1"),
        ];
        for (text, expected) in cases {
            let said = match read(text) {
                Ok((Some(outcome), again)) => format!("{} {} {again:?}", outcome.phase, outcome.message),
                Ok((None, again)) => format!("nothing {again:?}"),
                Err(Silence::Passed) => "passed".to_owned(),
                Err(Silence::Passing(why) | Silence::Lasting(why)) => why,
            };
            assert_eq!(said, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_reply_is_read_or_refused(text in "\\{\"node\":\\{[\":,a-z0-9\\[\\]{}]{0,24}|.*") {
            let _ = read(&text);
        }
    }
}
