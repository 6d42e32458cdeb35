//! Every key there is. From these types come the reader, `serve --print-settings`, docs/settings.md and the JSON
//! schema.
//!
//! A key is live unless it is marked `x-reload: restart`. Ranges stand in the schema (`range`, `x-minimum`,
//! `x-maximum`) and are checked from there, so what the documentation says is what holds.
//!
//! They are one file because they are read as one table.

mod certificates;

pub use certificates::{Certificates, SelfManaged};

mod choice;
mod cluster;
mod executor;
mod indexes;
mod review;

pub use choice::{ExecutorName, Executors, Overridable, Overrides};
pub use cluster::{Cluster, ClusterEnabled, PullSecrets, WorkflowLabels};
pub use executor::{Executor, LogFormat, LogLevel, PullPolicy};
pub use indexes::{Controller, ImageIndexFiles, OwnIndexes};
pub use review::{Record, Review};

use super::values::{ImageAliases, NamePattern, Network, Period, RegistryHost, Size};
use emissary_core::image::Platform;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// What the webhook does and how. Every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Whether answers change pods (`enforce`), only say in audit annotations and metrics what they would change
    /// (`dry-run`), or admit everything untouched (`off`). A namespace's label goes first.
    pub mode: Mode,
    /// Where and within which bounds requests are served.
    pub server: Server,
    /// How many admissions may wait for a registry. Those that wait for the same images count once.
    pub admission: Admission,
    /// The executor that is injected where a pod has none yet to take things from.
    pub executor: Executor,
    /// How pods are rewritten.
    pub rewrite: Rewrite,
    /// Which workflow objects are filled in.
    pub workflows: Workflows,
    /// What annotations on pods and Workflows may decide.
    pub overrides: Overrides,
    /// Which executors there may be.
    pub executors: Executors,
    /// What is watched in the cluster.
    pub cluster: Cluster,
    /// The platforms that images must agree on where a pod does not say where it runs, such as `[linux/amd64,
    /// linux/arm64]`. Empty: the one that the webhook itself runs on.
    #[schemars(with = "Vec<String>", extend("x-is" = "list of platforms"))]
    pub platforms: Vec<Platform>,
    /// How images are looked up.
    pub registry: Registry,
    /// What images run, as the operator says.
    pub image_index: ImageIndexFiles,
    /// The workflow controllers of the cluster, whose own configuration counts for their pods and Workflows.
    #[schemars(extend("x-is" = "list of mappings, see below"))]
    pub controllers: Vec<Controller>,
    /// What policies would say of the pods that dry runs see: as they are, and as enforcing would make them.
    pub review: Review,
}

/// See [`Settings::mode`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Answers change pods.
    Enforce,
    /// Answers say what they would change.
    #[default]
    DryRun,
    /// Everything is admitted untouched.
    Off,
}

impl Mode {
    /// As settings, labels and annotations spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
            Self::Off => "off",
        }
    }

    /// The mode of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Enforce, Self::DryRun, Self::Off].into_iter().find(|mode| mode.name() == name)
    }
}

/// See [`Server::dry_run_report`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DryRunReport {
    /// Nobody.
    Off,
    /// Who comes from the pod itself: `kubectl port-forward`, so whom the cluster lets do that.
    #[default]
    Local,
    /// Whoever reaches the port.
    Open,
}

/// Where and within which bounds requests are served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Server {
    /// Address of the HTTPS listener that the API server calls.
    #[schemars(with = "String", extend("x-reload" = "restart", "x-is" = "address and port"))]
    pub listen: SocketAddr,
    /// Address of the plain listener for `/livez`, `/readyz` and `/metrics`.
    #[schemars(with = "String", extend("x-reload" = "restart", "x-is" = "address and port"))]
    pub plain_listen: SocketAddr,
    /// Where the serving certificate comes from: `files` that somebody else keeps (the two below), or `self-managed`: made
    /// and renewed by the webhook, which also tells the API server to trust it.
    #[schemars(extend("x-reload" = "restart"))]
    pub certificates: Certificates,
    /// How a certificate is kept under `certificates: self-managed`.
    pub self_managed: SelfManaged,
    /// PEM file with the authorities whose client certificates are let in. Unset: clients need none, as an API server shows
    /// one only where its own configuration says so.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub client_authority: Option<PathBuf>,
    /// The common names or DNS names of clients that are let in, of those with a certificate by `clientAuthority`. Empty: all.
    #[schemars(extend("x-reload" = "restart"))]
    pub client_names: Vec<String>,
    /// Who may read `/dryrun` on the plain listener: templates and images of every namespace are in it.
    #[schemars(extend("x-reload" = "restart"))]
    pub dry_run_report: DryRunReport,
    /// PEM file with the serving certificate and its chain. The path needs a restart, new content does not.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub certificate: PathBuf,
    /// PEM file with the certificate's private key. The path needs a restart, new content does not.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub key: PathBuf,
    /// Connections served at the same time; further ones wait.
    #[schemars(range(min = 1, max = 65536), extend("x-reload" = "restart"))]
    pub max_connections: u32,
    /// The largest request body. An AdmissionReview of the largest object that etcd takes has about 3 MiB.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "64Ki", "x-maximum" = "64Mi"))]
    pub max_body: Size,
    /// How long requests are still taken after SIGTERM, unready, until the Service's endpoints have changed everywhere.
    #[schemars(extend("x-reload" = "restart", "x-maximum" = "5m"))]
    pub lame_duck: Period,
    /// How long requests under way may then take to end.
    #[schemars(extend("x-reload" = "restart", "x-maximum" = "5m"))]
    pub drain_timeout: Period,
}

