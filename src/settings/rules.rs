//! Settings as the other rooms take them.

use super::options::{
    Executor, ExecutorName, Layout, LogFormat, LogLevel, Overridable, Pin, Prefetch, PrivateNetworks, Profile,
    PullPolicy, Registry, Rewrite, Settings, WorkflowKind,
};
use emissary_core::image::{ImageIndex, Platform};
use emissary_core::pod::{self, ExecutorChoice, ExecutorOptions, NamePatterns};
use emissary_core::workflow::{ControllerDefaults, Kind, WorkflowOptions};
use emissary_registry::PrefetchOptions;
use serde_json::Value;

/// What the mutation takes, made once for each snapshot.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    pub(super) pod: pod::Options,
    pub(super) workflow: WorkflowOptions,
}

/// What a workflow controller's configuration adds to the settings; nothing where none is known.
#[derive(Debug, Clone, Default)]
pub(super) struct OfController {
    /// What the controller merges below a Workflow.
    pub(super) defaults: ControllerDefaults,
    /// Which executor it gives a Workflow.
    pub(super) choice: ExecutorChoice,
}

impl Made {
    /// `indexes` are those that decide, `controller` what a workflow controller adds where one is known.
    pub(super) fn of(settings: &Settings, indexes: &[&ImageIndex], controller: OfController) -> Self {
        let OfController { defaults, choice } = controller;
        Self { pod: pod_options(settings, indexes, choice), workflow: workflow_options(settings, defaults) }
    }
}

fn pod_options(settings: &Settings, indexes: &[&ImageIndex], choice: ExecutorChoice) -> pod::Options {
    let Rewrite { profile, layout, harden_argo_containers, init_after_proxies, injected_sidecars, wrap, pin } =
        &settings.rewrite;
    let allowed = |what| settings.overrides.allowed.contains(&what);
    pod::Options {
        profile: match profile {
            Profile::PssRestricted => pod::Profile::PssRestricted,
            Profile::PspLegacy => pod::Profile::PspLegacy,
            Profile::Openshift => pod::Profile::Openshift,
            Profile::None => pod::Profile::None,
        },
        layout: match layout {
            Layout::Init => pod::Layout::Init,
            Layout::Supervisor => pod::Layout::Supervisor,
        },
        executor: executor_options(&settings.executor),
        harden_argo_containers: *harden_argo_containers,
        init_after_proxies: *init_after_proxies,
        injected_sidecars: patterns(injected_sidecars),
        wrap: patterns(wrap),
        platforms: if settings.platforms.is_empty() { vec![own_platform()] } else { settings.platforms.clone() },
        platforms_assumed: settings.platforms.is_empty(),
        overrides: pod::Overrides {
            mode: allowed(Overridable::Mode),
            executor: allowed(Overridable::Executor),
            platform: allowed(Overridable::Platform),
            wrap: allowed(Overridable::Wrap),
        },
        executors: pod::Executors {
            others: settings.executors.allowed.iter().filter_map(other_executor).collect(),
            choice,
        },
        pin: match pin {
            Pin::Never => pod::Pin::Never,
            Pin::LookedUp => pod::Pin::LookedUp,
            Pin::Always => pod::Pin::Always,
        },
        aliases: settings.registry.aliases.aliases().clone(),
        stamp: stamp(settings, indexes),
    }
}

/// Where this program runs pods do too, as long as nobody says otherwise.
fn own_platform() -> Platform {
    Platform::new("linux", std::env::consts::ARCH, None)
}

fn other_executor(name: &ExecutorName) -> Option<pod::Executor> {
    match name {
        ExecutorName::Docker => Some(pod::Executor::Docker),
        ExecutorName::Kubelet => Some(pod::Executor::Kubelet),
        ExecutorName::K8sApi => Some(pod::Executor::K8sApi),
        ExecutorName::Pns => Some(pod::Executor::Pns),
        ExecutorName::Emissary => None,
    }
}

fn patterns(patterns: &[super::NamePattern]) -> NamePatterns {
    // Each was checked when it was read.
    NamePatterns::new(patterns.iter().map(super::NamePattern::as_str)).unwrap_or_default()
}

