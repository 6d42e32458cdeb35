//! What an image runs, asked of its registry (OCI distribution spec) and kept.
//!
//! A look-up knows no container and no pod: a [`Question`] goes in, a [`Resolved`] or a [`Failure`] comes out.
//!
//! Both ends of it are strangers. Image names are written by tenants, so anyone can make this crate talk to a registry of
//! theirs; every body is therefore read under a cap, everything that has a digest is verified, credentials go to the
//! registry that they were written for and to no other host, and what a registry says is never repeated to a user.
//!
//! ```no_run
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! use emissary_registry::{Keyring, Options, Question, Resolver};
//! use std::time::Duration;
//!
//! let resolver = Resolver::new(Options::default(), tokio_util::task::TaskTracker::new())?;
//! let question = Question {
//!     reference: "alpine:3.20".parse()?,
//!     platforms: vec!["linux/amd64".parse()?],
//!     keyring: Keyring::anonymous(),
//! };
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
//! for (platform, digest, process) in &resolver.resolve(&question, deadline).await?.processes {
//!     println!("{platform} {digest} {:?} {:?}", process.entrypoint, process.cmd);
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod authorization;
mod bounded;
mod challenge;
mod document;
mod failure;
mod flight;
mod glob;
mod guard;
mod hosts;
mod keyring;
mod lookup;
mod names;
mod oauth;
mod options;
mod provider;
mod proxy;
mod resolver;
mod route;
mod transport;

pub use failure::Failure;
pub use guard::PrivateNetworks;
pub use hosts::{Hosts, HostsProblem};
pub use keyring::{Granted, Keyring, KeyringError, KeyringWarning, PullSecret};
pub use names::Names;
pub use options::{Clock, Options, OptionsError, Proxies};
pub use provider::{ProviderOptions, Providers, ProvidersError};
pub use resolver::{Question, Resolved, Resolver};

#[cfg(test)]
mod properties;