/// How many admissions may wait for a registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admission {
    /// Different look-ups waited for, in one replica; the next is told at once to come back later (503), which Argo does.
    #[schemars(range(min = 1, max = 4096), extend("x-reload" = "restart"))]
    pub max_waiting: u32,
    /// For one namespace.
    #[schemars(range(min = 1, max = 4096), extend("x-reload" = "restart"))]
    pub max_waiting_per_namespace: u32,
    /// The bodies of all that join a look-up that another waits for, each counted as 32 KiB at least; half of it for one
    /// namespace. Where more than `admission.maxWaitingPerNamespace` wait in a namespace, these wait half as long as they could.
    #[schemars(extend("x-reload" = "restart", "x-maximum" = "1Gi"))]
    pub max_joined: Size,
}

/// How pods are rewritten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rewrite {
    /// Security context and resources of what is injected, on unset fields only: `pss-restricted` (the Pod Security
    /// Standard), `psp-legacy` (the same without a seccomp profile, which an old PodSecurityPolicy would reject),
    /// `openshift` (no fixed user), `none`.
    pub profile: Profile,
    /// Layout of pods that had no executor: `init` (an init container and a wait container) or `supervisor` (Argo 4.1's
    /// without an init container).
    pub layout: Layout,
    /// Whether containers that Argo made get the profile's security context too, without limits and without a user. Their image
    /// must then run as another user than root of itself: Argo's tags that end in `-nonroot` do.
    pub harden_argo_containers: bool,
    /// Whether our init container stands right after an injected native-sidecar proxy, and not first.
    pub init_after_proxies: bool,
    /// Containers that other webhooks inject: left alone where no template says which containers are the workflow's.
    pub injected_sidecars: Vec<NamePattern>,
    /// Containers to wrap besides those that the template names.
    pub wrap: Vec<NamePattern>,
    /// Whether images that go by a tag are written as `name:tag@sha256:…`, so that the command belongs to the image that runs
    /// however the tag moves: `never`, `looked-up` (where the command came from the registry), `always` (there, and where a
    /// container brings its own command; a look-up that fails is then a warning). What an image index answers is not pinned.
    pub pin: Pin,
}

/// See [`Rewrite::pin`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pin {
    /// Names stay as they are.
    #[default]
    Never,
    /// Where the command came from the registry.
    LookedUp,
    /// There, and where a container brings its own command.
    Always,
}

/// See [`Rewrite::profile`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The Pod Security Standard "restricted".
    #[default]
    PssRestricted,
    /// The same without a seccomp profile.
    PspLegacy,
    /// The same without a fixed user.
    Openshift,
    /// Nothing.
    None,
}

/// See [`Rewrite::layout`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Init and wait containers.
    #[default]
    Init,
    /// One supervisor, Argo 4.1's `initlessPod`.
    Supervisor,
}

/// Which workflow objects are filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workflows {
    /// The kinds. The long-lived ones are filled from digests and the image index only.
    pub kinds: Vec<WorkflowKind>,
}

/// A kind of `argoproj.io/v1alpha1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub enum WorkflowKind {
    Workflow,
    WorkflowTemplate,
    ClusterWorkflowTemplate,
    CronWorkflow,
}

