//! What argoexec-tasks does, seen from outside: it runs as in a pod whose places are below a folder.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod components;
mod controller;
mod hostile;
mod http;
mod init;
mod pod;
mod s3;
mod supervisor;
mod together;
mod wait;
