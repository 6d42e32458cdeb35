//! What is known of the cluster and said to it; the only room that talks to the API server.
//!
//! Nothing here is asked for during an admission: informers keep what admissions need, tasks do the rest.

mod certificate;
mod config_maps;
mod doctor;
mod events;
mod facts;
mod follow;
mod lease;
mod named;
mod nodes;
mod objects;
mod registration;
mod review;
mod store;
mod templates;
pub mod watch;
mod workflows;

pub use certificate::{CertificateMetrics, CertificateOptions, keep_certificate};
pub use config_maps::{ConfigMaps, Initial};
pub use doctor::{Check, Doctor, DoctorOptions, Finding, Status, Unreachable, installed_settings};
pub use events::{Event, EventMetrics, Recorder, Regarding, Severity};
pub use facts::{Known, OperatorKeyring, Options, start, told};
pub use kube::Client;
pub use lease::{Lease, LeaseMetrics, LeaseOptions};
pub use registration::ServiceName;
pub use review::{ReviewReader, Subjects, Unread};
pub use templates::{Ahead, Templates};

/// The label by which all objects of an installation are found.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "emissary-webhook");

/// What `metadata.managedFields` calls us.
const MANAGER: &str = "emissary-webhook";

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::path::Path;

/// Why there is no client of the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account is to be had, or what there is cannot be read.
    #[error("no way to the API server is configured")]
    Configuration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client cannot be made of it.
    #[error("cannot make a client of the API server")]
    Client(#[source] kube::Error),
}

/// Which API server, and as whom, as `kubectl` has it. All absent: the usual kubeconfig's current context, or the pod's service
/// account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connection<'a> {
    /// The kubeconfig.
    pub kubeconfig: Option<&'a Path>,
    /// A context of it, in place of its current one.
    pub context: Option<&'a str>,
}

/// Connects to an API server. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(connection: Connection<'_>) -> Result<Client, ConnectError> {
    let wrong = |error: KubeconfigError| ConnectError::Configuration(error.into());
    let Connection { kubeconfig, context } = connection;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match (kubeconfig, context) {
        (None, None) => Config::infer().await.map_err(|error| ConnectError::Configuration(error.into()))?,
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(wrong)?,
        (Some(file), _) => {
            let read = Kubeconfig::read_from(file).map_err(wrong)?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(wrong)?
        }
    };
    Client::try_from(config).map_err(ConnectError::Client)
}

/// An error and what caused it, for a log line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
