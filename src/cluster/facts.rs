//! What admissions are told of the cluster: [`Surroundings`] out of watches.
//!
//! | what | watched | where |
//! |---|---|---|
//! | labels of namespaces | always, but in an installation without a ClusterRole | the cluster |
//! | pull secrets and ServiceAccounts | by `cluster.pullSecrets` | some namespaces, or the cluster |
//! | LimitRanges | unless `cluster.limitRanges` is false | `cluster.namespaces`, or the cluster |
//! | labels of Workflows | by `cluster.workflowLabels` | the same |
//!
//! An admission reads what is known and asks nobody. What is not known is as if it were not there: a namespace without
//! labels has the mode of the settings, a secret is a warning, LimitRanges are the API server's to enforce. Only for a
//! Workflow, whose pods come right after it, an admission waits, and not long.

use super::named::Named;
use super::objects::{self, Credentials, SECRET_TYPES, Workflow};
use super::store::{Store, WhenForbidden};
use super::watch::{self, Dependencies, Target, Watches};
use crate::mutation::{Facts, Kind, Labels, Owner, Subject, Surroundings};
use crate::settings::{self, NamespaceName, PullSecrets};
use emissary_core::outcome::Warning;
use emissary_core::pod::{LimitRangeItem, Limits};
use emissary_registry::Keyring;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long an admission waits for a Workflow that is not known yet.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the operator's own credentials give to a namespace.
pub type OperatorKeyring = Arc<dyn Fn(&str) -> Keyring + Send + Sync>;

/// What is watched, and what goes beside it.
#[derive(Clone)]
pub struct Options {
    /// What is watched.
    pub cluster: settings::Cluster,
    /// Behind a namespace's own credentials.
    pub operator: OperatorKeyring,
}

/// What is known of the cluster.
pub struct Known {
    operator: OperatorKeyring,
    namespaces: Store<Labels>,
    secrets: Store<Credentials>,
    scope: SecretScope,
    accounts: Store<Arc<[Box<str>]>>,
    limit_ranges: Store<Arc<[LimitRangeItem]>>,
    workflows: Option<Store<Workflow>>,
    waits: Family<Waited, Counter>,
}

/// Where pull secrets are read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SecretScope {
    Nowhere,
    In(Vec<String>),
    Everywhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waited {
    outcome: &'static str,
}

impl SecretScope {
    fn of(cluster: &settings::Cluster) -> Self {
        let names = |list: &[NamespaceName]| list.iter().map(|name| name.as_str().to_owned()).collect();
        match cluster.pull_secrets {
            PullSecrets::None => Self::Nowhere,
            PullSecrets::NamedNamespaces => Self::In(names(&cluster.pull_secret_namespaces)),
            PullSecrets::EverySecretInTheCluster if cluster.namespaces.is_empty() => Self::Everywhere,
            PullSecrets::EverySecretInTheCluster => Self::In(names(&cluster.namespaces)),
        }
    }

    fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::In(namespaces) => namespaces.iter().any(|name| name == namespace),
            Self::Everywhere => true,
        }
    }

    /// As targets have it.
    fn targets(&self) -> Vec<Option<String>> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::In(namespaces) => namespaces.iter().cloned().map(Some).collect(),
            Self::Everywhere => vec![None],
        }
    }
}

/// Starts the watches. Ready is [`Watches::settled`]; how each is doing stays in `dependencies.watches`.
pub fn start(options: Options, dependencies: &Dependencies, registry: &mut Registry) -> Arc<Known> {
    let Options { cluster, operator } = options;
    let scope = SecretScope::of(&cluster);
    let known = Known {
        operator,
        namespaces: Store::default(),
        secrets: Store::default(),
        scope,
        accounts: Store::default(),
        limit_ranges: Store::default(),
        workflows: cluster.workflow_labels.then(Store::default),
        waits: Family::default(),
    };
    registry.register(
        "workflow_waits",
        "Pods whose executor depends on their Workflow's labels, by how those were found",
        known.waits.clone(),
    );
    registry.register_collector(Box::new(dependencies.watches.clone()));
    let within: Vec<Option<String>> = match cluster.namespaces.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str().to_owned())).collect(),
    };
    let start = |target: Target, sink| {
        watch::start(target, sink, dependencies);
    };
    if cluster.namespaces.is_empty() {
        start(objects::NAMESPACES, known.namespaces.sink(objects::labels, WhenForbidden::Keep));
    }
    for namespace in known.scope.targets() {
        // By type, so that no other secret is ever sent.
        for (kind, _) in SECRET_TYPES {
            let fields = Some(format!("type={kind}"));
            let target = Target { namespace: namespace.clone(), fields, ..objects::SECRETS };
            start(target, known.secrets.sink(objects::credentials, WhenForbidden::Forget));
        }
        let target = Target { namespace, ..objects::ACCOUNTS };
        start(target, known.accounts.sink(objects::account, WhenForbidden::Keep));
    }
    for namespace in within {
        if cluster.limit_ranges {
            let target = Target { namespace: namespace.clone(), ..objects::LIMIT_RANGES };
            start(target, known.limit_ranges.sink(objects::limit_range, WhenForbidden::Keep));
        }
        if let Some(workflows) = &known.workflows {
            let target = Target { namespace, ..objects::WORKFLOWS };
            start(target, workflows.sink(objects::workflow, WhenForbidden::Keep));
        }
    }
    Arc::new(known)
}

