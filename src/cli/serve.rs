use super::Exit;
use super::api_server::ApiServer;
use super::certificates;
use super::live_review;
use super::look_ups::proxies;
use super::registries::{self, OperatorCredentials};
use super::settings::{SettingsArguments, list, load, report};
use super::surroundings::{self, surroundings};
use crate::admission::{self, Admission, DryRuns, Waiting, recorded, report as report_of, routes};
use crate::mutation::LookUpMetrics;
use crate::review::Live;
use crate::server::{self, Drain, Limits, Readiness, StartError};
use crate::settings::{DryRunReport, Settings, SettingsMetrics, Watch, print};
use anyhow::Context;
use axum::Router;
use clap::{Args, ValueEnum};
use emissary_registry::Resolver;
use prometheus_client::registry::Registry;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

/// Answers admission reviews over HTTPS, at /mutate; /livez, /readyz and /metrics on a plain port.
///
/// Settings are read from flags, variables and files, in this order of precedence, and followed: an edit takes effect
/// within a second, an invalid one not at all. SIGTERM ends it politely, a second one at once.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// What is done with an outcome: enforce, dry-run (the default) or off.
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Where to listen for the API server.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where to listen for probes and scrapes.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    plain_listen: Option<SocketAddr>,
    /// The certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Image index files. Repeatable.
    #[arg(long, value_name = "FILE")]
    image_index: Vec<PathBuf>,
    /// Talk to the API server that this file names, as it says. Default: that of the pod's service account, if there is one.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Credentials for registries, as docker keeps them in config.json. Given here they serve every namespace, unless
    /// registry.dockerConfigNamespaces lists some.
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,
    /// A registry that is spoken to without TLS. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
    /// A network that look-ups may reach although it is loopback, link-local or the like. Repeatable.
    #[arg(long, value_name = "CIDR")]
    allow_network: Vec<String>,
    /// Print the settings in effect, each with where it comes from, and end.
    #[arg(long)]
    print_settings: bool,
    /// How log lines are written. Default: text on a terminal, json elsewhere.
    #[arg(long, value_enum, env = "EMISSARY_WEBHOOK_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged, such as info or warn,emissary_webhook::admission=debug.
    #[arg(long, value_name = "FILTER", env = "EMISSARY_WEBHOOK_LOG", default_value = "info")]
    log: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:10250 or [::]:10250".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let path = |path: &PathBuf| serde_json::json!(path.display().to_string()).to_string();
        let address = |address: &SocketAddr| serde_json::json!(address).to_string();
        let Self { mode, listen, plain_listen, certificate, key, image_index, kubeconfig, docker_config, .. } = &self;
        let sources = self.settings.sources([
            ("--mode", "mode", mode.clone()),
            ("--listen", "server.listen", listen.as_ref().map(address)),
            ("--plain-listen", "server.plainListen", plain_listen.as_ref().map(address)),
            ("--certificate", "server.certificate", certificate.as_ref().map(path)),
            ("--key", "server.key", key.as_ref().map(path)),
            ("--image-index", "imageIndex.files", list(image_index.iter().map(|file| file.display()))),
            ("--kubeconfig", "cluster.kubeconfig", kubeconfig.as_ref().map(path)),
            ("--docker-config", "registry.dockerConfig", docker_config.as_ref().map(path)),
            ("--plain-http", "registry.plainHTTP", list(&self.plain_http)),
            ("--allow-network", "registry.allowNetworks", list(&self.allow_network)),
        ])?;
        if self.print_settings {
            anstream::print!("{}", print(&load(&sources)?));
            return Ok(Exit::Fine);
        }
        self.log()?;
        // Decoding and planning take microseconds; two threads are what a pod usually has.
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        runtime.block_on(serve(sources, self.docker_config.is_some()))
    }

    fn log(&self) -> anyhow::Result<()> {
        // The parser's error says everything twice, in its text and as its cause.
        let filter = EnvFilter::try_new(&self.log).map_err(|error| anyhow::anyhow!("--log {:?}: {error}", self.log))?;
        let format =
            self.log_format.unwrap_or(if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json });
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let set = match format {
            LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
        };
        set.map_err(|error| anyhow::anyhow!("cannot log: {error}"))
    }
}

