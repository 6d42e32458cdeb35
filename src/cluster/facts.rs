//! What admissions are told of the cluster: [`Surroundings`] out of watches.
//!
//! | what | watched | where |
//! |---|---|---|
//! | labels of namespaces | always, but in an installation without a ClusterRole | the cluster |
//! | pull secrets and ServiceAccounts | by `cluster.pullSecrets` | some namespaces, or the cluster |
//! | LimitRanges | unless `cluster.limitRanges` is false | `cluster.namespaces`, or the cluster |
//! | labels of Workflows | by `cluster.workflowLabels`, see [`workflows`](super::workflows) | the same |
//! | platforms of nodes | by `cluster.nodePlatforms` | the cluster |
//!
//! Stored templates are watched by [`templates`](super::templates), and no admission asks for them.
//!
//! An admission reads what is known and asks nobody. What is not known is as if it were not there: a namespace without
//! labels has the mode of the settings, a secret is a warning, LimitRanges are the API server's to enforce. Only for a
//! Workflow, whose pods come right after it, an admission waits, and not long.

use super::named::Named;
use super::nodes::{Nodes, Platforms};
use super::objects::{self, Credentials, SECRET_TYPES};
use super::store::{Store, WhenForbidden};
use super::watch::{self, Dependencies, Target, Watches};
use super::workflows::Workflows;
use crate::mutation::{Facts, Kind, Labels, Owner, Subject, Surroundings};
use crate::settings::{self, NamespaceName, PullSecrets, WorkflowLabels};
use emissary_core::outcome::Warning;
use emissary_core::pod::{LimitRangeItem, Limits};
use emissary_registry::Keyring;
use prometheus_client::registry::Registry;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

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
    workflows: Workflows,
    node_platforms: Platforms,
}

/// Where pull secrets are read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SecretScope {
    Nowhere,
    In(Vec<String>),
    Everywhere,
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
        workflows: Workflows::new(registry),
        node_platforms: Platforms::default(),
    };
    registry.register_collector(Box::new(dependencies.watches.clone()));
    let within = within(&cluster);
    let start = |target: Target, sink| {
        watch::start(target, sink, dependencies);
    };
    if cluster.namespaces.is_empty() {
        start(objects::NAMESPACES, known.namespaces.sink(objects::labels, WhenForbidden::Keep));
    }
    for target in secrets(&cluster) {
        start(target, known.secrets.sink(objects::credentials, WhenForbidden::Forget));
    }
    for target in accounts(&cluster) {
        start(target, known.accounts.sink(objects::account, WhenForbidden::Keep));
    }
    if cluster.node_platforms {
        start(objects::NODES, Box::new(Nodes::new(known.node_platforms.clone())));
    }
    for namespace in within {
        if cluster.limit_ranges {
            let target = Target { namespace: namespace.clone(), ..objects::LIMIT_RANGES };
            start(target, known.limit_ranges.sink(objects::limit_range, WhenForbidden::Keep));
        }
    }
    if cluster.workflow_labels == WorkflowLabels::Always {
        known.workflows.watch(&cluster, dependencies);
    }
    Arc::new(known)
}

/// The namespaces that are served, as targets have them.
pub(super) fn within(cluster: &settings::Cluster) -> Vec<Option<String>> {
    match cluster.namespaces.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str().to_owned())).collect(),
    }
}

/// What is watched of secrets: by type, so that no other secret is ever sent; or each of some names, which a Role can grant.
pub(super) fn secrets(cluster: &settings::Cluster) -> Vec<Target> {
    let selected = |target: Target, fields: String| Target { fields: Some(fields), ..target };
    let all: Vec<Target> = match cluster.pull_secret_names.as_slice() {
        [] => SECRET_TYPES.map(|(kind, _, target)| selected(target, format!("type={kind}"))).into(),
        names => names.iter().map(|name| selected(objects::NAMED_SECRETS, format!("metadata.name={name}"))).collect(),
    };
    let places = SecretScope::of(cluster).targets().into_iter();
    places
        .flat_map(|namespace| {
            all.clone().into_iter().map(move |target| Target { namespace: namespace.clone(), ..target })
        })
        .collect()
}

