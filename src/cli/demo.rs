use super::Exit;
use super::output::{BOLD, CYAN, DIM, GREEN, RED, Styled, YELLOW, diff};
use crate::demo::{Answer, Demo as Running, Done, Object, REGISTRY, STEPS, Step};
use crate::manifest::to_yaml;
use anyhow::Context;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// Tries it all on this machine: no cluster, no network.
///
/// Starts the webhook on loopback with a certificate of its own, and a registry with sample images; posts the
/// AdmissionReviews of examples/reviews; shows what comes back. Exit code 0: every answer was as it should be; 1: one was not.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Leave it serving until interrupted, and print a curl line to try.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.demo())
    }

    async fn demo(self) -> anyhow::Result<Exit> {
        let Self { keep } = self;
        let mut out = anstream::stdout();
        let started = Instant::now();
        let mut demo = Running::start().await?;
        head(&mut out, &demo, started.elapsed())?;

        let mut all = Vec::with_capacity(STEPS.len());
        for (number, step) in STEPS.iter().enumerate() {
            let done = demo.perform(step).await?;
            let same = all.iter().position(|(_, earlier): &(&Step, Done)| {
                done.answer.after().is_some() && earlier.answer.after() == done.answer.after()
            });
            write!(out, "\n{}", shown(number + 1, step, &done, same.map(|index| index + 1)))?;
            all.push((step, done));
        }
        let exit = summary(&mut out, &all, started.elapsed())?;
        if keep {
            keep_serving(&mut out, &demo).await?;
        } else {
            next(&mut out)?;
        }
        out.flush()?;
        demo.stop().await;
        Ok(exit)
    }
}

fn head(out: &mut impl Write, demo: &Running, took: Duration) -> std::io::Result<()> {
    writeln!(out, "webhook   https://{}/mutate, after {}", demo.address(), time(took))?;
    writeln!(out, "registry  http://{}, in place of {REGISTRY}", demo.registry_address())
}

/// One step: what it is, the answer, the difference (unless it is that of an earlier step), where commands came from, what
/// it cost.
fn shown(number: usize, step: &Step, done: &Done, same: Option<usize>) -> String {
    let Done { object, before, answer, requests, took, surprises } = done;
    let title = format!("{number}/{}  {}", STEPS.len(), step.title);
    let which = match step.object {
        Object::AsFiled => step.file.to_owned(),
        Object::AsRewritten => format!("{}, rewritten", step.file),
    };
    let mut lines = vec![Styled(BOLD, title).to_string(), format!("  {}", Styled(DIM, which))];
    let time = time(*took);
    match answer {
        Answer::Rewritten { after, commands, warnings } => {
            lines.push(format!("  {object}: {} in {time}", word(answer)));
            let names = (format!("{object} as posted"), format!("{object} rewritten"));
            lines.push(match same {
                Some(earlier) => format!("  {}", Styled(DIM, format!("the same as in {earlier}"))),
                None => diff(&to_yaml(before), &to_yaml(after), (&names.0, &names.1)).trim_end().to_owned(),
            });
            lines.extend(commands.iter().map(|command| format!("  {} {command}", Styled(CYAN, "command: "))));
            lines.extend(warnings.iter().map(|warning| format!("  {} {warning}", Styled(YELLOW, "warning: "))));
        }
        Answer::Denied { code, message } => {
            lines.push(format!("  {object}: {} with {code} in {time}", word(answer)));
            lines.push(format!("  {} {message}", Styled(CYAN, "message: ")));
        }
        Answer::Unchanged | Answer::LeftAlone => lines.push(format!("  {object}: {} in {time}", word(answer))),
    }
    lines.extend(requests.iter().map(|request| {
        let login = if request.had_credentials { ", with credentials" } else { "" };
        let text = format!("{} {} {}{login}", request.method, request.path, request.status);
        format!("  {} {text}", Styled(CYAN, "registry:"))
    }));
    lines.extend(surprises.iter().map(|surprise| format!("  {} {surprise}", Styled(RED, "not so:  "))));
    lines.join("\n") + "\n"
}

