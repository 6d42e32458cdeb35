//! The engines against verdicts of the real ones, and properties of them.
#![expect(clippy::unwrap_used, reason = "clippy.toml excuses test functions, not what they call")]

mod defaults;
mod oracle;
mod properties;
mod psp;
mod pss;
mod requests;
