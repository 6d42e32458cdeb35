//! Look-ups against a registry on loopback, well and ill behaved.
#![expect(clippy::unwrap_used, reason = "clippy knows test functions, but not what they share")]

mod authorization;
mod credentials;
mod crowd;
mod freshness;
mod guard;
mod hosts;
mod memory;
mod mirrors;
mod misbehaviour;
mod names;
mod prefetch;
mod proof;
mod pull;
mod setup;
mod snapshot;
mod tls;
mod trouble;
