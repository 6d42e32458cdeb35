use super::blame::Blame;
use emissary_core::pod::Executor;
use emissary_policy::Decision;
use serde::{Deserialize, Serialize};

/// For which executor a pod is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// As it was sent.
    AsIs,
    /// As Argo 3.3 makes it for docker.
    Docker,
    /// As Argo 3.3 makes it for kubelet.
    Kubelet,
    /// As Argo 3.1 makes it for k8sapi, which 3.3 no longer has.
    K8sApi,
    /// As Argo 3.3 makes it for pns.
    Pns,
    /// As the webhook makes it.
    Emissary,
}

impl Column {
    /// The name in outputs and flags.
    pub fn name(self) -> &'static str {
        self.executor().map_or("as-is", Executor::name)
    }

    /// The executor; `None` for the pod as it was sent.
    pub fn executor(self) -> Option<Executor> {
        Some(match self {
            Self::AsIs => return None,
            Self::Docker => Executor::Docker,
            Self::Kubelet => Executor::Kubelet,
            Self::K8sApi => Executor::K8sApi,
            Self::Pns => Executor::Pns,
            Self::Emissary => Executor::Emissary,
        })
    }
}

/// Where in the API server's order a verdict falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// What Argo's controller makes, before the API server sees it.
    Build,
    /// Before the webhooks: on the pod as it was sent, with defaults.
    BeforeRewrite,
    /// The webhook itself.
    Rewrite,
    /// After the webhooks, by what may still change the pod.
    AfterRewrite,
    /// By what only looks.
    Validation,
    /// On the node, when containers are started.
    Start,
}

impl Stage {
    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::BeforeRewrite => "before-rewrite",
            Self::Rewrite => "rewrite",
            Self::AfterRewrite => "after-rewrite",
            Self::Validation => "validation",
            Self::Start => "start",
        }
    }
}

/// What follows, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is held against it.
    Allowed,
    /// Something is said, and it is admitted.
    Warned,
    /// It could not be judged.
    Unknown,
    /// It is admitted, and its containers do not start.
    WontStart,
    /// It is rejected.
    Denied,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [Self::Allowed, Self::Warned, Self::Unknown, Self::WontStart, Self::Denied];

    /// The word in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Unknown => "unknown",
            Self::WontStart => "wont-start",
            Self::Denied => "denied",
        }
    }

    /// Whether something is held against the pod, as opposed to not known.
    pub fn is_against(self) -> bool {
        matches!(self, Self::Warned | Self::WontStart | Self::Denied)
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allowed => Self::Allowed,
            Decision::Warned => Self::Warned,
            Decision::Unknown => Self::Unknown,
            Decision::Denied => Self::Denied,
        }
    }
}

/// One verdict, at its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Where it falls.
    pub stage: Stage,
    /// Who says it; `argo` for what a controller would make, `emissary` for the webhook's own refusal, `kubelet` for what a node
    /// does.
    pub engine: &'static str,
    /// The policy, as its engine names it.
    pub policy: String,
    /// What follows.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
    /// Whose doing it is, where something is held against the pod.
    pub blame: Option<Blame>,
    /// What of the injected has it, such as `container wait`; empty where nothing does by itself.
    pub causes: Vec<String>,
}

impl Judgement {
    pub(super) fn new(stage: Stage, engine: &'static str, policy: String, verdict: Verdict, message: String) -> Self {
        Self { stage, engine, policy, verdict, message, blame: None, causes: Vec::new() }
    }

    /// There is no pod to judge, or not all of it is known.
    pub(super) fn not_known(why: String) -> Self {
        Self::new(Stage::Build, "argo", "workflow-controller".to_owned(), Verdict::Unknown, why)
    }

    pub(super) fn of(stage: Stage, verdict: emissary_policy::Verdict) -> Self {
        let emissary_policy::Verdict { engine, policy, decision, message } = verdict;
        Self::new(stage, engine.as_str(), policy, decision.into(), message)
    }

    /// Whether both are said by the same policy.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.engine == other.engine && self.policy == other.policy
    }
}

/// The worst of them; allowed where there is none.
pub fn worst<'j>(judgements: impl IntoIterator<Item = &'j Judgement>) -> Verdict {
    judgements.into_iter().map(|judgement| judgement.verdict).max().unwrap_or(Verdict::Allowed)
}
