//! `serve` as a cluster meets it: the built program, HTTPS in both versions, real reviews, a registry that can misbehave.

mod admissions;
mod denials;
mod end;
mod plain;
mod policies;
pub(crate) mod program;
mod reviews;
mod settings;
mod start;
mod tenants;
mod waiting;
mod wire;
