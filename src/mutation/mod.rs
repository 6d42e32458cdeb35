//! One object in, one [`Outcome`] out: plan, look up what the plan lacks, apply.
//!
//! Server, `rewrite`, `demo` and every later review call this and nothing below it. What it needs from outside it is given
//! as values, or asks through [`Surroundings`].

mod ahead;
mod counts;
mod labels;
mod look_up;
mod subject;

#[cfg(test)]
mod tests;

pub use ahead::{Stored, wanted_ahead};
pub use counts::{LookUpMetrics, PrefetchMetrics};
pub use labels::ObjectLabels;
pub use look_up::{Asking, Leave};
pub use subject::{Kind, Owner, Subject, Unreadable};

use emissary_core::image::Platform;
use emissary_core::lookup::{Answers, Indexes, LookUp};
use emissary_core::outcome::{Outcome, Skip, Warning};
use emissary_core::pod::{self, Pod};
use emissary_core::workflow;
use emissary_registry::Keyring;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

/// Says which rules hold for an object.
pub trait Choose<'a> {
    /// The rules for an object with these labels.
    fn rules(self, labels: &ObjectLabels<'_>) -> Rules<'a>;
}

/// The same for all.
impl<'a> Choose<'a> for Rules<'a> {
    fn rules(self, _: &ObjectLabels<'_>) -> Rules<'a> {
        self
    }
}

impl<'a, F: FnOnce(&ObjectLabels<'_>) -> Rules<'a>> Choose<'a> for F {
    fn rules(self, labels: &ObjectLabels<'_>) -> Rules<'a> {
        self(labels)
    }
}

/// What an operator has decided, at one moment. Nothing later in the same mutation reads anything newer.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// How pods are rewritten.
    pub pod: &'a pod::Options,
    /// How workflow kinds are filled.
    pub workflow: &'a workflow::WorkflowOptions,
    /// The image indexes.
    pub indexes: Indexes<'a>,
}

/// Labels of an object, shared by all who read them.
pub type Labels = Arc<[(String, String)]>;

/// What is known of an object's surroundings, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Labels of the object's namespace.
    pub namespace_labels: Labels,
    /// The credentials that the object's look-ups may use.
    pub keyring: Arc<Keyring>,
    /// What is wrong with the credentials that it names; said where a look-up could have used them.
    pub keyring_warnings: Vec<Warning>,
    /// What the namespace's LimitRanges allow.
    pub limits: Option<Arc<pod::Limits>>,
    /// The platforms of the cluster's nodes, where the operator wants them to count.
    pub node_platforms: Arc<[Platform]>,
    /// Labels of the Workflow that owns the object, where they matter and are known.
    pub workflow_labels: Option<Labels>,
}

