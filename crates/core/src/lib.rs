//! What the webhook decides, and nothing of how it is asked.
//!
//! Everything here is pure: an object and the facts it depends on go in, a decision comes out. No clock, no environment,
//! no network, no async runtime, no Kubernetes client; so the tests of this crate build in seconds and a decision that was
//! recorded can be made again.
#![warn(missing_docs)]

pub mod edit;
pub mod image;
pub mod lookup;
pub mod names;
pub mod object;
pub mod outcome;
pub mod pod;
pub mod workflow;
