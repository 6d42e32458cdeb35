//! What one object's mutation comes to, in types: nothing to do and why, a rewrite, or a denial.

use crate::edit::Edits;
use crate::image::{Digest, Platform};
use std::fmt;
use std::time::Duration;

/// The result of mutating one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The object is none of ours.
    Skip(Skip),
    /// The object is ours and needs nothing.
    Unchanged(Findings),
    /// The object is ours and these edits make it runnable.
    Rewrite(Edits, Findings),
    /// The object cannot be made runnable as it is.
    Denial(Denial),
}

impl Outcome {
    /// A word for logs, metrics and machines: `skip`, `unchanged`, `rewrite`, `denial`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Skip(_) => "skip",
            Self::Unchanged(_) => "unchanged",
            Self::Rewrite(..) => "rewrite",
            Self::Denial(_) => "denial",
        }
    }

    /// The same with more to be said, where anything can be said beside the result.
    #[must_use]
    pub fn with_warnings(mut self, warnings: &[Warning]) -> Self {
        if let Self::Unchanged(findings) | Self::Rewrite(_, findings) = &mut self
            && !warnings.is_empty()
        {
            findings.warnings.extend_from_slice(warnings);
            findings.warnings.sort();
        }
        self
    }

    /// What is to be said beside the result, where there is something.
    pub fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Unchanged(findings) | Self::Rewrite(_, findings) => Some(findings),
            Self::Skip(_) | Self::Denial(_) => None,
        }
    }
}

/// Why an object is left alone. The same word stands in logs, metrics and `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Not an operation that is rewritten: only CREATE is, and UPDATE of a workflow kind's spec.
    Operation,
    /// A subresource, such as `pods/ephemeralcontainers`.
    Subresource,
    /// Neither Argo's workflow label nor our opt-in label.
    NotAWorkflowPod,
    /// Opted out, by label, annotation or mode.
    OptedOut,
    /// Argo's agent or artifact garbage collection: they run no template.
    Component,
    /// A static pod's mirror: the kubelet runs it from a file, whatever the API server says.
    MirrorPod,
    /// Made by a controller older than 3.1, which has no emissary executor.
    ArgoTooOld,
    /// A workflow kind that the settings do not list.
    KindNotListed,
    /// An update that leaves the spec as it was.
    SpecUnchanged,
    /// A kind that nothing here rewrites.
    OtherKind,
    /// For another executor, which the operator allows.
    OtherExecutor,
}

impl Skip {
    /// The word for logs, metrics and machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Subresource => "subresource",
            Self::NotAWorkflowPod => "not-a-workflow-pod",
            Self::OptedOut => "opted-out",
            Self::Component => "argo-component",
            Self::MirrorPod => "mirror-pod",
            Self::ArgoTooOld => "argo-too-old",
            Self::KindNotListed => "kind-not-listed",
            Self::SpecUnchanged => "spec-unchanged",
            Self::OtherKind => "other-kind",
            Self::OtherExecutor => "other-executor",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a user or operator is told beside an admitted object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Where each filled command came from, in the order of the object.
    pub provenance: Vec<Provenance>,
    /// What is worth knowing, the worst first.
    pub warnings: Vec<Warning>,
}

impl Findings {
    pub(crate) fn new(provenance: Vec<Provenance>, mut warnings: Vec<Warning>) -> Self {
        warnings.extend(provenance.iter().filter_map(Provenance::stale_warning));
        warnings.sort();
        Self { provenance, warnings }
    }
}

/// Where one container's command came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The container's name; `template/container` in a workflow kind.
    pub container: String,
    /// The image as the object spells it.
    pub image: String,
    /// Who knew.
    pub source: Source,
    /// What will run: command, then args, as they are written into the object, without the wrapper.
    pub command: Vec<String>,
    /// The digest that was written behind the image's name.
    pub pinned: Option<Digest>,
}

