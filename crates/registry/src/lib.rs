//! What an image runs, asked of its registry (OCI distribution spec) and kept.
//!
//! A look-up knows no container and no pod: a [`Question`] goes in, a [`Resolved`] or a [`Failure`] comes out.
//!
//! Both ends of it are strangers. Image names are written by tenants, so anyone can make this crate talk to a registry of
//! theirs; every body is therefore read under a cap, everything that has a digest is verified, credentials go to the
//! registry that they were written for and to no other host, and what a registry says is never repeated to a user.
#![warn(missing_docs)]

mod authorization;
mod bounded;
mod challenge;
mod document;
mod failure;
mod flight;
mod keyring;
mod lookup;
mod options;
mod resolver;
mod transport;

pub use failure::Failure;
pub use keyring::{Keyring, KeyringError};
pub use options::{Clock, Options, OptionsError, Proxies};
pub use resolver::{Question, Resolved, Resolver};

#[cfg(test)]
mod properties;
