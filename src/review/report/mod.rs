//! What a review comes to, as people and programs read it: one [`Report`], and a file an output.

mod exchange;
mod line;
mod markdown;
mod model;
mod page;
mod policy_report;
mod table;

pub use exchange::{github, junit, sarif};
pub use line::json_line;
pub use markdown::markdown;
pub use model::{Baseline, Report};
pub use page::page;
pub use policy_report::policy_reports;
pub use table::table;
