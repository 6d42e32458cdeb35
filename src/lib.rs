//! The admission webhook, room by room; `docs/architecture.md` is the plan of the house.

pub mod admission;
pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod demo;
pub mod index;
pub mod manifest;
mod metrics;
pub mod mutation;
pub mod review;
pub mod server;
pub mod settings;
