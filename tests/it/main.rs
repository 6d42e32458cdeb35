//! The tests of the whole program, a module a kind; one binary, because linking ten of them takes longer than running them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy.toml excuses test functions, not what they call")]

mod architecture;
mod cli;
mod cluster;
mod components;
mod demo;
mod examples;
mod executors;
mod figures;
mod index;
mod manifests;
mod messages;
mod node;
mod oracle;
mod oracles;
mod rendering;
mod review;
mod serve;
mod versions;
