//! Image indexes as files that people keep: entries are added to them, checked, compared with registries, taken from what is
//! on disk, and written for a cluster.
//!
//! What is asked of registries is asked elsewhere; here are only texts and values.

mod drift;
mod edit;
mod export;
mod import;
mod lint;
mod manifests;
mod render;

pub use drift::{Difference, compare};
pub use edit::{Addition, Change, Edited, add};
pub use export::{Argo, NotExported, argo, config_maps};
pub use import::{Image, import};
pub use lint::{Finding, Rule, lint};
pub use manifests::{files, images};
pub use render::{entry_of, line};
