use super::Exit;
use super::look_ups::{LookUpArguments, resolver};
use super::objects::{Object, Told};
use super::output::{ERROR, WARNING};
use super::settings::{SettingsArguments, list, load};
use crate::manifest;
use crate::mutation::{Asking, Kind, Leave, Rules, Surroundings, mutate};
use crate::review::{Assumed, Candidate, Column, Judgement, Policies, Usable, User, assign, json_line, of_outcome};
use crate::settings::Snapshot;
use anyhow::Context;
use clap::{Args, ValueEnum};
use emissary_core::outcome::Outcome;
use emissary_policy::Decision;
use emissary_policy::pss::{Level, Standard, Version};
use emissary_registry::{Priority, Resolver};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use tokio::time::Instant;

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
    /// The namespace of pods that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// End with exit code 3 where something could not be judged.
    #[arg(long)]
    strict: bool,
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
        let Self { files, policies, pss, assume_use, executor, user, namespace, output, strict, offline, .. } = self;
        let (settings, look_ups) = (self.settings, self.look_ups);
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
        let mut policies = Policies::load(&policies, Assumed { standards: pss, usable })?;
        anyhow::ensure!(!policies.is_empty(), "no policy to review by: name some by --policies or --pss");
        for refusal in policies.refusals() {
            anstream::eprintln!(
                "{WARNING} {} {}: a cluster would not take it: {}",
                refusal.kind,
                refusal.name,
                refusal.why
            );
        }
        let columns = match &executor[..] {
            [] => vec![Column::AsIs, Column::Emissary],
            some => some.iter().map(|executor| executor.column()).collect(),
        };
        let mut told = Told::new(look_ups.keyring(&snapshot)?);
        let resolver = if offline { None } else { Some(resolver(look_ups.options(&snapshot))?) };
        let mut stdout = anstream::AutoStream::auto(std::io::stdout()).lock();
        let mut exit = Exit::Fine;
        for document in manifest::read(files, std::io::stdin()) {
            let object = match document.map_err(anyhow::Error::from).and_then(Object::of) {
                Ok(object) => object,
                Err(error) => {
                    anstream::eprintln!("{ERROR} {error:#}");
                    exit = exit.max(Exit::BadInput);
                    continue;
                }
            };
            told.learn(&object.value);
            if object.kind != Kind::Pod {
                continue;
            }
            let candidate = Candidate {
                title: object.title.clone(),
                namespace: object.namespace.clone().unwrap_or_else(|| namespace.clone()),
                user: User {
                    name: user.clone(),
                    groups: vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()],
                },
                object: object.value.clone(),
            };
            let run = Run { snapshot: &snapshot, resolver: resolver.as_ref(), told: &told, timeout: look_ups.timeout };
            let as_is = run.judge(&candidate, Column::AsIs, &mut policies).await?;
            for column in &columns {
                let mut judgements = match column {
                    Column::AsIs => as_is.clone(),
                    Column::Emissary => run.judge(&candidate, *column, &mut policies).await?,
                };
                assign(&mut judgements, &as_is);
                for judgement in &judgements {
                    exit = exit.max(match judgement.decision {
                        Decision::Denied => Exit::Denied,
                        Decision::Unknown if strict => Exit::Unjudged,
                        _ => Exit::Fine,
                    });
                }
                let text = match output {
                    Format::Jsonl => {
                        judgements.iter().map(|judgement| json_line(&candidate, *column, judgement) + "\n").collect()
                    }
                    Format::Table => row(&candidate, *column, &judgements),
                };
                stdout.write_all(text.as_bytes())?;
            }
        }
        stdout.flush()?;
        Ok(exit)
    }
}

impl Executor {
    fn column(self) -> Column {
        match self {
            Self::AsIs => Column::AsIs,
            Self::Emissary => Column::Emissary,
        }
    }
}

struct Run<'a> {
    snapshot: &'a Snapshot,
    resolver: Option<&'a Resolver>,
    told: &'a Told,
    timeout: std::time::Duration,
}

impl Run<'_> {
    async fn judge(
        &self,
        candidate: &Candidate,
        column: Column,
        policies: &mut Policies,
    ) -> anyhow::Result<Vec<Judgement>> {
        let (pod, mut judgements) = candidate.before_rewrite(policies);
        let Some(mut pod) = pod else { return Ok(judgements) };
        let mut rewritten = false;
        if column == Column::Emissary {
            let outcome = self.mutate(candidate, &pod).await?;
            if let Some(judgement) = of_outcome(&outcome) {
                judgements.push(judgement);
                return Ok(judgements);
            }
            if let Outcome::Rewrite(edits, _) = &outcome {
                edits.apply(&mut pod)?;
                rewritten = true;
            }
        }
        judgements.extend(candidate.after_rewrite(policies, &pod, rewritten));
        Ok(judgements)
    }

    async fn mutate(&self, candidate: &Candidate, pod: &Value) -> anyhow::Result<Outcome> {
        let Self { snapshot, resolver, told, timeout } = *self;
        let rules = Rules { pod: snapshot.pod(), workflow: snapshot.workflow(), indexes: snapshot.indexes() };
        let text = pod.to_string();
        let subject = crate::mutation::Subject {
            kind: Kind::Pod,
            operation: "CREATE",
            sub_resource: None,
            name: None,
            namespace: Some(&candidate.namespace),
            object: &text,
            old_object: None,
        };
        let facts = told.facts(&subject);
        let asking = Asking {
            resolver,
            keyring: &facts.keyring,
            namespace: &candidate.namespace,
            priority: Priority::Normal,
            deadline: Instant::now() + timeout,
            wait: &|_| Some(Leave::until_the_deadline(())),
        };
        mutate(&subject, rules, &facts, asking).await.with_context(|| candidate.title.clone())
    }
}

/// One pod and executor for people: what follows, and what stands against it.
fn row(candidate: &Candidate, column: Column, judgements: &[Judgement]) -> String {
    let worst = judgements.iter().map(|judgement| judgement.decision).max().unwrap_or(Decision::Allowed);
    let word = |decision| match decision {
        Decision::Allowed => "allowed",
        Decision::Warned => "warned",
        Decision::Unknown => "unknown",
        Decision::Denied => "denied",
    };
    let mut text = format!("{} in {}, {}: {}\n", candidate.title, candidate.namespace, column.name(), word(worst));
    for judgement in judgements.iter().filter(|judgement| judgement.decision != Decision::Allowed) {
        let Judgement { stage, engine, policy, decision, message, blame } = judgement;
        let blame = blame.map(|blame| format!(", by {}", blame.name())).unwrap_or_default();
        text.push_str(&format!("  {} by {engine} {policy} ({}{blame}):\n", word(*decision), stage.name()));
        text.extend(message.lines().map(|line| format!("    {line}\n")));
    }
    text
}
