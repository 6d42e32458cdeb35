//! What is known of the cluster and said to it; the only room that talks to the API server.
//!
//! Nothing here is asked for during an admission: informers keep what admissions need, tasks do the rest.

pub mod watch;

mod config_maps;
mod events;

use crate::settings::Connect;

pub use config_maps::{ConfigMaps, Initial};
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

/// Where a pod has its service account's token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Connects as the settings say. `None` where there is no API server to ask: they say so, or this is no pod with a service
/// account. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_by(connect: Connect) -> Result<Option<Client>, ConnectError> {
    let config = match connect {
        Connect::Never => return Ok(None),
        Connect::InCluster if !std::path::Path::new(TOKEN).exists() => return Ok(None),
        Connect::InCluster => kube::Config::incluster().map_err(|error| ConnectError::Configuration(error.into()))?,
        Connect::Kubeconfig => {
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_kubeconfig(&options).await;
            config.map_err(|error| ConnectError::Configuration(error.into()))?
        }
    };
    Client::try_from(config).map(Some).map_err(ConnectError::Client)
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
