//! What people configure: layers become one immutable [`Snapshot`]; what is wrong is said with file, line and column.
//!
//! Each source (a settings file, a variable, a flag, an index file) is read into a tree whose every node knows its
//! [`Place`](crate::manifest::Place). The trees are laid over each other, and [`Settings`] are deserialised from the
//! result, so that a wrong value is reported where it was typed, whichever layer that is.

mod de;
mod document;
mod index_file;
mod keys;
mod layers;
mod options;
mod quick;
mod report;
mod rules;
mod snapshot;
mod tree;
mod values;
mod watch;

pub use document::{print, reference, schema};
pub use index_file::{IndexFile, parse_index, read_index};
pub use layers::{Override, VARIABLE_PREFIX};
pub use options::{
    Admission, CredentialProviders, DryRunReport, Executor, ImageIndexFiles, Layout, LogFormat, LogLevel, Mode,
    Overridable, Overrides, Pin, PrivateNetworks, Profile, PullPolicy, Registry, Rewrite, Server, Settings,
    WorkflowKind, Workflows,
};
pub use report::Report;
pub use snapshot::{Snapshot, Sources, load, shipped_index};
pub use values::{ImageAliases, ImageName, NamePattern, Network, Period, RegistryHost, Size};
pub use watch::Watch;
