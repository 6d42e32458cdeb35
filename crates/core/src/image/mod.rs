//! Container images: how they are named, what they run, and the index that operators write.

mod alias;
mod command;
mod digest;
mod index;
mod platform;
mod process;
mod reference;
mod text;

pub use alias::{AliasError, Aliases};
pub use command::{Effective, effective, escape};
pub use digest::{Digest, DigestAlgorithm, DigestError};
pub use index::{ImageIndex, IndexEntry, IndexHit, IndexProblem, KeyError};
pub use platform::{Platform, PlatformError};
pub use process::ImageProcess;
pub use reference::{Reference, ReferenceError};
