use super::Exit;
use super::look_ups::{LookUpArguments, resolver};
use super::output::{ERROR, WARNING};
use super::settings::{SettingsArguments, list, load};
use crate::manifest;
use crate::review::{
    Advice, Asker, Assumed, CHUNK, Candidate, Cell, Change, Column, Exception, Input, Judgement, Options, Policies,
    Refusal, Reviewer, Usable, Verdict, json_line, worst,
};
use clap::{Args, ValueEnum};
use emissary_policy::User;
use emissary_policy::pss::{Level, Standard, Version};
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// Shows what policies say of pods, as they are and as the webhook would make them.
///
/// Exit code 0: nothing is denied; 1: something is; 2: bad input; 3: with --strict, something could not be judged.
#[derive(Debug, Args)]
pub(super) struct Review {
    /// YAML or JSON: Pods, Lists, AdmissionReviews of Pods, and Namespaces for their labels; "-" for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Files and folders with policies: PodSecurityPolicies, Roles and Bindings, a PodSecurityConfiguration, Gatekeeper
    /// templates and constraints, Rego, Namespaces. Repeatable.
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// A Pod Security Standard that every pod is held to, such as restricted or baseline:v1.30. Repeatable.
    #[arg(long, value_name = "LEVEL[:VERSION]", value_parser = standard)]
    pss: Vec<Standard>,
    /// PodSecurityPolicies that everybody may use, or "all"; without it Roles and Bindings decide. Repeatable.
    #[arg(long, value_name = "NAME")]
    assume_use: Vec<String>,
    /// For which executor pods are built. Repeatable. Default: as-is and emissary.
    #[arg(long, value_enum, value_name = "NAME")]
    executor: Vec<Executor>,
    /// Who asks for the pods, where no AdmissionReview says it.
    #[arg(long = "as", value_name = "USER", default_value = "system:serviceaccount:argo:argo")]
    user: String,
    /// A further group of theirs. Repeatable.
    #[arg(long = "as-group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The namespace of pods that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// End with exit code 3 where something could not be judged.
    #[arg(long)]
    strict: bool,
    /// Judge each pod by itself, also where one of the same shape has been judged.
    #[arg(long)]
    each: bool,
    /// Ask no registry: the image index and the shipped entries must do.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    look_ups: LookUpArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Executor {
    AsIs,
    Emissary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A row a pod and executor, and what stands against it.
    Table,
    /// A verdict a line.
    Jsonl,
}

fn standard(text: &str) -> Result<Standard, String> {
    let (level, version) = text.split_once(':').unwrap_or((text, "latest"));
    match (Level::parse(level), Version::parse(version)) {
        (Some(level), Some(version)) => Ok(Standard { level, version }),
        (None, _) => Err("the level is privileged, baseline or restricted".to_owned()),
        (_, None) => Err("the version is latest or v1.N, such as v1.30".to_owned()),
    }
}

