use super::Exit;
use super::certificates::options;
use super::look_ups::LookUpArguments;
use super::output::{DIM, Format, GREEN, RED, Styled, YELLOW};
use super::resolve::Ask;
use super::settings::SettingsArguments;
use crate::cluster::{self, Check, Client, Connection, Doctor, DoctorOptions, Finding, Status, installed_settings};
use crate::settings::{self, Certificates, Override, Snapshot, Sources};
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// How wide the columns are: the longest status and the longest check, and a gap.
const STATUS: usize = "problem".len() + 2;
const CHECK: usize = "image indexes".len() + 2;

/// Examines an installation: what is wrong with it, and what mends it.
///
/// Runs from a laptop with a kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config), or in the webhook's own pod. Nothing is
/// changed; one pod is tried under the API server's dryRun. Without --settings the settings are those of the ConfigMap
/// emissary-webhook-settings.
///
/// Exit code 0: nothing is wrong; 1: something is; 2: bad input, or the API server cannot be reached.
#[derive(Debug, Args)]
pub(super) struct Examine {
    /// The kubeconfig that says which API server, and as whom.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, in place of its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace that the webhook is installed in.
    #[arg(short, long, value_name = "NAMESPACE", default_value = "emissary-webhook")]
    namespace: String,
    /// The webhook's ServiceAccount there.
    #[arg(long, value_name = "NAME", default_value = "emissary-webhook")]
    service_account: String,
    /// A namespace of workflows, in which a pod is tried.
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    probe_namespace: String,
    /// An image to look up, as the settings have it, from here.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

/// What `-o json` prints. The names are part of the interface.
#[derive(Debug, Serialize)]
struct Report<'a> {
    status: Status,
    findings: &'a [Finding],
}

impl Examine {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        super::block_on(self.examine())
    }

    async fn examine(self) -> anyhow::Result<Exit> {
        let Self {
            kubeconfig,
            context,
            namespace,
            service_account,
            probe_namespace,
            image,
            output,
            settings,
            look_ups,
        } = self;
        let connection = Connection { kubeconfig: kubeconfig.as_deref(), context: context.as_deref() };
        let client =
            cluster::connect(connection).await.context("name a kubeconfig by --kubeconfig, or run in a pod")?;
        let is_named = kubeconfig.is_some() || context.is_some();
        let is_account = !is_named && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let progress = progress();
        let mut findings = Vec::new();
        let mut add = |finding: Finding| -> anyhow::Result<()> {
            if output == Format::Table {
                progress.suspend(|| print(&finding))?;
            }
            findings.push(finding);
            Ok(())
        };

        progress.set_message("settings");
        let sources = settings.sources([])?;
        let (sources, snapshot, judged) = effective(sources, &client, &namespace, is_account).await?;
        let of_server = &snapshot.settings.server;
        let (mut installation, lease) = options(&of_server.self_managed, &client);
        if of_server.self_managed.namespace.is_none() {
            installation.service.namespace.clone_from(&namespace);
        }
        let doctor = DoctorOptions {
            installation,
            lease: (of_server.certificates == Certificates::SelfManaged).then_some(lease),
            account: service_account,
            is_account,
            probe: probe_namespace,
        };
        let doctor = Doctor::begin(client, doctor, &sources, snapshot);
        let doctor = doctor.await.context("the kubeconfig, or its context, says which API server that is")?;
        add(Finding::ok("api server", doctor.version()))?;
        add(judged)?;
        for check in Check::ALL {
            progress.set_message(check.name());
            add(doctor.examine(check).await)?;
        }
        progress.set_message("image");
        add(sample(image, doctor.snapshot(), &look_ups).await?)?;
        progress.finish_and_clear();

        let status = findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok);
        if output == Format::Json {
            let mut stdout = std::io::stdout().lock();
            serde_json::to_writer_pretty(&mut stdout, &Report { status, findings: &findings })?;
            writeln!(stdout)?;
        }
        Ok(if status == Status::Problem { Exit::Denied } else { Exit::Fine })
    }
}

/// The settings that hold, where from, and whether they are valid. Invalid ones are a finding; the rest is examined by the
/// defaults.
async fn effective(
    mut sources: Sources,
    client: &Client,
    namespace: &str,
    in_pod: bool,
) -> anyhow::Result<(Sources, Snapshot, Finding)> {
    const CHECK: &str = "settings";
    let mut from = "the command line".to_owned();
    if sources.files.is_empty() {
        match installed_settings(client, namespace).await {
            Ok(Some(text)) => {
                from = format!("ConfigMap {namespace}/emissary-webhook-settings");
                // Not by way of a file: the image has no place for one.
                sources.text = Some(("settings.yaml".into(), text));
                // Files that the pod has are not here.
                if !in_pod {
                    let (path, value, source) = ("imageIndex.files".to_owned(), "[]".to_owned(), "doctor".into());
                    sources.overrides.push(Override { path, value, source });
                }
            }
            Ok(None) => from = "the defaults: there is no ConfigMap emissary-webhook-settings".to_owned(),
            Err(why) => from = format!("the defaults: {why}"),
        }
    } else if let Some(file) = sources.files.first() {
        from = file.display().to_string();
    }
    match settings::load(&sources) {
        Ok((snapshot, said)) => {
            let mut finding = Finding::ok(CHECK, format!("valid ({from})"));
            for problem in said.problems {
                finding.warn(problem.to_string(), "");
            }
            Ok((sources, snapshot, finding))
        }
        Err(problems) => {
            let mut finding = Finding::ok(CHECK, "");
            for problem in problems {
                finding.fail(format!("{from}: {problem}"), "mend the settings: see docs/settings.md");
            }
            let sources = Sources::default();
            let (snapshot, _) = settings::load(&sources)
                .map_err(|problems| super::settings::report(&problems))
                .context("the defaults")?;
            Ok((sources, snapshot, finding))
        }
    }
}

/// Looks one image up.
async fn sample(image: Option<String>, snapshot: &Snapshot, look_ups: &LookUpArguments) -> anyhow::Result<Finding> {
    const CHECK: &str = "image";
    let Some(image) = image else {
        return Ok(Finding::skipped(CHECK, "name one by --image, and it is looked up from here"));
    };
    Ok(match Ask::new(snapshot, look_ups)?.one(image).await {
        Ok(answer) => Finding::ok(CHECK, answer.described()),
        Err((_, complaint)) => {
            let mut finding = Finding::ok(CHECK, "");
            finding.fail(complaint, "add it to an image index: emissary-webhook index add --help");
            finding
        }
    })
}

fn progress() -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    // Static text without a placeholder that could be wrong.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// One line a check, and what belongs to it indented.
fn print(finding: &Finding) -> anyhow::Result<()> {
    let Finding { check, status, summary, details, mend, .. } = finding;
    let (colour, word) = match status {
        Status::Ok => (GREEN, "ok"),
        Status::Skipped => (DIM, "skipped"),
        Status::Warning => (YELLOW, "warning"),
        Status::Problem => (RED, "problem"),
    };
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{}{check:CHECK$}{summary}", Styled(colour, format!("{word:STATUS$}")))?;
    let indent = STATUS + CHECK;
    for detail in details {
        writeln!(stdout, "{:indent$}{}", "", Styled(DIM, detail))?;
    }
    for mend in mend {
        writeln!(stdout, "{:indent$}{} {mend}", "", Styled(YELLOW, "mend:"))?;
    }
    Ok(())
}
