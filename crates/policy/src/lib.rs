//! Policy engines: a [`Request`] in, [`Verdict`]s out. They know nothing of workflows, executors or who asks.
//!
//! Every engine is made of parsed documents (`serde_json::Value`s; source texts for Rego), compiled once however many
//! requests it judges, and shared between threads. What an engine cannot judge is [`Decision::Unknown`], never passed.
#![warn(missing_docs)]

mod cel;
pub mod defaults;
pub mod gatekeeper;
pub mod kyverno;
pub mod limits;
mod pod;
pub mod psp;
pub mod pss;
mod quote;
mod refusal;
pub mod rego;
mod request;
mod selector;
pub mod vap;
mod verdict;

pub use pod::Misfit;
pub use refusal::Refusal;
pub use request::{Kind, Namespace, Operation, Request, User};
pub use verdict::{Decision, Engine, Verdict};