/// How images are looked up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registry {
    /// A `config.json` as Docker writes it: the operator's own credentials. They serve the namespaces below, behind a
    /// pod's own pull secrets.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub docker_config: Option<PathBuf>,
    /// The namespaces that `dockerConfig` serves, as globs; `*` is all. Empty: none, since whoever may create pods in such
    /// a namespace learns what the operator's private images run.
    #[schemars(extend("x-reload" = "restart"))]
    pub docker_config_namespaces: Vec<NamePattern>,
    /// Programs that make credentials, as the kubelet has them.
    pub credential_providers: CredentialProviders,
    /// A folder of `HOST/hosts.toml` files as containerd reads them (`certs.d`): mirrors, CAs, client certificates, headers.
    /// Its content is followed.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub hosts: Option<PathBuf>,
    /// Other names of registries, such as `mirror.corp/dockerhub: docker.io`: an image is matched and looked up by the
    /// name on the right. The pod keeps the name that it has.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub aliases: ImageAliases,
    /// Registries that may be asked, as globs of `HOST` or `HOST:PORT`. Empty: all.
    #[schemars(extend("x-reload" = "restart"))]
    pub allow: Vec<String>,
    /// Hosts that are never asked, in the same form; they go before `allow`.
    #[schemars(extend("x-reload" = "restart"))]
    pub deny: Vec<String>,
    /// Whether registries may stand in private networks (RFC 1918 and the like): `allow` or `refuse`. Loopback, link-local
    /// and metadata addresses are refused in any case.
    #[schemars(extend("x-reload" = "restart"))]
    pub private_networks: PrivateNetworks,
    /// Registries (`HOST` or `HOST:PORT`) that are asked without TLS.
    #[serde(rename = "plainHTTP")]
    #[schemars(extend("x-reload" = "restart"))]
    pub plain_http: Vec<RegistryHost>,
    /// Networks that look-ups may reach although they are loopback, link-local or the like, which are refused otherwise.
    #[schemars(extend("x-reload" = "restart"))]
    pub allow_networks: Vec<Network>,
    /// How long the answer for a tag is used; that for a digest does not age.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "1s", "x-maximum" = "24h"))]
    pub ttl: Period,
    /// The same for containers with `imagePullPolicy: Always`, whose nodes ask each time; one request renews it.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "0s", "x-maximum" = "1h"))]
    pub always_ttl: Period,
    /// How old an answer may be that is used, with a warning, because the registry does not answer; 0s for none.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "0s", "x-maximum" = "720h"))]
    pub max_stale: Period,
    /// How long a credential is let see what is remembered of a repository, after the registry let it see the repository.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "1s", "x-maximum" = "24h"))]
    pub authorization_ttl: Period,
    /// A file that what images run is kept in, by digest, over restarts. Unset: nothing is kept.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub snapshot: Option<PathBuf>,
    /// Images that stored templates name, looked up before a pod needs them.
    pub prefetch: Prefetch,
    /// Requests to one registry at the same time.
    #[schemars(range(min = 1, max = 1024), extend("x-reload" = "restart"))]
    pub concurrency_per_host: u32,
    /// Memory for answers.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "1Mi", "x-maximum" = "4Gi"))]
    pub cache_size: Size,
    /// How long one look-up may take, all its requests together.
    #[schemars(extend("x-reload" = "restart", "x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub timeout: Period,
}

/// Look-ups ahead of need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Prefetch {
    /// Whether WorkflowTemplates, ClusterWorkflowTemplates and CronWorkflows are watched, and the images that they name looked
    /// up, with the credentials of their own namespace. Only where the cluster is followed (`cluster.enabled`).
    #[schemars(extend("x-reload" = "restart"))]
    pub enabled: bool,
    /// Look-ups a second, once the start is over.
    #[schemars(range(min = 1, max = 1000), extend("x-reload" = "restart"))]
    pub per_second: u32,
}

/// Exec credential providers (kubelet, `credentialprovider.kubelet.k8s.io/v1`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CredentialProviders {
    /// The kubelet's own `CredentialProviderConfig` file.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub config: Option<PathBuf>,
    /// The folder of the programs that it names.
    #[schemars(extend("x-reload" = "restart", "x-is" = "path"))]
    pub bin_dir: Option<PathBuf>,
    /// The namespaces that they serve, as globs; `*` is all. Empty: none.
    #[schemars(extend("x-reload" = "restart"))]
    pub namespaces: Vec<NamePattern>,
}

/// See [`Registry::private_networks`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrivateNetworks {
    /// Registries may stand there.
    #[default]
    Allow,
    /// They may not, but in `allowNetworks`.
    Refuse,
}

const fn seconds(seconds: u64) -> Period {
    Period(Duration::from_secs(seconds))
}

/// Every interface, IPv6 and, where the system allows, IPv4.
const fn any(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), port)
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: any(10250),
            plain_listen: any(8080),
            certificates: Certificates::default(),
            self_managed: SelfManaged::default(),
            client_authority: None,
            client_names: Vec::new(),
            dry_run_report: DryRunReport::default(),
            certificate: "/etc/emissary-webhook/tls/tls.crt".into(),
            key: "/etc/emissary-webhook/tls/tls.key".into(),
            max_connections: 1024,
            max_body: Size(8 << 20),
            lame_duck: seconds(5),
            drain_timeout: seconds(20),
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self { max_waiting: 32, max_waiting_per_namespace: 8, max_joined: Size(64 << 20) }
    }
}

impl Default for Rewrite {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            layout: Layout::default(),
            harden_argo_containers: false,
            init_after_proxies: false,
            injected_sidecars: NamePattern::well_known_sidecars(),
            wrap: Vec::new(),
            pin: Pin::default(),
        }
    }
}

impl Default for Workflows {
    fn default() -> Self {
        Self { kinds: vec![WorkflowKind::Workflow] }
    }
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { enabled: true, per_second: 20 }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            docker_config: None,
            docker_config_namespaces: Vec::new(),
            credential_providers: CredentialProviders::default(),
            hosts: None,
            aliases: ImageAliases::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            private_networks: PrivateNetworks::default(),
            plain_http: Vec::new(),
            allow_networks: Vec::new(),
            ttl: seconds(300),
            always_ttl: seconds(5),
            max_stale: seconds(24 * 3600),
            authorization_ttl: seconds(600),
            snapshot: None,
            prefetch: Prefetch::default(),
            concurrency_per_host: 16,
            cache_size: Size(64 << 20),
            timeout: seconds(10),
        }
    }
}
