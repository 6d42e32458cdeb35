//! The engines against verdicts of the real ones, and properties of them.

mod oracle;
mod pss;
