use super::api_server::ApiServer;
use crate::certificate::Terms;
use crate::cluster::{
    CertificateMetrics, CertificateOptions, Client, Lease, LeaseMetrics, LeaseOptions, ServiceName, keep_certificate,
};
use crate::server::{CertificateSource, Check, Clients, Readiness};
use crate::settings::{Certificates, SelfManaged, Server};
use anyhow::Context;
use prometheus_client::registry::Registry;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the files of a certificate are read.
const POLL: Duration = Duration::from_secs(1);

/// Where the server's certificate comes from. One that is self-managed starts to be kept, until `cancel`.
///
/// The readiness check `lease` says who keeps it, and never fails: whoever does not is served by whoever does.
pub(super) fn source(
    server: &Server,
    api_server: Option<&ApiServer>,
    readiness: &Readiness,
    metrics: &mut Registry,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> anyhow::Result<CertificateSource> {
    let Server { certificates, self_managed, certificate, key, .. } = server;
    if *certificates == Certificates::Files {
        return Ok(CertificateSource::Files { certificate: certificate.clone(), key: key.clone(), poll: POLL });
    }
    let ApiServer { client, recorder, identity, is_followed: _ } = api_server
        .context("server.certificates: self-managed needs the API server: run in a pod, or set cluster.kubeconfig")?;
    let (client, recorder, identity) = (client.clone(), recorder.clone(), identity.clone());
    let (options, lease) = options(self_managed, &client);
    let (of_lease, metrics) = (LeaseMetrics::register(metrics), CertificateMetrics::register(metrics));
    let lease = LeaseOptions { namespace: options.service.namespace.clone(), name: lease, identity };
    let lease = Lease::start(client.clone(), lease, of_lease, recorder.clone(), tracker, cancel.clone());
    tracker.spawn(tell(lease.told(), readiness.register("lease"), cancel.clone()));
    let offers = keep_certificate(client, options, lease, recorder, metrics, tracker, cancel.clone());
    Ok(CertificateSource::Kept(offers))
}

async fn tell(mut told: watch::Receiver<String>, check: Check, cancel: CancellationToken) {
    loop {
        check.ready(told.borrow_and_update().clone());
        if !matches!(cancel.run_until_cancelled(told.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// What is kept, and the name of the Lease that is needed for it.
pub(super) fn options(self_managed: &SelfManaged, client: &Client) -> (CertificateOptions, String) {
    let SelfManaged { service, namespace, secret, lease, registrations, extra_names, life } = self_managed;
    let namespace = namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let mut names = vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")];
    names.extend(extra_names.iter().cloned());
    let options = CertificateOptions {
        service: ServiceName { namespace, name: service.clone() },
        secret: secret.clone(),
        registrations: registrations.clone(),
        terms: Terms { names, life: life.0 },
    };
    (options, lease.clone())
}

/// Who is let in.
pub(super) fn clients(server: &Server) -> anyhow::Result<Option<Clients>> {
    let Some(file) = &server.client_authority else {
        anyhow::ensure!(
            server.client_names.is_empty(),
            "server.clientNames means nothing without server.clientAuthority"
        );
        return Ok(None);
    };
    let authority =
        std::fs::read(file).with_context(|| format!("server.clientAuthority: cannot read {}", file.display()))?;
    Ok(Some(Clients { authority, names: server.client_names.clone() }))
}
