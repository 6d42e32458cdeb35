//! A real control plane on this machine: etcd, kube-apiserver and, where they are at hand, kube-controller-manager and
//! kube-scheduler; and by choice a real node ([`Node`]). The tests and `cargo xtask cluster` start the same one.
//!
//! The programs come from a folder in the layout of envtest ([`Assets`]); `kubernetes/` beside this crate's sources is the Go
//! module that builds one. Everything that a control plane writes is in one folder of its own: keys, kubeconfigs, logs,
//! etcd's data, and the list of its processes, by which another process can stop it.
//!
//! The API server listens on loopback unless told otherwise, on a free port. etcd speaks plain HTTP there: whoever has
//! an account on the machine may read what is in a test's cluster.
#![warn(missing_docs)]

mod assets;
mod control_plane;
mod image;
mod kubeconfig;
mod leftovers;
mod node;
mod pki;
mod processes;
mod serving;

pub use assets::{Assets, MissingProgram};
pub use control_plane::{ControlPlane, Options, StartError};
pub use image::{Image, ImageError};
pub use node::{BUSYBOX, Node, NodeError, NodePrograms, obstacle};
pub use processes::{Processes, SpawnError, Watchdog};
pub use serving::Serving;
