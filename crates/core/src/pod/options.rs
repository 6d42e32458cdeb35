use super::executor::Executors;
use crate::image::{Aliases, Platform, Reference, ReferenceError};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::Value;
use std::collections::HashSet;

/// Everything about rewriting that an operator decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Security and resources of what is injected.
    pub profile: Profile,
    /// The shape of what is injected into pods that have nothing of Argo's yet.
    pub layout: Layout,
    /// The executor's container, where the pod itself does not say.
    pub executor: ExecutorOptions,
    /// Whether containers that Argo's controller made are hardened too.
    pub harden_argo_containers: bool,
    /// Whether `init` follows the native sidecars that stand first, instead of preceding them.
    pub init_after_proxies: bool,
    /// Containers that other webhooks put in; left alone where no template says which ones are the user's.
    pub injected_sidecars: NamePatterns,
    /// Further containers to wrap.
    pub wrap: NamePatterns,
    /// Where pods may run that do not say it themselves. At least one.
    pub platforms: Vec<Platform>,
    /// Whether nobody stated `platforms`, so that those of the cluster's nodes, where they are known, go before.
    pub platforms_assumed: bool,
    /// Which annotations of ours count on a pod.
    pub overrides: Overrides,
    /// Which pods are left to another executor.
    pub executors: Executors,
    /// Whether images are written with their digest.
    pub pin: Pin,
    /// Other names of registries: images are matched and looked up by their canonical names.
    pub aliases: Aliases,
    /// What the annotation `emissary-webhook.io/rewritten` says: version, and a hash of these options and the index.
    pub stamp: String,
}

/// Security and resources of what is injected, always on unset fields only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// What Pod Security Standards' `restricted` asks.
    #[default]
    PssRestricted,
    /// As `PssRestricted` without a seccomp profile: a PodSecurityPolicy that lacks the seccomp annotation rejects one.
    PspLegacy,
    /// As `PssRestricted` without a user id: the platform assigns one from the namespace's range.
    Openshift,
    /// Nothing.
    None,
}

/// Whether an image that goes by a tag is written with the digest that its registry gave (`name:tag@sha256:…`), so that a tag
/// that moves between the look-up and the pull cannot bring another image under the command that was written.
///
/// An image that carries a digest keeps it, and what an image index answers is not asked for: an entry knows no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pin {
    /// Names stay as they are.
    #[default]
    Never,
    /// Where the command was looked up in the registry.
    LookedUp,
    /// There, and where the container says itself what to run: its image is then looked up for the digest alone. In a
    /// workflow kind the same as [`LookedUp`](Self::LookedUp), since its pods come by later.
    Always,
}

/// The shape of what is injected into a bare pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// An init container and `wait`.
    #[default]
    Init,
    /// Argo 4.1's init-less layout: `supervisor` and an image volume.
    Supervisor,
}

/// The executor's container, where the pod itself does not say.
#[derive(Debug, Clone, Default)]
pub struct ExecutorOptions {
    /// Its image on Linux.
    pub image: String,
    /// Its image on Windows.
    pub windows_image: String,
    /// `imagePullPolicy`; `None` leaves it to the API server's default.
    pub image_pull_policy: Option<String>,
    /// `args` of init and wait.
    pub args: Vec<String>,
    /// Further variables of init and wait, as `EnvVar` objects.
    pub env: Vec<Value>,
    /// `resources`: requests and limits each go before the profile's.
    pub resources: Option<Value>,
    /// `securityContext`, before the profile.
    pub security_context: Option<Value>,
    /// `--loglevel`.
    pub log_level: String,
    /// `--log-format`.
    pub log_format: String,
    /// Whether it chooses a command by its node's platform, as ours does and Argo's does not.
    pub platform_commands: bool,
}

/// Which annotations of ours count on a pod. A fresh install allows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `emissary-webhook.io/mode`.
    pub mode: bool,
    /// `emissary-webhook.io/executor`.
    pub executor: bool,
    /// `emissary-webhook.io/platform`.
    pub platform: bool,
    /// `emissary-webhook.io/wrap`.
    pub wrap: bool,
}

/// Container names and globs over them (`*` any characters, `?` one, `[a-z]` one of these).
#[derive(Debug, Clone, Default)]
pub struct NamePatterns {
    exact: HashSet<String>,
    globs: GlobSet,
}

impl NamePatterns {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// Where one of them is no glob.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, globset::Error> {
        let (mut exact, mut globs) = (HashSet::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if pattern.contains(['*', '?', '[', '{', '\\']) {
                globs.add(Glob::new(pattern)?);
            } else {
                exact.insert(pattern.to_owned());
            }
        }
        Ok(Self { exact, globs: globs.build()? })
    }

    /// Whether a name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.exact.contains(name) || self.globs.is_match(name)
    }
}

impl Options {
    /// The canonical name of an image.
    ///
    /// # Errors
    /// Where it is no image's name.
    pub fn reference(&self, image: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(image).map(|reference| self.aliases.canonical(&reference))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            layout: Layout::default(),
            executor: ExecutorOptions {
                image: "quay.io/argoproj/argoexec:v4.1.2".to_owned(),
                windows_image: "quay.io/argoproj/argoexec:v4.1.2-windows".to_owned(),
                log_level: "info".to_owned(),
                log_format: "text".to_owned(),
                ..ExecutorOptions::default()
            },
            harden_argo_containers: false,
            init_after_proxies: false,
            injected_sidecars: NamePatterns::default(),
            wrap: NamePatterns::default(),
            platforms: vec![Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }],
            platforms_assumed: true,
            overrides: Overrides::default(),
            executors: Executors::default(),
            pin: Pin::default(),
            aliases: Aliases::default(),
            stamp: String::new(),
        }
    }
}
