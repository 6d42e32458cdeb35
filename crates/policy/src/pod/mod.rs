//! A pod as far as the native engines judge it, read once from its JSON and borrowed from it.
//!
//! What the API does not know, and what no engine judges, is skipped without being looked at. A field that has not the API's type
//! ends the reading with a [`Misfit`]. A `null` counts as absent, an absent string as empty, both as in the API.

mod read;
mod view;

pub use read::Misfit;
pub(crate) use read::{At, each, flag, integer, list, object, text, texts};
pub(crate) use view::{Capabilities, Container, Pod, Profile, SeLinux, SecurityContext, Spec, Volume};