impl Known {
    /// The credentials that an object's look-ups may use, and what is wrong with those that it names.
    fn keyring(&self, namespace: &str, subject: &Subject<'_>) -> (Keyring, Vec<Warning>) {
        let own = (self.operator)(namespace);
        if !self.scope.includes(namespace) {
            return (own, Vec::new());
        }
        let Named { mut secrets, accounts } = Named::by(subject);
        for account in accounts {
            let of_account = self.accounts.get(namespace, &account);
            let names = of_account.iter().flat_map(|names| names.iter().map(|name| String::from(&**name)));
            secrets.extend(names);
        }
        let (mut keyrings, mut warnings): (Vec<Keyring>, Vec<Warning>) = (Vec::new(), Vec::new());
        let mut seen: Vec<&str> = Vec::new();
        for name in &secrets {
            if seen.contains(&name.as_str()) {
                continue;
            }
            seen.push(name);
            let warn = |why: &str| Warning::PullSecret { secret: name.clone(), why: why.to_owned() };
            match self.secrets.get(namespace, name) {
                None => warnings.push(warn("it is not there, not of a pull secret's type, or not readable here")),
                Some(Credentials { keyring, fault }) => {
                    warnings.extend(fault.map(|fault| warn(&fault)));
                    keyrings.push(keyring);
                }
            }
        }
        (Keyring::union([Keyring::merge(keyrings), own]), warnings)
    }

    fn limits(&self, namespace: &str) -> Option<Arc<Limits>> {
        let ranges = self.limit_ranges.all(namespace);
        (!ranges.is_empty()).then(|| Arc::new(Limits::of(ranges.iter().flat_map(|items| items.iter()))))
    }

    async fn await_workflow(&self, namespace: &str, owner: &Owner) -> Option<Labels> {
        let count = |outcome| {
            self.waits.get_or_create(&Waited { outcome }).inc();
        };
        let Some(workflows) = &self.workflows else {
            count("not-watched");
            return None;
        };
        let until = Instant::now() + PATIENCE;
        let mut outcome = "known";
        loop {
            // Before looking, so that no change is missed.
            let changed = workflows.changed();
            let found = workflows.get(namespace, &owner.name).filter(|workflow| *workflow.uid == *owner.uid);
            if let Some(Workflow { labels, .. }) = found {
                count(outcome);
                return Some(labels);
            }
            outcome = "waited";
            if timeout_at(until, changed).await.is_err() {
                count("unknown");
                return None;
            }
        }
    }
}

impl Surroundings for Known {
    fn facts(&self, subject: &Subject<'_>) -> Facts {
        // What stands in no namespace has nobody's credentials.
        let Some(namespace) = subject.namespace else { return Facts::default() };
        let (keyring, keyring_warnings) = match subject.kind {
            Kind::Other => (Keyring::anonymous(), Vec::new()),
            Kind::Pod | Kind::Workflow(_) => self.keyring(namespace, subject),
        };
        Facts {
            namespace_labels: self.namespaces.get("", namespace).unwrap_or_default(),
            keyring: Arc::new(keyring),
            keyring_warnings,
            limits: if subject.kind == Kind::Pod { self.limits(namespace) } else { None },
            workflow_labels: None,
        }
    }

    fn workflow_labels<'s>(
        &'s self,
        namespace: &'s str,
        owner: &'s Owner,
    ) -> Pin<Box<dyn Future<Output = Option<Labels>> + Send + 's>> {
        Box::pin(self.await_workflow(namespace, owner))
    }
}

/// Says how the watches are doing, for `/readyz?verbose`: all that are not in step, else that all are.
pub fn told(watches: &Watches) -> String {
    let statuses = watches.statuses();
    let behind: Vec<String> = statuses
        .iter()
        .filter(|status| !matches!(status.state, watch::State::Synced { .. }))
        .map(ToString::to_string)
        .collect();
    match behind.is_empty() {
        true => format!("{} watches in step", statuses.len()),
        false => behind.join("; "),
    }
}
