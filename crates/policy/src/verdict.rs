use serde::Serialize;
use std::fmt;

/// What one policy says of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which engine judged.
    pub engine: Engine,
    /// The policy, as its engine names it: `restricted:v1.30`, a PodSecurityPolicy's name, `K8sAllowedRepos/repos-are-ours`.
    pub policy: String,
    /// What follows.
    pub decision: Decision,
    /// Why, in the engine's own words where it has some; for [`Decision::Unknown`] what could not be judged.
    pub message: String,
}

/// What follows of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It has nothing against the request.
    Allowed,
    /// It says something and admits.
    Warned,
    /// It could not be judged.
    Unknown,
    /// It rejects.
    Denied,
}

/// The engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Pod Security Standards, as Pod Security Admission enforces them.
    Pss,
    /// PodSecurityPolicy (until Kubernetes 1.24).
    Psp,
    /// ValidatingAdmissionPolicy.
    Vap,
    /// Gatekeeper's templates and constraints.
    Gatekeeper,
    /// Rego modules by themselves: conftest's and kube-mgmt's rules, or OPA's own admission reviews.
    Rego,
    /// Kyverno.
    Kyverno,
    /// A namespace's LimitRanges.
    #[serde(rename = "limit-range")]
    LimitRange,
    /// A namespace's ResourceQuotas.
    #[serde(rename = "resource-quota")]
    ResourceQuota,
}

impl Engine {
    /// The name in outputs, stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pss => "pss",
            Self::Psp => "psp",
            Self::Vap => "vap",
            Self::Gatekeeper => "gatekeeper",
            Self::Rego => "rego",
            Self::Kyverno => "kyverno",
            Self::LimitRange => "limit-range",
            Self::ResourceQuota => "resource-quota",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
