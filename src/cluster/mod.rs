//! What is known of the cluster and said to it; the only room that talks to the API server.
//!
//! Nothing here is asked for during an admission: informers keep what admissions need, tasks do the rest.

pub mod watch;

mod events;

pub use events::{Event, EventMetrics, Recorder, Regarding, Severity};
pub use kube::Client;

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

#[cfg(test)]
mod tests;
