use super::Exit;
use super::cross_check::CrossCheck;
use super::from_cluster::{ClusterPolicies, Source};
use super::look_ups::{LookUpArguments, resolver};
use super::output::WARNING;
use super::replay;
use super::settings::{SettingsArguments, list, load};
use super::told::{Gate, Told};
use crate::cluster::Connection;
use crate::manifest;
use crate::review::{
    self, Asker, Assumed, Baseline, CHUNK, Cell, Column, Input, Judgement, KnownBounds, Limits, Opa, Options, Policies,
    Ready, Replay, Reviewer, Usable, Work,
};
use anyhow::Context;
use clap::{Args, ValueEnum};
use emissary_policy::pss::{Level, Standard};
use emissary_policy::{Namespace, User};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Said where a review would say nothing.
const NO_POLICY: &str = "no policy to review by: name some by --policies or --pss";

/// The hidden verb with which a review starts its judges.
const JUDGE: &str = "judge-for-a-review";

/// Judges for a review, which asks on standard input.
#[derive(Debug, Args)]
pub(super) struct Judge;

impl Judge {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        review::judge_for_another(std::io::BufReader::new(std::io::stdin()), std::io::stdout())?;
        Ok(Exit::Fine)
    }
}

/// Shows what policies say of pods, as they are and as the webhook would make them.
///
/// Exit code 0: nothing is denied; 1: something is; 2: bad input; 3: with --strict, something could not be judged.
#[derive(Debug, Args)]
pub(super) struct Review {
    /// YAML or JSON: Pods, Workflows, WorkflowTemplates, ClusterWorkflowTemplates, CronWorkflows, Lists, AdmissionReviews of
    /// these, and Namespaces, LimitRanges and ResourceQuotas for those behind; "-" for standard input.
    #[arg(required_unless_present_any = ["replay", "from_cluster"], value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Judge what a webhook has recorded (review.record.folder): such a folder, or a file with what it answers at /recorded. Nothing
    /// is looked up or rewritten. Repeatable.
    #[arg(long, value_name = "PATH", conflicts_with = "files")]
    replay: Vec<PathBuf>,
    /// Judge the workflow pods and stored templates of a cluster, by its own policies too. Secrets are not read; what may not be read is
    /// named.
    #[arg(long, conflicts_with_all = ["files", "replay"])]
    from_cluster: bool,
    /// The cluster's kubeconfig. Default: KUBECONFIG, or the pod's service account.
    #[arg(long, value_name = "FILE", requires = "from_cluster")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, in place of its current one.
    #[arg(long, value_name = "NAME", requires = "from_cluster")]
    context: Option<String>,
    /// Files and folders with policies: PodSecurityPolicies, Roles and Bindings, a PodSecurityConfiguration, Gatekeeper
    /// templates and constraints, Kyverno policies, Rego, Namespaces, LimitRanges, ResourceQuotas. Repeatable.
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// A Pod Security Standard that every pod is held to, such as restricted or baseline:v1.30. Repeatable.
    #[arg(long, value_name = "LEVEL[:VERSION]", value_parser = standard)]
    pss: Vec<Standard>,
    /// PodSecurityPolicies that everybody may use, or "all"; without it Roles and Bindings decide. Repeatable.
    #[arg(long, value_name = "NAME")]
    assume_use: Vec<String>,
    /// The cluster's version, which PodSecurityPolicy differs by: v1.20 to v1.24.
    #[arg(long, value_name = "v1.N", value_parser = minor)]
    kubernetes: Option<u32>,
    /// For which executor pods are built: as-is, docker, kubelet, k8sapi, pns or emissary. Repeatable. Default: as-is and
    /// emissary.
    #[arg(long, value_enum, value_name = "NAME")]
    executor: Vec<Executor>,
    /// The workflow controller's ConfigMap, or what its key `config` holds: by it the pods of other executors, and of templates,
    /// are made.
    #[arg(long, value_name = "FILE")]
    controller_config: Option<PathBuf>,
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
    /// Fail only on denials that are not in this report, which an earlier review has written with -o json.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Fail only where an executor's pods do not keep to a Pod Security Standard. Repeatable.
    #[arg(long, value_name = "EXECUTOR=LEVEL[:VERSION]", value_parser = expected)]
    expect: Vec<Expected>,
    /// End with exit code 3 where something could not be judged.
    #[arg(long)]
    strict: bool,
    /// How long the policies may take for one pod, in seconds of the processor; one that takes longer is unknown.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = super::look_ups::seconds)]
    policy_deadline: Duration,
    /// How much memory the policies may take in each process that judges, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    policy_memory: u64,
    /// Judge each pod by itself, also where one of the same shape has been judged.
    #[arg(long)]
    each: bool,
    /// A real OPA as a cross-check: its program, or the http:// address where one serves. It is asked for each plain Rego rule,
    /// and differences are listed.
    #[arg(long, value_name = "PROGRAM|URL")]
    opa: Option<String>,
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
    Docker,
    Kubelet,
    K8sapi,
    Pns,
    Emissary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people: a row for pods of the same shape, a column an executor, then what stands against them.
    Table,
    /// A verdict a line.
    Jsonl,
    /// The whole report, versioned; --baseline reads it.
    Json,
    /// One page for a browser, which needs nothing else.
    Html,
    /// For a pull request.
    Markdown,
    /// SARIF 2.1.0, with the manifests' lines.
    Sarif,
    /// JUnit, a case a pod and policy.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
    /// PolicyReport objects (wgpolicyk8s.io/v1alpha2), one a namespace.
    PolicyReport,
}

