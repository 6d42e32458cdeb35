use super::Exit;
use super::look_ups::{LookUpArguments, resolver};
use super::objects::{Object, Told};
use super::output::{BOLD, DIM, ERROR, GREEN, RED, Styled, WARNING, YELLOW, diff};
use super::settings::{SettingsArguments, list, load};
use crate::manifest::{self, to_yaml};
use crate::mutation::{Asking, Leave, Rules, Surroundings, mutate};
use crate::settings::Snapshot;
use clap::{Args, ValueEnum};
use emissary_core::outcome::{Findings, Outcome};
use emissary_registry::{Priority, Resolver};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Rewrites pods and workflow kinds from files, as the webhook would.
///
/// One output document an input, in order; a document that is denied, or needs nothing, comes out as it went in. The
/// content survives, comments of YAML do not. Exit code 0: rewritten or nothing to do; 1: something is denied; 2: bad
/// input, with file, line and column.
#[derive(Debug, Args)]
pub(super) struct Rewrite {
    /// YAML or JSON: a Pod, a List, several documents, an AdmissionReview, a Workflow, WorkflowTemplate,
    /// ClusterWorkflowTemplate or CronWorkflow; "-" for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    /// Security and resources of what is injected: pss-restricted, psp-legacy, openshift or none.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Ask no registry: the image index and the shipped entries must do.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The objects, as YAML documents.
    Yaml,
    /// The objects, one a line; indented on a terminal.
    Json,
    /// RFC 6902 operations, a list a line.
    Patch,
    /// A unified diff of the YAML before and after.
    Diff,
    /// What was done, and where each command came from.
    Explain,
}

/// How many objects are in hand at once: enough to wait for several registries, and no more memory than that.
const AT_ONCE: usize = 32;

impl Rewrite {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        super::block_on(self.rewrite())
    }

    async fn rewrite(self) -> anyhow::Result<Exit> {
        let Self { files, output, profile, offline, settings, look_ups } = self;
        let sources = settings.sources([
            ("--profile", "rewrite.profile", profile),
            ("--platform", "platforms", list(&look_ups.platform)),
            ("--image-index", "imageIndex.files", list(look_ups.image_index.iter().map(|file| file.display()))),
        ])?;
        let snapshot = load(&sources)?;
        let mut told = Told::new(look_ups.keyring(&snapshot)?);
        let resolver = if offline { None } else { Some(resolver(look_ups.options(&snapshot))?) };
        let run = Run { snapshot: &snapshot, resolver: resolver.as_ref(), timeout: look_ups.timeout, output };

        let mut exit = Exit::Fine;
        let mut stdout = anstream::AutoStream::auto(std::io::stdout()).lock();
        let inputs = manifest::read(files, std::io::stdin()).map(|document| {
            let object = Object::of(document?)?;
            told.learn(&object.value);
            let facts = told.facts(&object.subject());
            Ok::<_, anyhow::Error>((object, facts))
        });
        let mut outputs = stream::iter(inputs).map(|input| run.one(input)).buffered(AT_ONCE);
        let mut first = true;
        while let Some(written) = outputs.next().await {
            let Written { text, complaints, exit: one } = written;
            exit = exit.max(one);
            for complaint in complaints {
                anstream::eprintln!("{complaint}");
            }
            if output == Format::Yaml && !first && !text.is_empty() {
                stdout.write_all(b"---\n")?;
            }
            first &= text.is_empty();
            stdout.write_all(text.as_bytes())?;
        }
        stdout.flush()?;
        Ok(exit)
    }
}

struct Run<'a> {
    snapshot: &'a Snapshot,
    resolver: Option<&'a Resolver>,
    timeout: Duration,
    output: Format,
}

struct Written {
    text: String,
    complaints: Vec<String>,
    exit: Exit,
}

