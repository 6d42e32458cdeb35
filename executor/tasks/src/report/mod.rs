//! Telling the controller what a step has left: a `WorkflowTaskResult`, by two REST calls.
//!
//! It is created as soon as `wait` runs, with a label that says that more is to come, and gets its last word whatever
//! happened: a controller that sees the label at `false` holds the Workflow back. Controllers of 3.3 whose pods may not make
//! such objects read annotations of the pod instead. A pod that has no Workflow gets a file.

mod client;

use std::cell::Cell;

use serde_json::{Map, Value, json};

use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::pod::Pod;
use crate::retry::Backoff;

pub(crate) use client::{Answer, Call, Client};

/// Says whether more is to come: 3.5.2 and later.
const COMPLETED: &str = "workflows.argoproj.io/report-outputs-completed";
/// Which controller a result is for.
const INSTANCE: &str = "workflows.argoproj.io/controller-instanceid";
/// Outputs as an annotation, up to 3.5.
const OUTPUTS: &str = "workflows.argoproj.io/outputs";
/// Progress as an annotation, up to 3.5.
const PROGRESS: &str = "workflows.argoproj.io/progress";
/// The folder of what a pod without a Workflow has left.
const FILES: &str = "/var/run/argo/outputs";

/// Where the word goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    TaskResult,
    Annotations,
    File,
}

/// What a step has to tell: outputs as the controller has them, and progress.
#[derive(Debug, Default)]
pub(crate) struct Word {
    pub(crate) outputs: Map<String, Value>,
    pub(crate) progress: Option<String>,
}

impl Word {
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        if !self.outputs.is_empty() {
            fields.insert("outputs".to_owned(), self.outputs.clone().into());
        }
        if let Some(progress) = &self.progress {
            fields.insert("progress".to_owned(), progress.clone().into());
        }
        fields
    }
}

/// One step's way to the controller.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pod: &'a Pod,
    client: Option<Client<'a>>,
    channel: Cell<Channel>,
}

impl<'a> Report<'a> {
    /// Finds out where the word goes.
    ///
    /// # Errors
    /// Where the pod has a Workflow and there is no way to the API server.
    pub(crate) fn of(pod: &'a Pod) -> Result<Self, Failure> {
        let has_workflow = pod.environment.workflow.is_some() && pod.environment.node.is_some();
        if !has_workflow {
            return Ok(Self { pod, client: None, channel: Cell::new(Channel::File) });
        }
        let client = Client::new(pod)?;
        Ok(Self { pod, client: Some(client), channel: Cell::new(Channel::TaskResult) })
    }

