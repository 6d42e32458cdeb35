//! What is known of the cluster and said to it; the only room that talks to the API server.
//!
//! Nothing here is asked for during an admission: informers keep what admissions need, tasks do the rest.

mod config_maps;
mod events;
mod facts;
mod named;
mod nodes;
mod objects;
mod store;
pub mod watch;

pub use config_maps::{ConfigMaps, Initial};
pub use events::{Event, EventMetrics, Recorder, Regarding, Severity};
pub use facts::{Known, OperatorKeyring, Options, start, told};
pub use kube::Client;

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

/// Connects to the API server that a kubeconfig names; without one to that of the usual kubeconfig, or of the pod's service
/// account. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let config = match kubeconfig {
        None => Config::infer().await.map_err(|error| ConnectError::Configuration(error.into())),
        Some(file) => of_file(file).await,
    };
    Client::try_from(config?).map_err(ConnectError::Client)
}

async fn of_file(file: &Path) -> Result<Config, ConnectError> {
    let wrong = |error: KubeconfigError| ConnectError::Configuration(error.into());
    let read = Kubeconfig::read_from(file).map_err(wrong)?;
    Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(wrong)
}

#[cfg(test)]
mod tests;
