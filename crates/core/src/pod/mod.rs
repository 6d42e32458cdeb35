//! What to do to one pod: whether it is ours, what it was built for, and the edits that let emissary run it.
//!
//! Two steps with the look-ups between them: [`plan`] decides everything that needs no registry and names the images that
//! do; [`Plan::apply`] takes the answers. Both are pure, so a recorded admission can be decided again.

mod bare;
mod command;
mod context;
mod draft;
pub(crate) mod edit_value;
pub mod executor;
mod harden;
mod limits;
mod options;
mod placement;
mod plan;
mod profile;
mod select;
mod template;
mod view;
mod wrap;

pub(crate) use command::to_write;
pub use context::Context;
pub use executor::{Executor, ExecutorChoice, ExecutorSettings, Executors};
pub use limits::{LimitRangeItem, Limits};
pub use options::{ExecutorOptions, Layout, NamePatterns, Options, Overrides, Pin, Profile};
pub(crate) use placement::{Placement, Selected};
pub use plan::{Plan, plan};
pub use template::template_name;
pub use view::{NotAPod, Pod, Spec};
