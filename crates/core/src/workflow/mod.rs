//! What to do to a workflow kind: fill in the commands that Argo 3.4 and later would otherwise look up by itself, before
//! it creates a pod, and fail where it cannot.
//!
//! A workflow kind is never denied: what is not found out is left to Argo, and said.

mod containers;
mod options;
mod patch;
mod plan;
mod render;
mod view;

pub use options::{ControllerDefaults, Kind, WorkflowOptions};
pub use plan::{NotAWorkflow, Plan, look_ups_ahead, plan};
pub use render::{Controller, Given, Note, Rendered, Version, render};
