//! What both programs of the executor's image have: the command line, the contract's places, whole files, exit codes,
//! last words.
//!
//! `argoexec` becomes `argoexec-tasks` for what it does not do itself, and whoever calls cannot tell the two apart. Nothing
//! here has a dependency that the small one could do without.
#![warn(missing_docs)]

pub mod arguments;
pub mod exit_code;
pub mod failure;
pub mod files;
pub mod shared;
