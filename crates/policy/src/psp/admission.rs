use serde_json::Value;

use super::error::{FieldError, listed};
use super::mutate::mutate;
use super::policy::PodSecurityPolicy;
use super::rbac::{Authorisation, service_account};
use super::subject::{Subject, annotate};
use super::validate::{Rules, validate};
use crate::pod::{Misfit, Pod};
use crate::request::{Operation, Request};
use crate::verdict::{Decision, Engine, Verdict};

/// The annotation with which the plugin marks a pod: the policy that admitted it.
const CHOSEN: &str = "kubernetes.io/psp";

const SAFE_SYSCTLS: [&str; 5] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
];

/// A version of Kubernetes that has policies, as far as the plugin differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 1.20 and 1.21.
    V1_20,
    /// 1.22: one sysctl more is safe.
    V1_22,
    /// 1.23 and 1.24: ephemeral containers exist, and are judged.
    V1_23,
}

impl Release {
    fn rules(self) -> Rules {
        let safe_sysctls = match self {
            Self::V1_20 => SAFE_SYSCTLS.split_last().map_or(&[][..], |(_, older)| older),
            Self::V1_22 | Self::V1_23 => &SAFE_SYSCTLS,
        };
        Rules { safe_sysctls, has_ephemeral_containers: self >= Self::V1_23 }
    }
}

/// The admission plugin of a cluster.
#[derive(Debug, Clone)]
pub struct Psp {
    /// By name.
    policies: Vec<PodSecurityPolicy>,
    authorisation: Authorisation,
    release: Release,
}

/// What a pass of the plugin comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// None of its business: no pod, a subresource, an update of what no policy judges.
    Ignored,
    /// A policy admits it.
    Admitted {
        /// The policy's name.
        policy: String,
        /// Whether the policy had something to fill in.
        is_mutated: bool,
        /// The pod as it is now: filled in, and marked with the policy's name.
        object: Value,
    },
    /// None does.
    Rejected(Rejection),
}

/// Why no policy admits a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// `admit` or `validate`.
    pub pass: &'static str,
    /// Whether there is any policy at all; without one everything is rejected.
    pub has_policies: bool,
    /// The policies that may be used, by name, with what they have against the pod. One without errors would have to change the pod
    /// when it is too late for that.
    pub policies: Vec<(String, Vec<FieldError>)>,
}

impl Rejection {
    /// The plugin's words, but for the pod's name before them.
    pub fn message(&self) -> String {
        if !self.has_policies {
            return "PodSecurityPolicy: no providers available to validate pod request".to_owned();
        }
        let errors = listed(self.policies.iter().flat_map(|(_, errors)| errors));
        format!("PodSecurityPolicy: unable to {} pod: {errors}", self.pass)
    }
}

impl Psp {
    /// A cluster with these policies, of which each may be there once.
    pub fn new(mut policies: Vec<PodSecurityPolicy>, authorisation: Authorisation, release: Release) -> Self {
        policies.sort_by(|a, b| a.name().cmp(b.name()));
        Self { policies, authorisation, release }
    }

    /// The mutating pass: when a pod is created, and again after a webhook has changed it. The object is the pod after the API
    /// server's defaults, with its service account.
    ///
    /// # Errors
    /// A field that is judged has another type than in the API.
    pub fn admit(&self, request: &Request) -> Result<Admission, Misfit> {
        if is_ignored(request) || request.operation != Operation::Create {
            return Ok(Admission::Ignored);
        }
        self.pass(request, "admit")
    }

    /// The last pass, which changes nothing: the policy that admitted the pod goes first, and only one that has nothing to fill in
    /// counts.
    ///
    /// # Errors
    /// A field that is judged has another type than in the API.
    pub fn validate(&self, request: &Request) -> Result<Admission, Misfit> {
        if is_ignored(request) {
            return Ok(Admission::Ignored);
        }
        self.pass(request, "validate")
    }

