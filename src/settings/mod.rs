//! What people configure: layers become one immutable [`Snapshot`]; what is wrong is said with file, line and column.
//!
//! Each source (a settings file, a variable, a flag, an index file, a ConfigMap) is read into a tree whose every node knows its
//! [`Place`](crate::manifest::Place). The trees are laid over each other, and [`Settings`] are deserialised from the
//! result, so that a wrong value is reported where it was typed, whichever layer that is.

mod argo;
mod composer;
mod de;
mod document;
mod feed;
mod held;
mod index_file;
mod index_map;
mod keys;
mod layers;
mod metrics;
mod options;
mod quick;
mod report;
mod rules;
mod snapshot;
mod tree;
mod values;
mod watch;

pub use argo::{counting_fields, is_one_key};
pub use document::{print, reference, schema};
pub use feed::{ConfigMap, Feed, ObjectName, Role};
pub use index_file::{IndexFile, parse_index, read_index};
pub use index_map::count_entries;
pub use layers::{Override, VARIABLE_PREFIX};
pub use metrics::SettingsMetrics;
pub use options::{
    Admission, Certificates, Cluster, ClusterEnabled, Controller, CredentialProviders, DryRunReport, Executor,
    ExecutorName, Executors, ImageIndexFiles, Layout, LogFormat, LogLevel, Mode, Overridable, Overrides, OwnIndexes,
    Pin, PrivateNetworks, Profile, PullPolicy, PullSecrets, Record, Registry, Review, Rewrite, SelfManaged, Server,
    Settings, WorkflowKind, WorkflowLabels, Workflows,
};
pub use report::{ObjectProblem, Report};
pub use snapshot::{Belonging, Configured, Decisions, Snapshot, Sources, load, load_with, shipped_index};
pub use values::{
    ImageAliases, ImageName, NamePattern, NamespaceName, Network, Period, RegistryHost, SecretName, Size, StandardName,
};
pub use watch::Watch;
