//! What is known of the cluster and said to it; the only room that talks to the API server.
//!
//! Nothing here is asked for during an admission: informers keep what admissions need, tasks do the rest.

mod certificate;
mod doctor;
mod events;
mod follow;
mod lease;
mod registration;

pub use certificate::{CertificateMetrics, CertificateOptions, keep_certificate};
pub use doctor::{Check, Doctor, DoctorOptions, Finding, Status, Unreachable, installed_settings};
pub use events::{Event, EventMetrics, Recorder, Regarding, Severity};
pub use kube::Client;
pub use lease::{Lease, LeaseOptions};
pub use registration::ServiceName;

/// The label by which all objects of an installation are found.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "emissary-webhook");

/// What `metadata.managedFields` calls us.
const MANAGER: &str = "emissary-webhook";

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

/// Connects to the API server that a kubeconfig names, or that the pod's service account belongs to. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect() -> Result<Client, ConnectError> {
    let config = kube::Config::infer().await.map_err(|error| ConnectError::Configuration(error.into()))?;
    Client::try_from(config).map_err(ConnectError::Client)
}

/// An error and what caused it, for a log line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
