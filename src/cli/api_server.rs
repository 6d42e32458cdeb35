//! The API server that `serve` talks to, where it talks to one.

use crate::cluster::{self, Client, Connection, EventMetrics, Recorder};
use crate::settings::{Certificates, ClusterEnabled, Settings};
use anyhow::Context;
use prometheus_client::registry::Registry;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where a pod has its service account's token, unless it wants none (Kubernetes API, `automountServiceAccountToken`).
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// One connection, one recorder of Events, one identity for all that need them.
pub(super) struct ApiServer {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    /// Tells this process from every other.
    pub(super) identity: String,
    /// Whether the cluster is followed, too; else only the certificate is kept there.
    pub(super) is_followed: bool,
}

impl ApiServer {
    /// Connects where the settings want it.
    pub(super) async fn connect(
        settings: &Settings,
        metrics: &mut Registry,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let of = &settings.cluster;
        let is_followed = match of.enabled {
            ClusterEnabled::Never => false,
            ClusterEnabled::Auto => of.kubeconfig.is_some() || Path::new(TOKEN).exists(),
            ClusterEnabled::Always => true,
        };
        let keeps_certificate = settings.server.certificates == Certificates::SelfManaged;
        if !is_followed && !keeps_certificate {
            tracing::info!("no API server is talked to: neither a kubeconfig nor a pod's service account is there");
            return Ok(None);
        }
        let mend = if keeps_certificate {
            "server.certificates: self-managed needs the API server: run in a pod, or set cluster.kubeconfig"
        } else {
            "cluster.kubeconfig, or cluster.enabled: never to serve without an API server"
        };
        let connection = Connection { kubeconfig: of.kubeconfig.as_deref(), context: None };
        let client = cluster::connect(connection).await.context(mend)?;
        let identity = identity();
        let events = EventMetrics::register(metrics);
        let recorder = Recorder::start(client.clone(), identity.clone(), events, tracker, cancel.clone());
        Ok(Some(Self { client, recorder, identity, is_followed }))
    }
}

/// The host's name, which in a pod is the pod's, and when the process started.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "emissary-webhook".to_owned());
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{host}_{}-{started:x}", std::process::id())
}
