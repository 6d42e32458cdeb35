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
//! let question = Question::new("alpine:3.20".parse()?)
//!     .with_platforms(vec!["linux/amd64".parse()?])
//!     .with_keyring(Keyring::anonymous())
//!     .with_namespace("team-a");
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
//! for (platform, digest, process) in &resolver.resolve(&question, deadline).await?.processes {
//!     println!("{platform} {digest} {:?} {:?}", process.entrypoint, process.cmd);
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod authorization;
mod backoff;
mod bounded;
mod breaker;
mod challenge;
mod counts;
mod document;
mod failure;
mod flight;
mod glob;
mod guard;
mod hosts;
mod keyring;
mod lanes;
mod layers;
mod lookup;
mod memory;
mod names;
mod oauth;
mod options;
mod prefetch;
mod provider;
mod proxy;
mod question;
mod record;
mod resolver;
mod route;
mod snapshot;
pub mod strangers;
mod transport;

pub use backoff::Backoff;
pub use counts::Counts;
pub use failure::Failure;
pub use guard::PrivateNetworks;
pub use hosts::{Hosts, HostsProblem};
pub use keyring::{Granted, Keyring, KeyringError, KeyringWarning, PullSecret};
pub use names::Names;
pub use options::{Clock, Options, OptionsError, Proxies, Random};
pub use prefetch::{Prefetch, PrefetchCounts, PrefetchOptions, Wanted};
pub use provider::{ProviderOptions, Providers, ProvidersError};
pub use question::{Freshness, Layer, Priority, Question, Resolved};
pub use resolver::Resolver;

#[cfg(test)]
mod properties;