    /// Both passes as one verdict, named after the policy that admits the pod, or else after those that may be used; none for what
    /// the plugin does not look at.
    pub fn judge(&self, request: &Request) -> Option<Verdict> {
        let admission = self.admit(request).and_then(|admission| match admission {
            Admission::Admitted { object, .. } => self.validate(&Request { object, ..request.clone() }),
            Admission::Ignored => self.validate(request),
            rejected => Ok(rejected),
        });
        let all = || self.policies.iter().map(PodSecurityPolicy::name).collect::<Vec<_>>().join(",");
        let (policy, decision, message) = match admission {
            Ok(Admission::Ignored) => return None,
            Ok(Admission::Admitted { policy, .. }) => (policy, Decision::Allowed, String::new()),
            Ok(Admission::Rejected(rejection)) => {
                let names: Vec<&str> = rejection.policies.iter().map(|(name, _)| name.as_str()).collect();
                (names.join(","), Decision::Denied, rejection.message())
            }
            Err(misfit) => (all(), Decision::Unknown, misfit.to_string()),
        };
        Some(Verdict { engine: Engine::Psp, policy, decision, message })
    }

    fn pass(&self, request: &Request, pass: &'static str) -> Result<Admission, Misfit> {
        let may_mutate = pass == "admit";
        let pod = Pod::read(&request.object)?;
        let account = match pod.spec.service_account {
            "" => "default",
            name => name,
        };
        let account = service_account(&request.namespace, account);
        let is_usable = |policy: &PodSecurityPolicy| {
            let allows = |user| self.authorisation.allows(user, &request.namespace, policy.name());
            allows(&account) || allows(&request.user)
        };
        let hint = pod.annotations.get(CHOSEN).filter(|_| !may_mutate);
        let hinted = self.policies.iter().filter(|policy| Some(policy.name()) == hint);
        let others = self.policies.iter().filter(|policy| Some(policy.name()) != hint);

        let rules = self.release.rules();
        let mut mutating = None;
        let mut rejected = Vec::new();
        for policy in hinted.chain(others).filter(|policy| is_usable(policy)) {
            let mut subject = Subject::new(pod.clone());
            mutate(policy, &mut subject);
            let errors = validate(policy, &subject, &rules)?;
            let is_mutated = subject.is_changed();
            if errors.is_empty() && !is_mutated {
                return Ok(self.admitted(request, policy, &subject, may_mutate));
            }
            if errors.is_empty() && may_mutate && mutating.is_none() {
                mutating = Some((policy, subject));
            }
            rejected.push((policy.name().to_owned(), errors));
        }
        if let Some((policy, subject)) = mutating {
            return Ok(self.admitted(request, policy, &subject, may_mutate));
        }
        rejected.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Admission::Rejected(Rejection { pass, has_policies: !self.policies.is_empty(), policies: rejected }))
    }

    fn admitted(
        &self,
        request: &Request,
        policy: &PodSecurityPolicy,
        subject: &Subject<'_>,
        may_mutate: bool,
    ) -> Admission {
        let mut object = subject.written_into(&request.object);
        if may_mutate {
            annotate(&mut object, CHOSEN, policy.name());
        }
        Admission::Admitted { policy: policy.name().to_owned(), is_mutated: subject.is_changed(), object }
    }
}

fn is_ignored(request: &Request) -> bool {
    let is_pod = request.resource == "pods" && request.kind.group.is_empty() && request.sub_resource.is_empty();
    let is_written = matches!(request.operation, Operation::Create | Operation::Update);
    !is_pod || !is_written || request.operation == Operation::Update && changes_owners_only(request)
}

/// Updates of the garbage collector pass in any case.
fn changes_owners_only(request: &Request) -> bool {
    const OWNERS: [&str; 4] = ["ownerReferences", "finalizers", "selfLink", "managedFields"];
    let others = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !OWNERS.contains(&field.as_str()));
        }
        object
    };
    others(&request.object) == others(&request.old_object)
}