/// Who knew what an image runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The operator's image index, under this key.
    Index {
        /// The key as it was written.
        key: String,
    },
    /// `images` of the object's own workflow controller, under this key.
    Controller {
        /// The key as it was written.
        key: String,
    },
    /// The image index of the object's own namespace, under this key.
    Namespace {
        /// The key as it was written.
        key: String,
    },
    /// The image's registry.
    Registry {
        /// Of what the reference names: an index or a manifest.
        digest: Digest,
        /// The platform whose configuration was read.
        platform: Platform,
        /// How long ago the registry was asked what the name stands for.
        age: Duration,
        /// Whether that is longer ago than it should be, because the registry does not answer now.
        stale: bool,
    },
    /// The entries that are shipped with the webhook, under this key.
    Shipped {
        /// The key as it was written.
        key: String,
    },
}

impl Provenance {
    /// What is to be said of an answer that is older than it should be.
    fn stale_warning(&self) -> Option<Warning> {
        let Source::Registry { stale: true, age, .. } = &self.source else { return None };
        let (container, image) = (self.container.clone(), self.image.clone());
        Some(Warning::Stale { container, image, age: Span(*age).to_string() })
    }
}

impl Source {
    /// The word for logs, metrics and machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Index { .. } => "index",
            Self::Controller { .. } => "controller",
            Self::Namespace { .. } => "namespace",
            Self::Registry { .. } => "registry",
            Self::Shipped { .. } => "shipped",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index { key } => write!(f, "image index, key {key}"),
            Self::Controller { key } => write!(f, "the controller's images, key {key}"),
            Self::Namespace { key } => write!(f, "the namespace's own image index, key {key}"),
            Self::Registry { digest, platform, age, stale } => {
                write!(f, "registry, {platform}, {digest}")?;
                match (stale, age.as_secs()) {
                    (false, 0) => Ok(()),
                    (false, _) => write!(f, ", asked {} ago", Span(*age)),
                    (true, _) => write!(f, ", stale: asked {} ago", Span(*age)),
                }
            }
            Self::Shipped { key } => write!(f, "shipped index, key {key}"),
        }
    }
}

/// A length of time as people say it, in one unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7200 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h", seconds / 3600),
        }
    }
}

/// Something worth telling about an object that is admitted all the same. The order is that of how much it matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Warning {
    /// A workflow kind's container that stays without a command.
    #[error("template {template}, container {container}: no command filled: {why}")]
    NotFilled {
        /// The template's name.
        template: String,
        /// The container's name.
        container: String,
        /// What stood against it.
        why: String,
    },
    /// The template could not be read, so containers were chosen without it.
    #[error("the template in ARGO_TEMPLATE is not readable ({0}); every container is taken for the workflow's own")]
    TemplateUnreadable(String),
    /// A user's container mounts the docker socket's volume, so it stays.
    #[error("volume {volume} stays: container {container} mounts it, and the emissary executor does not need it")]
    SocketStays {
        /// The volume's name.
        volume: String,
        /// The container that mounts it.
        container: String,
    },
    /// The registry does not answer, so what it said before is used.
    #[error("container {container}: the registry of image {image} does not answer; its answer of {age} ago is used")]
    Stale {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// How long ago, as people say it.
        age: String,
    },
    /// An image stays without the digest that the settings ask for.
    #[error("container {container}: image {image} is not pinned: {why}")]
    NotPinned {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// What went wrong, in our words.
        why: String,
    },
    /// A container that somebody else put in.
    #[error("container {0} is not the workflow's; it is not wrapped and nothing waits for it")]
    NotWrapped(String),
    /// The cluster's nodes would need different commands.
    #[error(
        "container {container}: image {image} runs different commands on the nodes' platforms; that of {platforms} is used"
    )]
    NodesDiffer {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// The platforms that decide, joined for reading.
        platforms: String,
    },
    /// A pull secret that a look-up could not use.
    #[error("image pull secret {secret} is not used: {why}")]
    PullSecret {
        /// The secret's name.
        secret: String,
        /// What is wrong with it, without anything of its content.
        why: String,
    },
    /// An annotation asks for an executor that the operator does not allow.
    #[error("annotation emissary-webhook.io/executor={0:?} is ignored: executors.allowed does not list it")]
    ExecutorNotAllowed(String),
    /// An annotation of ours that the operator lets nobody decide by.
    #[error("annotation {0} is ignored: overrides.allowed does not list it")]
    AnnotationIgnored(&'static str),
    /// A mount that `wait` cannot have, since it depends on the container's own variables.
    #[error("container {container}: mount {path} uses subPathExpr; outputs below it cannot be collected")]
    MountNotMirrored {
        /// The container's name.
        container: String,
        /// Where it mounts.
        path: String,
    },
    /// The opt-in label has a value that means nothing.
    #[error("label emissary-webhook.io/inject={0:?} is neither \"true\" nor \"false\"; it counts as \"true\"")]
    InjectValue(String),
}