impl Run<'_> {
    async fn one(&self, input: anyhow::Result<(Object, crate::mutation::Facts)>) -> Written {
        match self.try_one(input).await {
            Ok(written) => written,
            Err(error) => {
                Written { text: String::new(), complaints: vec![format!("{ERROR} {error:#}")], exit: Exit::BadInput }
            }
        }
    }

    async fn try_one(&self, input: anyhow::Result<(Object, crate::mutation::Facts)>) -> anyhow::Result<Written> {
        let (object, facts) = input?;
        let Self { snapshot, resolver, timeout, output } = *self;
        let rules = Rules { pod: snapshot.pod(), workflow: snapshot.workflow(), indexes: snapshot.indexes() };
        let asking = Asking {
            resolver,
            keyring: &facts.keyring,
            namespace: object.namespace.as_deref().unwrap_or_default(),
            priority: Priority::Normal,
            deadline: Instant::now() + timeout,
            wait: &|_| Some(Leave::until_the_deadline(())),
        };
        let outcome = mutate(&object.subject(), rules, &facts, asking).await;
        let (outcome, _) = outcome.map_err(|unreadable| object.unreadable(&unreadable))?;
        let mut after = None;
        if let Outcome::Rewrite(edits, _) = &outcome {
            let mut value = object.value.clone();
            edits.apply(&mut value)?;
            after = Some(value);
        }
        let value = after.as_ref().unwrap_or(&object.value);
        let text = match output {
            Format::Yaml => to_yaml(value),
            Format::Json => json(value)?,
            Format::Patch => match &outcome {
                Outcome::Rewrite(edits, _) => serde_json::to_string(edits)? + "\n",
                _ => "[]\n".to_owned(),
            },
            Format::Diff => match &after {
                Some(after) => {
                    let names = (format!("{} as sent", object.title), format!("{} rewritten", object.title));
                    diff(&to_yaml(&object.value), &to_yaml(after), (&names.0, &names.1))
                }
                None => String::new(),
            },
            Format::Explain => explain(&object, &outcome),
        };
        let mut complaints = Vec::new();
        if output != Format::Explain {
            for warning in outcome.findings().map(|findings| findings.warnings.as_slice()).unwrap_or_default() {
                complaints.push(format!("{WARNING} {}: {warning}", object.title));
            }
            if let Outcome::Denial(denial) = &outcome {
                complaints.extend(denial.problems.iter().map(|problem| format!("{ERROR} {}: {problem}", object.title)));
            }
        }
        let exit = if matches!(outcome, Outcome::Denial(_)) { Exit::Denied } else { Exit::Fine };
        Ok(Written { text, complaints, exit })
    }
}

fn json(value: &Value) -> serde_json::Result<String> {
    let pretty = std::io::stdout().is_terminal();
    Ok(if pretty { serde_json::to_string_pretty(value)? } else { value.to_string() } + "\n")
}

/// What was done to one object, for people.
pub(super) fn explain(object: &Object, outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let title = match &object.namespace {
        Some(namespace) => format!("{} in {namespace}", object.title),
        None => object.title.clone(),
    };
    let title = Styled(BOLD, title);
    match outcome {
        Outcome::Skip(skip) => lines.push(format!("{title}: {} ({skip})", Styled(DIM, "left alone"))),
        Outcome::Unchanged(_) => lines.push(format!("{title}: {}", Styled(GREEN, "needs nothing"))),
        Outcome::Rewrite(edits, _) => {
            let operations = match edits.operations().len() {
                1 => "1 operation".to_owned(),
                several => format!("{several} operations"),
            };
            lines.push(format!("{title}: {}, {operations}", Styled(GREEN, "rewritten")));
        }
        Outcome::Denial(denial) => {
            let again = if denial.is_transient() { " (it may pass later)" } else { "" };
            lines.push(format!("{title}: {}{again}", Styled(RED, "denied")));
            lines.extend(denial.problems.iter().map(|problem| format!("  {problem}")));
        }
    }
    if let Some(findings) = outcome.findings() {
        lines.extend(findings_lines(findings));
    }
    lines.join("\n") + "\n"
}

/// Provenance and warnings, indented.
pub(super) fn findings_lines(findings: &Findings) -> Vec<String> {
    let Findings { provenance, warnings } = findings;
    let commands = provenance.iter().map(|p| {
        let command = serde_json::to_string(&p.command).unwrap_or_default();
        let pinned = if p.pinned.is_some() { ", pinned to it" } else { "" };
        format!("  container {}: image {} runs {command}\n    by {}{pinned}", p.container, p.image, p.source)
    });
    let warnings = warnings.iter().map(|warning| format!("  {} {warning}", Styled(YELLOW, "warning:")));
    commands.chain(warnings).collect()
}