impl Review {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        super::block_on(self.review())
    }

    async fn review(self) -> anyhow::Result<Exit> {
        let Self {
            files,
            policies,
            pss,
            assume_use,
            executor,
            user,
            groups,
            namespace,
            output,
            strict,
            each,
            offline,
            settings,
            look_ups,
        } = self;
        let sources = settings.sources([
            ("--platform", "platforms", list(&look_ups.platform)),
            ("--image-index", "imageIndex.files", list(look_ups.image_index.iter().map(|file| file.display()))),
        ])?;
        let snapshot = load(&sources)?;
        let usable = match &assume_use[..] {
            [] => None,
            names if names.iter().any(|name| name == "all") => Some(Usable::All),
            names => Some(Usable::These(names.iter().cloned().collect())),
        };
        let policies = Policies::load(&policies, Assumed { standards: pss, usable })?;
        for Refusal { place, policy, why } in policies.refusals() {
            anstream::eprintln!("{WARNING} {place}: {policy} judges nothing: {why}");
        }
        let mut exit = if strict && !policies.refusals().is_empty() { Exit::Unjudged } else { Exit::Fine };
        let is_empty = policies.is_empty();
        let columns = match &executor[..] {
            [] => vec![Column::AsIs, Column::Emissary],
            some => some.iter().map(|executor| executor.column()).collect(),
        };
        let resolver = if offline { None } else { Some(resolver(look_ups.options(&snapshot))?) };
        let mut namespaces = policies.namespaces().clone();
        let asker = Asker { user: asker(user, groups), namespace };
        let options = Options {
            snapshot: &snapshot,
            resolver: resolver.as_ref(),
            keyring: Arc::new(look_ups.keyring(&snapshot)?),
            timeout: look_ups.timeout,
            columns,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            by_shape: !each,
            with_advice: output != Format::Jsonl,
        };
        let mut reviewer = Reviewer::new(options, policies);
        let mut stdout = anstream::AutoStream::auto(std::io::stdout()).lock();
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        let mut documents = manifest::read(files, std::io::stdin());
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let document = documents.next();
            let is_last = document.is_none();
            match document.map(|document| Input::of(document?, &asker, &namespaces)) {
                None => {}
                Some(Ok(Input::Pod(candidate))) => {
                    anyhow::ensure!(
                        !is_empty || candidate.namespace_object.is_some(),
                        "no policy to review by: name some by --policies or --pss"
                    );
                    chunk.push(*candidate);
                }
                Some(Ok(Input::Namespace(name, namespace))) => _ = namespaces.insert(name, Arc::new(namespace)),
                Some(Ok(Input::Other(kind))) => *others.entry(kind).or_default() += 1,
                Some(Err(problem)) => {
                    anstream::eprintln!("{ERROR} {problem}");
                    exit = exit.max(Exit::BadInput);
                }
            }
            if chunk.len() < CHUNK && !is_last {
                continue;
            }
            let rows = reviewer.review(&chunk).await;
            for (candidate, row) in chunk.drain(..).zip(rows) {
                for cell in row.iter() {
                    exit = exit.max(match worst(&cell.judgements) {
                        Verdict::Denied => Exit::Denied,
                        _ if strict && cell.judgements.iter().any(|one| one.verdict == Verdict::Unknown) => {
                            Exit::Unjudged
                        }
                        _ => Exit::Fine,
                    });
                    let text = match output {
                        Format::Jsonl => {
                            let lines = cell.judgements.iter();
                            lines.map(|judgement| json_line(&candidate, cell.column, judgement) + "\n").collect()
                        }
                        Format::Table => cell_text(&candidate, cell),
                    };
                    stdout.write_all(text.as_bytes())?;
                }
            }
            if is_last {
                break;
            }
        }
        stdout.flush()?;
        for (kind, count) in others {
            anstream::eprintln!("{WARNING} {count} of kind {kind} not judged: only pods are");
        }
        Ok(exit)
    }
}

/// Who asks: the groups of a service account come with its name, as the API server adds them.
fn asker(name: String, groups: Vec<String>) -> User {
    let mut all = groups;
    if let Some((namespace, _)) = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        all.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    all.push("system:authenticated".to_owned());
    User { name, uid: String::new(), groups: all }
}

impl Executor {
    fn column(self) -> Column {
        match self {
            Self::AsIs => Column::AsIs,
            Self::Emissary => Column::Emissary,
        }
    }
}

/// One pod and executor for people: what follows, what stands against it, and what would help.
fn cell_text(candidate: &Candidate, cell: &Cell) -> String {
    let Cell { column, judgements, pod: _, advice } = cell;
    let title = format!("{} in {}, {}", candidate.title, candidate.namespace, column.name());
    let mut text = format!("{title}: {}\n", worst(judgements).name());
    for judgement in judgements.iter().filter(|judgement| judgement.verdict != Verdict::Allowed) {
        let Judgement { stage, engine, policy, verdict, message, blame, causes } = judgement;
        let blame = blame.map(|blame| format!(", by {}", blame.name())).unwrap_or_default();
        text.push_str(&format!("  {} by {engine} {policy} ({}{blame}):\n", verdict.name(), stage.name()));
        text.extend(message.lines().map(|line| format!("    {line}\n")));
        text.extend(causes.iter().map(|cause| format!("    because of {cause}\n")));
    }
    text + &advice_text(advice)
}

fn advice_text(advice: &Advice) -> String {
    let Advice { change, conflicts, exceptions } = advice;
    let mut text = String::new();
    if let Some(Change { settings, clears, .. }) = change {
        text.push_str(&format!("  tried: --set '{}' clears {}\n", settings.join("' --set '"), clears.join(", ")));
    }
    for Change { settings, clears, breaks } in conflicts {
        let (settings, clears, breaks) = (settings.join(" "), clears.join(", "), breaks.join(", "));
        text.push_str(&format!("  conflict: {settings} clears {clears}, and breaks {breaks}\n"));
    }
    for Exception { policy, text: lines, warning } in exceptions {
        text.push_str(&format!("  no setting clears {policy}; an exception:\n"));
        text.extend(lines.lines().map(|line| format!("    {line}\n")));
        if !warning.is_empty() {
            text.push_str(&format!("    {WARNING} {warning}\n"));
        }
    }
    text
}