fn word(answer: &Answer) -> Styled<&'static str> {
    let colour = match answer {
        Answer::Rewritten { .. } | Answer::Unchanged => GREEN,
        Answer::LeftAlone => DIM,
        Answer::Denied { .. } => RED,
    };
    Styled(colour, answer.word())
}

fn time(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

fn summary(out: &mut impl Write, all: &[(&Step, Done)], took: Duration) -> std::io::Result<Exit> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["", "OBJECT", "ANSWER", "COMMANDS", "REQUESTS", "TIME"]);
    for column in [0, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (number, (_, done)) in all.iter().enumerate() {
        let commands = match &done.answer {
            Answer::Rewritten { commands, .. } => commands.len(),
            Answer::Unchanged | Answer::LeftAlone | Answer::Denied { .. } => 0,
        };
        table.add_row([
            (number + 1).to_string(),
            done.object.clone(),
            done.answer.word().to_owned(),
            commands.to_string(),
            done.requests.len().to_string(),
            time(done.took),
        ]);
    }
    writeln!(out)?;
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    let count = |word: &str| all.iter().filter(|(_, done)| done.answer.word() == word).count();
    let answers: Vec<String> = ["rewritten", "unchanged", "left alone", "denied"]
        .into_iter()
        .map(|word| format!("{} {word}", count(word)))
        .collect();
    let requests: usize = all.iter().map(|(_, done)| done.requests.len()).sum();
    let wrong = all.iter().filter(|(_, done)| !done.surprises.is_empty()).count();
    writeln!(out, "\n{} reviews: {}", all.len(), answers.join(", "))?;
    writeln!(out, "{requests} requests to the registry, {} in all", time(took))?;
    if wrong == 0 {
        writeln!(out, "{}", Styled(GREEN, "every answer is as it should be"))?;
        return Ok(Exit::Fine);
    }
    writeln!(out, "{}", Styled(RED, format!("{wrong} answers are not as they should be")))?;
    Ok(Exit::Denied)
}

fn next(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "\nNext:")?;
    writeln!(out, "  emissary-webhook demo --keep                     leave it serving, to try it with curl")?;
    writeln!(out, "  emissary-webhook rewrite -o diff my-pod.yaml     the same for your own files")?;
    writeln!(out, "  emissary-webhook resolve my-image                what your image runs, asked of its registry")
}

/// Prints what to type, then waits for an interrupt.
async fn keep_serving(out: &mut impl Write, demo: &Running) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let folder = tempfile::Builder::new().prefix("emissary-webhook-demo-").tempdir().context("no place for files")?;
    files(&folder, demo)?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    writeln!(out, "\nServing until you press Ctrl-C. In another terminal:\n")?;
    writeln!(
        out,
        "  curl -sS --cacert '{}' -H 'content-type: application/json' --data '@{}' 'https://{}/mutate?timeout=10s'",
        path(CA),
        path(REVIEW),
        demo.address()
    )?;
    if let Some(plain) = demo.plain_address() {
        writeln!(out, "  curl -sS http://{plain}/metrics")?;
    }
    writeln!(
        out,
        "  HTTP_PROXY=http://{} emissary-webhook resolve --plain-http {REGISTRY} {REGISTRY}/shop/report:1.4",
        demo.registry_address()
    )?;
    out.flush()?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

const CA: &str = "ca.crt";
const REVIEW: &str = "review.json";

fn files(folder: &TempDir, demo: &Running) -> anyhow::Result<()> {
    let review = STEPS.first().map(|step| step.review).unwrap_or_default();
    for (name, text) in [(CA, demo.ca_pem()), (REVIEW, review)] {
        let path: &Path = &folder.path().join(name);
        std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