impl Facts {
    /// A label of the namespace.
    pub fn namespace_label(&self, key: &str) -> Option<&str> {
        self.namespace_labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Where facts come from: informers in a cluster, documents offline, nothing in a demo. Never a request of its own.
pub trait Surroundings: Send + Sync {
    /// What is known of the object's surroundings now.
    fn facts(&self, subject: &Subject<'_>) -> Facts;

    /// The labels of a Workflow, which may have been created a moment ago and not be known yet: waits a little for it.
    fn workflow_labels<'s>(
        &'s self,
        _namespace: &'s str,
        _owner: &'s Owner,
    ) -> Pin<Box<dyn Future<Output = Option<Labels>> + Send + 's>> {
        Box::pin(ready(None))
    }
}

/// The label by which a namespace asks for Pod Security Admission (Kubernetes API).
const POD_SECURITY_ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// An object of which everything is decided that needs no registry.
#[derive(Debug)]
pub enum Prepared<'a> {
    /// Nothing is left to decide.
    Settled(Outcome),
    /// A pod, whose images are to be looked up.
    Pod(Box<pod::Plan>, Rules<'a>, Vec<Warning>),
    /// A workflow kind, whose images are to be looked up.
    Workflow(workflow::Plan, Rules<'a>, Vec<Warning>),
}

impl Prepared<'_> {
    /// What the plan lacks.
    pub fn look_ups(&self) -> Vec<&LookUp> {
        match self {
            Self::Settled(_) => Vec::new(),
            Self::Pod(plan, ..) => plan.look_ups(),
            Self::Workflow(plan, ..) => plan.look_ups(),
        }
    }

    /// Takes the answers and makes the outcome.
    pub fn apply(self, answers: &Answers) -> Outcome {
        // What is wrong with credentials matters to who needed them.
        let said = |needed: bool, warnings: Vec<Warning>| if needed { warnings } else { Vec::new() };
        let needed = !self.look_ups().is_empty();
        match self {
            Self::Settled(outcome) => outcome,
            Self::Pod(plan, rules, warnings) => {
                plan.apply(answers, &rules.indexes).with_warnings(&said(needed, warnings))
            }
            Self::Workflow(plan, rules, warnings) => {
                plan.apply(answers, &rules.indexes).with_warnings(&said(needed, warnings))
            }
        }
    }
}

/// Decides what needs no registry.
///
/// # Errors
/// [`Unreadable`] where the object is not what its kind says.
pub fn prepare<'a>(subject: &Subject<'_>, rules: impl Choose<'a>, facts: &Facts) -> Result<Prepared<'a>, Unreadable> {
    if subject.sub_resource.is_some_and(|sub_resource| !sub_resource.is_empty()) {
        return Ok(Prepared::Settled(Outcome::Skip(Skip::Subresource)));
    }
    match subject.kind {
        Kind::Other => Ok(Prepared::Settled(Outcome::Skip(Skip::OtherKind))),
        Kind::Pod if subject.operation != "CREATE" => Ok(Prepared::Settled(Outcome::Skip(Skip::Operation))),
        Kind::Pod => {
            let pod = Pod::parse(subject.object)?;
            let rules = rules.rules(&ObjectLabels::Read(pod.metadata()));
            let restricted = facts.namespace_label(POD_SECURITY_ENFORCE) == Some("restricted");
            let context = pod::Context {
                name: subject.name,
                namespace_restricted: restricted,
                limits: facts.limits.as_deref(),
                node_platforms: &facts.node_platforms,
                workflow_labels: facts.workflow_labels.as_deref(),
            };
            Ok(match pod::plan(&pod, &context, rules.pod, &rules.indexes) {
                Ok(plan) => Prepared::Pod(Box::new(plan), rules, facts.keyring_warnings.clone()),
                Err(skip) => Prepared::Settled(Outcome::Skip(skip)),
            })
        }
        Kind::Workflow(kind) => {
            if let Some(skip) = subject.workflow_skip(kind)? {
                return Ok(Prepared::Settled(Outcome::Skip(skip)));
            }
            let rules = rules.rules(&ObjectLabels::Unread(subject.object));
            Ok(match workflow::plan(subject.object, kind, rules.pod, rules.workflow, &rules.indexes)? {
                Ok(plan) => Prepared::Workflow(plan, rules, facts.keyring_warnings.clone()),
                Err(skip) => Prepared::Settled(Outcome::Skip(skip)),
            })
        }
    }
}

/// Mutates one object: what it comes to, and what was looked up for it.
///
/// # Errors
/// [`Unreadable`] where the object is not what its kind says.
pub async fn mutate<'a, P>(
    subject: &Subject<'_>,
    rules: impl Choose<'a>,
    facts: &Facts,
    asking: Asking<'_, P>,
) -> Result<(Outcome, Answers), Unreadable> {
    let prepared = prepare(subject, rules, facts)?;
    // Even for a pod that is denied anyway: its user is told everything at once.
    let answers = asking.answers(&prepared.look_ups()).await;
    Ok((prepared.apply(&answers), answers))
}