/// What is watched of ServiceAccounts, for the pull secrets that they name.
pub(super) fn accounts(cluster: &settings::Cluster) -> Vec<Target> {
    let places = SecretScope::of(cluster).targets().into_iter();
    places.map(|namespace| Target { namespace, ..objects::ACCOUNTS }).collect()
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

    /// Ready after the next change of a pull secret or ServiceAccount from the moment of this call on.
    pub(super) fn credentials_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let (secrets, accounts) = (self.secrets.changed(), self.accounts.changed());
        async move {
            tokio::select! {
                () = secrets => {}
                () = accounts => {}
            }
        }
    }

    fn limits(&self, namespace: &str) -> Option<Arc<Limits>> {
        let ranges = self.limit_ranges.all(namespace);
        (!ranges.is_empty()).then(|| Arc::new(Limits::of(ranges.iter().flat_map(|items| items.iter()))))
    }

    /// Has the labels of Workflows watched from now on.
    pub fn watch_workflows(&self, cluster: &settings::Cluster, dependencies: &Dependencies) {
        self.workflows.watch(cluster, dependencies);
    }

    /// Returns once the labels of Workflows are known, or it is clear that they will not be before somebody mends something.
    pub async fn workflows_settled(&self) {
        self.workflows.settled().await;
    }

    /// Which watches of Workflows are not in step, for people; nothing where all are.
    pub fn workflows_behind(&self) -> Vec<String> {
        self.workflows.behind()
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
            node_platforms: self.node_platforms.now(),
            workflow_labels: None,
        }
    }

    fn workflow_labels<'s>(
        &'s self,
        namespace: &'s str,
        owner: &'s Owner,
    ) -> Pin<Box<dyn Future<Output = Option<Labels>> + Send + 's>> {
        Box::pin(self.workflows.labels(namespace, owner))
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
        true => format!("watches in step: {}", statuses.len()),
        false => behind.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::Fake;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};
    use std::time::Duration;

    const SECRETS: &str = "/api/v1/namespaces/team-a/secrets";
    const ALL_PATHS: [&str; 5] = [
        "/api/v1/namespaces",
        SECRETS,
        "/api/v1/namespaces/team-a/serviceaccounts",
        "/api/v1/limitranges",
        "/apis/argoproj.io/v1alpha1/workflows",
    ];

    fn cluster() -> settings::Cluster {
        settings::Cluster {
            pull_secrets: PullSecrets::NamedNamespaces,
            pull_secret_namespaces: vec!["team-a".parse().unwrap()],
            workflow_labels: WorkflowLabels::Always,
            ..settings::Cluster::default()
        }
    }

    async fn started(fake: &Fake) -> (Arc<Known>, Watches) {
        let watches = Watches::default();
        let dependencies = fake.dependencies(&watches).await;
        let operator =
            Keyring::from_docker_config(br#"{"auths": {"operator.corp": {"username": "u", "password": "p"}}}"#);
        let operator = operator.unwrap();
        let options = Options { cluster: cluster(), operator: Arc::new(move |_| operator.clone()) };
        let known = start(options, &dependencies, &mut Registry::default());
        assert!(watches.settled(Duration::from_secs(10)).await, "{}", told(&watches));
        (known, watches)
    }

    fn secret(name: &str, host: &str) -> Value {
        let config = json!({"auths": {host: {"username": "u", "password": "hunter2"}}}).to_string();
        let data = json!({".dockerconfigjson": STANDARD.encode(config)});
        json!({"metadata": {"namespace": "team-a", "name": name}, "type": SECRET_TYPES[0].0, "data": data})
    }

    fn subject<'a>(kind: Kind, namespace: Option<&'a str>, object: &'a str) -> Subject<'a> {
        Subject { kind, operation: "CREATE", sub_resource: None, name: None, namespace, object, old_object: None }
    }

    /// The hosts that a pod's keyring has credentials for, and the warnings.
    fn seen(known: &Known, namespace: Option<&str>, secrets: &[&str]) -> (String, Vec<String>) {
        let secrets: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
        let pod = json!({"spec": {"imagePullSecrets": secrets}}).to_string();
        let facts = known.facts(&subject(Kind::Pod, namespace, &pod));
        let warnings = facts.keyring_warnings.iter().map(ToString::to_string).collect();
        (format!("{:?}", facts.keyring), warnings)
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}");
    }

    #[tokio::test]
    async fn pods_get_the_secrets_that_they_name_and_then_the_operators() {
        let fake = Fake::start().await;
        fake.put(SECRETS, secret("one", "quay.io"));
        fake.put(SECRETS, secret("two", "ghcr.io"));
        fake.put(SECRETS, json!({"metadata": {"namespace": "team-a", "name": "bad"}, "type": SECRET_TYPES[0].0}));
        let opaque = json!({".dockerconfigjson": STANDARD.encode("{}")});
        fake.put(
            SECRETS,
            json!({"metadata": {"namespace": "team-a", "name": "opaque"}, "type": "Opaque", "data": opaque}),
        );
        let (known, watches) = started(&fake).await;
        /// Namespace and secrets; hosts of the keyring, and parts of the warnings.
        type Row = (Option<&'static str>, &'static [&'static str], &'static str, &'static [&'static str]);
        let table: [Row; 7] = [
            (Some("team-a"), &[], r#"["operator.corp"]"#, &[]),
            (Some("team-a"), &["two", "one", "two"], r#"["quay.io", "ghcr.io", "operator.corp"]"#, &[]),
            (Some("team-a"), &["none", "one"], r#"["quay.io", "operator.corp"]"#, &["pull secret none is not used"]),
            (Some("team-a"), &["bad"], r#"["operator.corp"]"#, &["pull secret bad is not used: it has no data"]),
            (Some("team-a"), &["opaque"], r#"["operator.corp"]"#, &["pull secret opaque is not used: it is not there"]),
            // Secrets of this namespace are not read, so nothing is missing.
            (Some("team-b"), &["one"], r#"["operator.corp"]"#, &[]),
            (None, &["one"], "[]", &[]),
        ];
        for (namespace, secrets, keyring, warnings) in table {
            let (found, said) = seen(&known, namespace, secrets);
            assert_eq!((found.as_str(), said.len()), (keyring, warnings.len()), "{namespace:?} {secrets:?} {said:?}");
            assert!(said.iter().zip(warnings).all(|(said, part)| said.contains(part)), "{said:?}");
        }
        fake.put(SECRETS, secret("one", "registry.corp"));
        until("the change", || seen(&known, Some("team-a"), &["one"]).0.contains("registry.corp")).await;
        // Who may not see secrets any more does not use them any more.
        fake.refuse(SECRETS, 403);
        fake.hang_up(SECRETS);
        until("the loss", || seen(&known, Some("team-a"), &["one"]).0 == r#"["operator.corp"]"#).await;
        assert!(
            told(&watches).contains("dockerconfigjson-secrets in team-a forbidden (refused by the test)"),
            "{}",
            told(&watches)
        );
        assert!(!format!("{:?}", known.facts(&subject(Kind::Pod, Some("team-a"), "{}"))).contains("hunter2"));
    }

    #[tokio::test]
    async fn workflow_kinds_get_those_of_their_service_accounts_too() {
        let fake = Fake::start().await;
        fake.put(SECRETS, secret("one", "quay.io"));
        fake.put(SECRETS, secret("two", "ghcr.io"));
        for (name, secret) in [("default", "one"), ("builder", "two")] {
            let account =
                json!({"metadata": {"namespace": "team-a", "name": name}, "imagePullSecrets": [{"name": secret}]});
            fake.put("/api/v1/namespaces/team-a/serviceaccounts", account);
        }
        let (known, _) = started(&fake).await;
        let object = json!({"spec": {"templates": [{"serviceAccountName": "builder"}]}}).to_string();
        let table = [
            (emissary_core::workflow::Kind::Workflow, Some("team-a"), r#"["quay.io", "ghcr.io", "operator.corp"]"#),
            (emissary_core::workflow::Kind::ClusterWorkflowTemplate, None, "[]"),
        ];
        for (kind, namespace, expected) in table {
            let facts = known.facts(&subject(Kind::Workflow(kind), namespace, &object));
            assert_eq!(format!("{:?}", facts.keyring), expected);
            assert!(facts.limits.is_none() && facts.keyring_warnings.is_empty());
        }
    }

    #[tokio::test]
    async fn labels_and_limits_are_those_of_the_namespace() {
        let fake = Fake::start().await;
        fake.put(
            "/api/v1/namespaces",
            json!({"metadata": {"name": "team-a", "labels": {"emissary-webhook.io/mode": "enforce"}}}),
        );
        let limits = json!({"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]});
        fake.put("/api/v1/limitranges", json!({"metadata": {"namespace": "team-a", "name": "l"}, "spec": limits}));
        let (known, _) = started(&fake).await;
        let facts = known.facts(&subject(Kind::Pod, Some("team-a"), "{}"));
        assert_eq!(facts.namespace_label("emissary-webhook.io/mode"), Some("enforce"));
        assert!(facts.limits.is_some_and(|limits| !limits.is_empty()));
        let elsewhere = known.facts(&subject(Kind::Pod, Some("team-b"), "{}"));
        assert!(elsewhere.namespace_labels.is_empty() && elsewhere.limits.is_none());
    }

    #[tokio::test]
    async fn an_admission_asks_the_api_server_nothing() {
        let fake = Fake::start().await;
        fake.put(SECRETS, secret("one", "quay.io"));
        let (known, _) = started(&fake).await;
        let asked = || ALL_PATHS.map(|path| fake.requests(path));
        // A list and a watch each, secrets by two types.
        until("the watches", || asked() == [2, 4, 2, 2, 2]).await;
        for _ in 0..1000 {
            seen(&known, Some("team-a"), &["one", "none"]);
            seen(&known, Some("team-c"), &["one"]);
        }
        let owner = Owner { name: "w".to_owned(), uid: "u".to_owned() };
        assert!(known.workflow_labels("team-a", &owner).await.is_none());
        assert_eq!(asked(), [2, 4, 2, 2, 2]);
    }
}
