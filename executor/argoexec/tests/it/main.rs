//! The executor from outside: the program runs, below a root of its own, what a pod would run.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod archives;
mod capture;
mod codes;
mod containers;
mod hostile;
mod init;
mod outputs;
mod pod;
mod signals;
mod terminals;
