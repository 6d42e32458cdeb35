//! One object in, one [`Outcome`] out: plan, look up what the plan lacks, apply.
//!
//! Server, `rewrite`, `demo` and every later review call this and nothing below it. What it needs from outside it is given
//! as values, or asks through [`Surroundings`].

mod ahead;
mod counts;
mod look_up;
mod subject;

#[cfg(test)]
mod tests;

pub use ahead::{Stored, wanted_ahead};
pub use counts::LookUpMetrics;
pub use look_up::{Asking, Leave};
pub use subject::{Kind, Subject, Unreadable};

use emissary_core::lookup::Indexes;
use emissary_core::outcome::{Outcome, Skip};
use emissary_core::pod::{self, Pod};
use emissary_core::workflow;
use emissary_registry::Keyring;
use std::sync::Arc;

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

/// What is known of an object's surroundings, at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Labels of the object's namespace.
    pub namespace_labels: Vec<(String, String)>,
    /// The credentials that the object's look-ups may use.
    pub keyring: Arc<Keyring>,
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
}

/// The label by which a namespace asks for Pod Security Admission (Kubernetes API).
const POD_SECURITY_ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// Mutates one object.
///
/// # Errors
/// [`Unreadable`] where the object is not what its kind says.
pub async fn mutate<P>(
    subject: &Subject<'_>,
    rules: Rules<'_>,
    facts: &Facts,
    asking: Asking<'_, P>,
) -> Result<Outcome, Unreadable> {
    if subject.sub_resource.is_some_and(|sub_resource| !sub_resource.is_empty()) {
        return Ok(Outcome::Skip(Skip::Subresource));
    }
    match subject.kind {
        Kind::Other => Ok(Outcome::Skip(Skip::OtherKind)),
        Kind::Pod if subject.operation != "CREATE" => Ok(Outcome::Skip(Skip::Operation)),
        Kind::Pod => {
            let plan = {
                let pod = Pod::parse(subject.object)?;
                let restricted = facts.namespace_label(POD_SECURITY_ENFORCE) == Some("restricted");
                let context = pod::Context { name: subject.name, namespace_restricted: restricted };
                match pod::plan(&pod, &context, rules.pod, &rules.indexes) {
                    Ok(plan) => plan,
                    Err(skip) => return Ok(Outcome::Skip(skip)),
                }
            };
            // Even for a pod that is denied anyway: its user is told everything at once.
            let answers = asking.answers(&plan.look_ups()).await;
            Ok(plan.apply(&answers, &rules.indexes))
        }
        Kind::Workflow(kind) => {
            if let Some(skip) = subject.workflow_skip(kind)? {
                return Ok(Outcome::Skip(skip));
            }
            let plan = match workflow::plan(subject.object, kind, rules.pod, rules.workflow, &rules.indexes)? {
                Ok(plan) => plan,
                Err(skip) => return Ok(Outcome::Skip(skip)),
            };
            let answers = asking.answers(&plan.look_ups()).await;
            Ok(plan.apply(&answers, &rules.indexes))
        }
    }
}
