//! What argoexec-tasks does, seen from outside: it runs as in a pod whose places are below a folder.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod agent;
mod azure;
mod components;
mod controller;
mod gcs;
mod git;
mod hostile;
mod http;
mod init;
mod pod;
mod s3;
mod server;
mod supervisor;
mod tls;
mod together;
mod wait;
