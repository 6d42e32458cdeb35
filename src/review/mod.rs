//! Policy review: what would the cluster's policies say of a pod, as it is and as the webhook would make it?
//!
//! A pod goes through the stages in the API server's order: defaults, PodSecurityPolicy on what was sent, the rewriting by
//! the very code that the webhook runs, PodSecurityPolicy again, and then those that only see the result.

mod blame;
mod judge;
mod policies;
mod report;

pub use blame::{Blame, assign};
pub use judge::{Candidate, Column, Judgement, Stage, User, of_outcome};
pub use policies::{Assumed, LoadError, Policies, Usable};
pub use report::json_line;