/// `--expect emissary=restricted`: what pods have to come to for an executor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    executor: Executor,
    standard: Standard,
}

fn expected(text: &str) -> Result<Expected, String> {
    let (executor, level) = text.split_once('=').ok_or("give EXECUTOR=LEVEL, such as emissary=restricted")?;
    Ok(Expected { executor: Executor::from_str(executor, false)?, standard: standard(level)? })
}

fn standard(text: &str) -> Result<Standard, String> {
    review::standard(text).ok_or_else(|| {
        "give privileged, baseline or restricted, and a version behind a colon if it is not the latest: baseline:v1.30".to_owned()
    })
}

fn minor(text: &str) -> Result<u32, String> {
    let minor = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.").and_then(|minor| minor.parse().ok());
    minor.ok_or_else(|| "give a version such as v1.24".to_owned())
}

impl Review {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        super::block_on(self.review())
    }

    async fn review(self) -> anyhow::Result<Exit> {
        let Self {
            files,
            replay,
            from_cluster,
            kubeconfig,
            context,
            mut policies,
            pss,
            assume_use,
            kubernetes,
            executor,
            controller_config,
            user,
            groups,
            namespace,
            output,
            baseline,
            expect,
            strict,
            policy_deadline,
            policy_memory,
            each,
            opa,
            offline,
            settings,
            look_ups,
        } = self;
        let sources = settings.sources([
            ("--platform", "platforms", list(&look_ups.platform)),
            ("--image-index", "imageIndex.files", list(look_ups.image_index.iter().map(|file| file.display()))),
        ])?;
        let snapshot = load(&sources)?;
        let usable = Usable::of(&assume_use);
        let mut pss = pss;
        pss.extend(expect.iter().map(|one| one.standard).filter(|standard| standard.level != Level::Privileged));
        let mut seen = Vec::new();
        pss.retain(|standard| {
            !seen.contains(standard) && {
                seen.push(*standard);
                true
            }
        });
        let gate = Gate { baseline: baseline.as_deref().map(read_baseline).transpose()?, expect, strict };
        let assumed = Assumed { standards: pss.iter().map(Standard::to_string).collect(), usable, minor: kubernetes };
        let mut cluster = None;
        if from_cluster {
            let connection = Connection { kubeconfig: kubeconfig.as_deref(), context: context.as_deref() };
            let cluster = cluster.insert(ClusterPolicies::read(connection).await?);
            policies.insert(0, cluster.path());
        }
        let files_of_policies = Policies::files(&policies)?;
        let columns = columns(&executor);
        let resolver = if offline { None } else { Some(resolver(look_ups.options(&snapshot))?) };
        let asker = Asker { user: asker(user, groups), namespace };
        let renders = columns.iter().any(|column| column.executor().is_some());
        let options = Options {
            snapshot: &snapshot,
            resolver: resolver.as_ref(),
            keyring: Arc::new(look_ups.keyring(&snapshot)?),
            timeout: look_ups.timeout,
            columns,
            controller: controller_config.map(read_controller).transpose()?.unwrap_or_default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            by_shape: !each,
            with_advice: output != Format::Jsonl,
        };
        let limits = judges(policy_deadline, policy_memory << 20)?;
        let mut told = Told::new(gate, output, &options.columns);
        if !replay.is_empty() {
            let judges = Replay::new(limits, files_of_policies, assumed, options.threads)?;
            return replay::replay(judges, replay, told);
        }
        let mut reviewer = Reviewer::new(options, limits, files_of_policies.clone(), assumed)?;
        let Ready { is_empty, refusals, namespaces, bounds: documents, rules, .. } = reviewer.ready();
        let mut bounds = KnownBounds::default();
        documents.iter().for_each(|document| bounds.learn(document, &asker.namespace));
        let mut cross_check = match opa {
            Some(which) => Some(CrossCheck::new(Opa::connect(&which, &files_of_policies, &namespaces, rules).await?)),
            None => None,
        };
        let namespaces = namespaces.into_iter().map(|(name, object)| (name, Arc::new(Namespace { object })));
        let mut namespaces: BTreeMap<String, Arc<Namespace>> = namespaces.collect();
        told.refused(&refusals);
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        let mut documents = Source::of(files, cluster.as_mut());
        let mut work = Vec::with_capacity(CHUNK);
        loop {
            let document = documents.next().await;
            let is_last = document.is_none();
            match document.map(|document| Input::of(document?, &asker, &namespaces)) {
                None => {}
                Some(Ok(Input::Pod(mut candidate))) => {
                    candidate.bounds = bounds.of(&candidate.namespace);
                    let is_judged = !is_empty || candidate.namespace_object.is_some() || candidate.bounds.is_some();
                    anyhow::ensure!(is_judged, NO_POLICY);
                    work.push(Work::Pod(candidate));
                }
                Some(Ok(Input::Templates(mut templates))) if renders => {
                    templates.bounds = bounds.of(&templates.namespace);
                    let is_judged = !is_empty || templates.namespace_object.is_some() || templates.bounds.is_some();
                    anyhow::ensure!(is_judged, NO_POLICY);
                    work.push(Work::Templates(templates));
                }
                Some(Ok(Input::Templates(templates))) => {
                    *others.entry(templates.kind_name().to_owned()).or_default() += 1;
                }
                Some(Ok(Input::Bounds(document))) => bounds.learn(&document, &asker.namespace),
                Some(Ok(Input::Namespace(name, namespace))) => _ = namespaces.insert(name, Arc::new(namespace)),
                Some(Ok(Input::Other(kind))) => *others.entry(kind).or_default() += 1,
                Some(Err(problem)) => {
                    told.wrong(&problem);
                }
            }
            if work.len() < CHUNK && !is_last {
                continue;
            }
            let candidates = reviewer.candidates(std::mem::take(&mut work)).await;
            for chunk in candidates.chunks(CHUNK) {
                let rows = reviewer.review(chunk).await;
                for (candidate, row) in chunk.iter().zip(rows) {
                    if let Some(cross_check) = &mut cross_check {
                        cross_check.of(candidate, &row).await?;
                    }
                    told.tell(candidate, &row)?;
                }
            }
            if is_last {
                break;
            }
        }
        let is_unread = documents.tell_unread() > 0;
        let mut exit = told.finish(reviewer.stopped())?;
        let differs = cross_check.is_some_and(CrossCheck::tell);
        if strict && (is_unread || differs) {
            exit = exit.max(Exit::Unjudged);
        }
        for (kind, count) in others {
            anstream::eprintln!("{WARNING} {count} of kind {kind} not judged: only pods are");
        }
        Ok(exit)
    }
}

