//! The pods of other executors: what a controller would send in a pod's place, before any admission sees it.

use super::candidate::Candidate;
use super::doubt::Doubt;
use super::verdict::Column;
use emissary_core::pod::executor::{CannotPutOn, put_on};
use emissary_core::pod::{Executor, ExecutorSettings};
use serde_json::Value;

/// A pod as a controller would send it, and what in it is not known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Built {
    pub(super) pod: Value,
    pub(super) doubts: Vec<Doubt>,
}

/// The pods that a template comes to, by executor; a text where there is none, which says why.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered(pub(super) Vec<(Column, Result<Built, String>)>);

/// What the controller of a pod that was sent would have sent for another executor.
#[derive(Debug)]
pub(super) enum PutOn {
    /// The very same.
    Same,
    /// This pod.
    Other(Box<Candidate>, Vec<Doubt>),
    /// Nobody made it for an executor, as far as it tells.
    Bare(String),
    /// Nobody can tell, because of that.
    Unknown(String),
}

impl Candidate {
    /// Puts another executor on the pod, and on the pod that it was before.
    pub(super) fn put_on(&self, executor: Executor, settings: &ExecutorSettings) -> PutOn {
        let mut doubts = Vec::new();
        let mut put = |pod: &Value| match pod {
            Value::Null => Ok(Value::Null),
            pod => put_on(pod, executor, settings).map(|made| {
                doubts.extend(made.unknown.into_iter().map(Doubt::of_unknown));
                made.pod
            }),
        };
        match (put(&self.object), put(&self.old_object)) {
            (Ok(object), Ok(old)) if object == self.object && old == self.old_object => PutOn::Same,
            (Ok(object), Ok(old)) => PutOn::Other(Box::new(self.with(object, old)), doubts),
            (Err(why @ CannotPutOn::Bare), _) | (_, Err(why @ CannotPutOn::Bare)) => PutOn::Bare(why.to_string()),
            (Err(why), _) | (_, Err(why)) => PutOn::Unknown(why.to_string()),
        }
    }
}
