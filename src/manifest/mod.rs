//! Objects from files and back: `FILE|-`, YAML, JSON, JSON lines and lists become a stream of objects, each with where
//! it came from.

mod place;
mod read;
mod split;
mod write;
mod yaml;

pub use place::{Place, Problem};
pub use read::{Document, Documents, STDIN, read};
pub use write::to_yaml;
pub(crate) use yaml::parse as parse_yaml;