/// Why an object cannot be admitted: all its problems at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// At least one: what concerns the pod as a whole first, then its containers.
    pub problems: Vec<Problem>,
}

impl Denial {
    /// Whether the same object may pass later, without anybody changing it.
    pub fn is_transient(&self) -> bool {
        self.problems.iter().all(Problem::is_transient)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One thing that stands against an object. Each says what to change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The pod would start its containers again.
    #[error("spec.restartPolicy is {0}: the emissary executor runs each command once; set restartPolicy: Never")]
    RestartPolicy(String),
    /// A name that Argo reserves is in use.
    #[error("container name {0} is reserved for Argo's executor; rename that container")]
    ContainerName(String),
    /// A volume of a name that Argo reserves is of another kind.
    #[error("volume {volume} is reserved for Argo's executor, which needs {needed} there; rename that volume")]
    VolumeName {
        /// The volume's name.
        volume: &'static str,
        /// The kind that it must be of, with its article.
        needed: &'static str,
    },
    /// A path that Argo reserves is in use.
    #[error("container {container} mounts volume {volume} at {path}, which Argo's executor needs; use another path")]
    MountPath {
        /// The container's name.
        container: String,
        /// The volume that is mounted there.
        volume: String,
        /// The path.
        path: String,
    },
    /// The image's name cannot be parsed.
    #[error("container {container} has no command, and its image name {image:?} cannot be looked up: {why}")]
    ImageName {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// Neither the container nor its image says what to run.
    #[error(
        "container {container}: image {image} has neither ENTRYPOINT nor CMD, and the container has neither command nor \
         args; set command"
    )]
    NothingToRun {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
    },
    /// The image's command was not found out.
    #[error("container {container} has no command, and image {image} could not be looked up: {why}")]
    LookUp {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// What went wrong, in our words, never the registry's.
        why: String,
        /// Whether it may go well later.
        transient: bool,
    },
    /// The image runs different things on the platforms that the pod may land on.
    #[error(
        "container {container}: image {image} runs different commands on {platforms}; set command, or choose one by \
         nodeSelector kubernetes.io/arch"
    )]
    PlatformsDiffer {
        /// The container's name.
        container: String,
        /// The image as written.
        image: String,
        /// The platforms, joined for reading.
        platforms: String,
    },
    /// The object would be larger than the API server stores.
    #[error("the rewritten pod would have {bytes} bytes, the API server takes at most {limit}; shorten the template")]
    ObjectSize {
        /// The size after rewriting, an upper bound.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A variable would be longer than Linux hands to a process.
    #[error(
        "variable {variable} of container {container} would have {bytes} bytes, Linux takes at most {limit}; shorten it"
    )]
    VariableSize {
        /// The container's name.
        container: String,
        /// The variable's name.
        variable: String,
        /// Its size with name and end.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// An annotation of ours that counts here has a value that means nothing.
    #[error("annotation {key}: {why}")]
    Annotation {
        /// The annotation's key.
        key: &'static str,
        /// What is wrong with the value.
        why: String,
    },
    /// A field is not what the Kubernetes API says.
    #[error("container {container}: {field} is not readable: {why}")]
    Field {
        /// The container's name.
        container: String,
        /// The field's name.
        field: &'static str,
        /// What the parser says.
        why: String,
    },
}

impl Problem {
    /// Whether it may be gone later, without anybody changing the object.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::LookUp { transient: true, .. })
    }
}
