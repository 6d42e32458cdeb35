//! PodSecurityPolicy, as the API server's admission plugin of Kubernetes 1.20 to 1.24 applies it.
//!
//! A pod is admitted by one policy of those that its creator or its service account may `use`. A policy may change the pod (it fills in
//! what the pod leaves open) and then judges what came of it. One that has nothing to change goes before one that has, then names decide.
//! The plugin runs before mutating webhooks, again after one has changed the pod, and at the end once more without changing anything:
//! [`Psp::admit`] is the first two, [`Psp::validate`] the last.
//!
//! Errors are in the plugin's words; across policies the plugin has them in no particular order, here they are in that of the names.

mod admission;
mod error;
mod mutate;
mod parse;
mod policy;
mod rbac;
mod subject;
mod validate;
mod volumes;

pub use admission::{Admission, Psp, Rejection, Release};
pub use error::FieldError;
pub use parse::{FieldProblem, PolicyError};
pub use policy::PodSecurityPolicy;
pub use rbac::{Authorisation, Rbac, RbacError};
