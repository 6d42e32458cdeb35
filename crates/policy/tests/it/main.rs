//! The engines against verdicts of the real ones, and properties of them.

mod defaults;
mod oracle;
mod psp;
mod pss;