async fn serve(sources: crate::settings::Sources, typed_config: bool) -> anyhow::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tracker, shutdown, rest) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());

    let watch = Watch::start(&sources, Watch::PERIOD, &tracker, rest.clone()).map_err(|problems| report(&problems))?;
    let snapshot = watch.snapshot();
    let Settings { mode, server, admission, registry: of_registry, review: of_review, .. } = &snapshot.settings;
    let credentials = OperatorCredentials::read(of_registry, typed_config)?;
    let hosts = registries::hosts(of_registry.hosts.as_deref());
    let options = emissary_registry::Options { proxies: proxies(), hosts: hosts.clone(), ..snapshot.registry() };
    let resolver = Resolver::new(options, tracker.clone()).context("cannot look images up")?;
    if let Some(folder) = &of_registry.hosts {
        tracker.spawn(registries::follow_hosts(folder.clone(), hosts, resolver.clone(), rest.clone()));
    }
    if let Some(file) = &of_registry.snapshot {
        registries::keep(file.clone(), &resolver, &tracker, rest.clone());
    }

    let mut registry = Registry::default();
    let ours = registry.sub_registry_with_prefix("emissary_webhook");
    let server_metrics = server::Metrics::register(ours);
    ours.register_collector(Box::new(LookUpMetrics::new(resolver.clone())));
    let api_server = ApiServer::connect(&snapshot.settings, ours, &tracker, &rest).await?;
    let readiness = Readiness::default();
    let certificate = certificates::source(server, api_server.as_ref(), &readiness, ours, &tracker, &rest)?;
    let dry_runs = DryRuns::register(ours);
    let around = surroundings::Dependencies {
        settings: &watch,
        api_server: api_server.as_ref(),
        credentials,
        resolver: &resolver,
        readiness: &readiness,
        tracker: &tracker,
        rest: &rest,
    };
    let surroundings = surroundings(around, ours);
    let waiting = Waiting::new(admission.into());
    let review = live_review::start(of_review, ours, &tracker, &rest)?;
    let answers = Admission::new(admission::Dependencies {
        settings: watch.clone(),
        surroundings,
        resolver,
        waiting,
        dry_runs: dry_runs.clone(),
        review: review.clone(),
        metrics: admission::Metrics::register(ours),
    });

    let check = readiness.register("settings");
    tracker.spawn(report_settings(watch.clone(), check, rest.clone()));
    ours.register_collector(Box::new(SettingsMetrics::new(watch.clone())));

    let options = server::Options {
        listen: server.listen,
        plain: Some(server.plain_listen),
        limits: Limits { connections: server.max_connections, body: server.max_body.0 as usize, ..Limits::default() },
        drain: Drain { lame_duck: server.lame_duck.0, timeout: server.drain_timeout.0 },
        clients: certificates::clients(server)?,
    };
    let running = server::start(
        options,
        server::Dependencies {
            application: routes(Arc::new(answers)),
            plain: dry_run_report(server.dry_run_report, dry_runs, review),
            certificate,
            readiness,
            metrics: server_metrics,
            registry: Arc::new(registry),
            shutdown: shutdown.clone(),
            tracker: tracker.clone(),
        },
    )
    .await
    .map_err(|error| {
        let mend = match &error {
            StartError::Bind { .. } => "choose another address by --listen (HTTPS) or --plain-listen (probes)",
            StartError::Certificate(_) => "name a certificate and its key, PEM, by --certificate and --key",
            StartError::Tls(_) => "name a file with certificates, PEM, by server.clientAuthority",
        };
        anyhow::anyhow!("{:#}; {mend}", anyhow::Error::from(error))
    })?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        https = %running.address(),
        plain = running.plain_address().map(tracing::field::display),
        mode = mode.name(),
        index_entries = snapshot.index.len(),
        "serving"
    );
    if *mode == crate::settings::Mode::DryRun {
        tracing::info!("dry run: nothing is changed; set mode: enforce to rewrite pods");
    }

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    tokio::select! {
        () = running.stopped() => {}
        _ = terminate.recv() => tracing::warn!("told twice to stop: leaving at once"),
        _ = interrupt.recv() => tracing::warn!("told twice to stop: leaving at once"),
    }
    rest.cancel();
    tracker.close();
    // Look-ups that nobody waits for any more are not worth the wait.
    let _ = tokio::time::timeout(Duration::from_secs(1), tracker.wait()).await;
    Ok(Exit::Fine)
}

/// `/dryrun` and `/recorded` for whom the settings let read them. Whole pods nobody reads from elsewhere.
fn dry_run_report(readers: DryRunReport, dry_runs: DryRuns, review: Option<Live>) -> Router {
    let recorded = || server::for_the_pod_itself(review.map(recorded).unwrap_or_default());
    match readers {
        DryRunReport::Off => Router::new(),
        DryRunReport::Local => server::for_the_pod_itself(report_of(dry_runs)).merge(recorded()),
        DryRunReport::Open => report_of(dry_runs).merge(recorded()),
    }
}

/// Shows in /readyz what is wrong with the settings. They stay ready: the last good ones are in effect.
async fn report_settings(watch: Watch, check: server::Check, cancel: CancellationToken) {
    let mut reports = watch.report();
    loop {
        let detail = reports.borrow_and_update().lines().join("; ");
        check.ready(if detail.is_empty() { "all in effect".to_owned() } else { detail });
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = reports.changed() => if changed.is_err() { return },
        }
    }
}