    /// Makes the result, with nothing in it yet.
    ///
    /// # Errors
    /// Where the API server refuses it for good.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        match self.channel.get() {
            Channel::TaskResult => self.put(&Word::default(), false).await,
            Channel::Annotations | Channel::File => Ok(()),
        }
    }

    /// Tells how far the step is.
    ///
    /// # Errors
    /// Where the API server refuses it for good.
    pub(crate) async fn progress(&self, progress: &str) -> Result<(), Failure> {
        let word = Word { progress: Some(progress.to_owned()), ..Word::default() };
        match self.channel.get() {
            Channel::File => Ok(()),
            _ => self.put(&word, false).await,
        }
    }

    /// The last word. Where what is told is refused, that nothing more will come is told all the same.
    ///
    /// # Errors
    /// Where the API server refuses it for good, or the file cannot be written.
    pub(crate) async fn finish(&self, word: &Word) -> Result<(), Failure> {
        if self.channel.get() == Channel::File {
            let folder = self.pod.shared.place(FILES);
            let file = folder.join("node.json");
            let text = Value::from(word.fields()).to_string();
            let written = files::make_folder(&folder, 0o777).and_then(|()| files::write(&file, text.as_bytes(), 0o644));
            return written.doing(|| format!("cannot write {}", file.display()));
        }
        let told = self.put(word, true).await;
        if told.is_err() && !word.fields().is_empty() {
            // The first failure is the one to tell.
            let _ = self.put(&Word::default(), true).await;
        }
        told
    }

    /// Brings a word to where it belongs, as often as it takes.
    async fn put(&self, word: &Word, last: bool) -> Result<(), Failure> {
        let backoff = Backoff::endless();
        let mut tried = 0;
        loop {
            tried += 1;
            let answer = match self.channel.get() {
                Channel::TaskResult => self.put_result(word, last).await,
                Channel::Annotations => self.annotate(word).await,
                Channel::File => return Ok(()),
            };
            match answer {
                Answer::Done(_) | Answer::Exists => return Ok(()),
                Answer::Forbidden(_) | Answer::Missing(_) if self.channel.get() == Channel::TaskResult => {
                    self.pod.say(|| "there are no WorkflowTaskResults for this pod: annotating it".to_owned());
                    self.channel.set(Channel::Annotations);
                    // What was refused first says more than that the pod may not be annotated either.
                    return match self.annotate(word).await {
                        Answer::Done(_) => Ok(()),
                        _ => {
                            self.channel.set(Channel::TaskResult);
                            let (Answer::Forbidden(why) | Answer::Missing(why)) = answer else { return Ok(()) };
                            Err(Failure::own(format!(
                                "cannot report outputs: {why}; the pod's service account needs create and patch on \
                                 workflowtaskresults.argoproj.io"
                            )))
                        }
                    };
                }
                Answer::Forbidden(why) | Answer::Missing(why) | Answer::Refused(why) => {
                    return Err(Failure::own(format!("cannot report outputs: {why}")));
                }
                Answer::Later(why) => {
                    self.pod.say(|| format!("try {tried}: {why}"));
                    backoff.wait(tried).await;
                }
            }
        }
    }

    /// Patches the result, or makes it where it is not there; in this order where something is to be told, in the other at
    /// the beginning.
    async fn put_result(&self, word: &Word, last: bool) -> Answer {
        let Some(client) = &self.client else { return Answer::Done(Value::Null) };
        let result = self.result(word, last);
        let first = !last && word.fields().is_empty();
        if !first {
            match client.patch_result(&result).await {
                Answer::Missing(_) => {}
                other => return other,
            }
        }
        match client.create_result(&result).await {
            // A run before this one, or another try whose answer was lost.
            Answer::Exists => client.patch_result(&result).await,
            other => other,
        }
    }

    async fn annotate(&self, word: &Word) -> Answer {
        let Some(client) = &self.client else { return Answer::Done(Value::Null) };
        let mut annotations = Map::new();
        if !word.outputs.is_empty() {
            annotations.insert(OUTPUTS.to_owned(), Value::from(word.outputs.clone()).to_string().into());
        }
        if let Some(progress) = &word.progress {
            annotations.insert(PROGRESS.to_owned(), progress.clone().into());
        }
        client.patch_pod(&json!({ "metadata": { "annotations": annotations } })).await
    }

    fn result(&self, word: &Word, last: bool) -> Value {
        let environment = &self.pod.environment;
        let (name, uid) = environment.workflow.clone().unwrap_or_default();
        let mut labels = Map::new();
        labels.insert(emissary_contract::label::WORKFLOW.to_owned(), name.clone().into());
        labels.insert(COMPLETED.to_owned(), last.to_string().into());
        if let Some(instance) = &environment.instance {
            labels.insert(INSTANCE.to_owned(), instance.clone().into());
        }
        let (pod, pod_uid) = &environment.pod;
        // Controllers that do not tell the Workflow's uid have the pod for an owner.
        let owner = match (uid.is_empty(), pod_uid.is_empty()) {
            (false, _) => {
                Some(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": name, "uid": uid}))
            }
            (true, false) => Some(json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": pod_uid})),
            (true, true) => None,
        };
        let mut result = word.fields();
        let mut metadata = json!({ "name": environment.node, "labels": labels });
        if let (Some(owner), Some(metadata)) = (owner, metadata.as_object_mut()) {
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
        result.insert("apiVersion".to_owned(), "argoproj.io/v1alpha1".into());
        result.insert("kind".to_owned(), "WorkflowTaskResult".into());
        result.insert("metadata".to_owned(), metadata);
        result.into()
    }
}