/// How this program judges in processes of its own.
pub(super) fn judges(deadline: Duration, memory: u64) -> anyhow::Result<Limits> {
    let program = std::env::current_exe().context("this program cannot be found, to judge in a process of its own")?;
    Ok(Limits { program, arguments: vec![JUDGE.to_owned()], deadline, memory, give_way: false })
}

impl Expected {
    /// What the webhook itself or a pass before refuses never gets to the standard.
    pub(super) fn is_about(&self, cell: &Cell, judgement: &Judgement) -> bool {
        let is_standard = judgement.engine == "pss" && judgement.policy == self.standard.to_string();
        cell.column == self.executor.column() && (is_standard || cell.pod.is_none())
    }
}

/// The columns, each once.
fn columns(executors: &[Executor]) -> Vec<Column> {
    let mut columns: Vec<Column> = match executors {
        [] => vec![Column::AsIs, Column::Emissary],
        some => some.iter().map(|executor| executor.column()).collect(),
    };
    let mut seen = Vec::new();
    columns.retain(|column| {
        let is_new = !seen.contains(column);
        seen.push(*column);
        is_new
    });
    columns
}

fn read_controller(path: PathBuf) -> anyhow::Result<serde_json::Value> {
    let name = path.display().to_string();
    let document = manifest::read([path], std::io::empty()).next();
    let document = document.with_context(|| format!("{name}: holds no document"))??;
    Ok(review::configuration(document)?)
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Baseline::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
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
            Self::Docker => Column::Docker,
            Self::Kubelet => Column::Kubelet,
            Self::K8sapi => Column::K8sApi,
            Self::Pns => Column::Pns,
            Self::Emissary => Column::Emissary,
        }
    }
}
