//! Leaf types of Kubernetes objects that several rooms read, borrowed from the JSON they came in.
//!
//! They are views: what they do not name is skipped without being parsed, and a `null` counts as absent, as in the API.

mod admission;
mod affinity;
mod metadata;
mod quantity;
mod selector;
mod text;

pub use admission::{AdmissionRequest, GroupVersionKind, ReviewError};
pub use affinity::Affinity;
pub use metadata::{Metadata, OwnerReference, StringMap};
pub use quantity::{NotAQuantity, Quantity};
pub use selector::LabelSelector;
pub use text::{Text, null_as_default};