fn executor_options(executor: &Executor) -> ExecutorOptions {
    let Executor {
        image,
        windows_image,
        image_pull_policy,
        args,
        env,
        resources,
        security_context,
        log_level,
        log_format,
        platform_commands,
    } = executor;
    let object = |fields: &serde_json::Map<String, Value>| (!fields.is_empty()).then(|| Value::Object(fields.clone()));
    ExecutorOptions {
        image: image.as_str().to_owned(),
        windows_image: windows_image.as_ref().unwrap_or(image).as_str().to_owned(),
        image_pull_policy: image_pull_policy.map(|policy| {
            let name = match policy {
                PullPolicy::Always => "Always",
                PullPolicy::IfNotPresent => "IfNotPresent",
                PullPolicy::Never => "Never",
            };
            name.to_owned()
        }),
        args: args.clone(),
        env: env.iter().cloned().map(Value::Object).collect(),
        resources: object(resources),
        security_context: object(security_context),
        log_level: match log_level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
        .to_owned(),
        log_format: match log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned(),
        platform_commands: *platform_commands,
    }
}

fn workflow_options(settings: &Settings, controller: ControllerDefaults) -> WorkflowOptions {
    let kinds = settings.workflows.kinds.iter().map(|kind| match kind {
        WorkflowKind::Workflow => Kind::Workflow,
        WorkflowKind::WorkflowTemplate => Kind::WorkflowTemplate,
        WorkflowKind::ClusterWorkflowTemplate => Kind::ClusterWorkflowTemplate,
        WorkflowKind::CronWorkflow => Kind::CronWorkflow,
    });
    WorkflowOptions { kinds: kinds.collect(), controller }
}

/// What the registry room takes. Roots, proxies and the clock are the caller's to add.
pub(super) fn registry_options(registry: &Registry) -> emissary_registry::Options {
    let Registry {
        docker_config: _,
        docker_config_namespaces: _,
        credential_providers: _,
        hosts: _,
        aliases: _,
        allow,
        deny,
        private_networks,
        plain_http,
        allow_networks,
        ttl,
        always_ttl,
        max_stale,
        authorization_ttl,
        snapshot: _,
        prefetch: _,
        concurrency_per_host,
        cache_size,
        timeout,
    } = registry;
    let defaults = emissary_registry::Options::default();
    emissary_registry::Options {
        plain_http: plain_http.iter().map(ToString::to_string).collect(),
        allow_networks: allow_networks.iter().map(|network| network.0).collect(),
        allow_registries: allow.clone(),
        deny_registries: deny.clone(),
        private_networks: match private_networks {
            PrivateNetworks::Allow => emissary_registry::PrivateNetworks::Allow,
            PrivateNetworks::Refuse => emissary_registry::PrivateNetworks::Refuse,
        },
        ttl: ttl.0,
        always_ttl: always_ttl.0,
        max_stale: max_stale.0,
        authorization_ttl: authorization_ttl.0,
        concurrency_per_host: *concurrency_per_host as usize,
        cache_bytes: cache_size.0,
        lookup_timeout: timeout.0,
        request_timeout: defaults.request_timeout.min(timeout.0),
        ..defaults
    }
}

/// How images of stored templates are looked up ahead, if they are.
pub(super) fn prefetch_options(registry: &Registry) -> Option<PrefetchOptions> {
    let Prefetch { enabled, per_second } = registry.prefetch;
    enabled.then(|| PrefetchOptions { per_second, ..PrefetchOptions::default() })
}

/// Version, and a hash of what the operator decides of how a pod is rewritten: enough to tell from a pod which settings made it
/// so. A namespace's own index is not in it.
fn stamp(settings: &Settings, indexes: &[&ImageIndex]) -> String {
    let Settings {
        mode: _,
        server: _,
        admission: _,
        executor,
        rewrite,
        workflows: _,
        overrides,
        executors: _,
        cluster: _,
        platforms,
        registry: _,
        image_index: _,
        controllers: _,
        review: _,
    } = settings;
    let decisive = serde_json::json!([executor, rewrite, overrides, platforms]).to_string();
    // FNV-1a: the same in every build and on every machine, which no hasher of the standard library promises.
    let hash = decisive
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let entries = indexes.iter().fold(0_u64, |sum, index| sum.wrapping_add(index.fingerprint()));
    format!("v{} {:016x}", env!("CARGO_PKG_VERSION"), hash ^ entries)
}
