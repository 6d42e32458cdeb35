use super::blame::Blame;
use super::policies::Policies;
use emissary_core::outcome::Outcome;
use emissary_policy::psp::Admission;
use emissary_policy::rego::RequestInputs;
use emissary_policy::{Decision, Engine, Kind, Operation, Request, Verdict, defaults};
use serde_json::Value;

/// A pod that somebody wants to create.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// `kind/name`, for people and as the key of a row.
    pub title: String,
    /// Where it is to be.
    pub namespace: String,
    /// The pod as it was sent.
    pub object: Value,
    /// Who asks.
    pub user: User,
}

/// Who asks for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Such as `system:serviceaccount:argo:argo`.
    pub name: String,
    /// Such as `system:serviceaccounts`.
    pub groups: Vec<String>,
}

/// For which executor a pod is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// As it was sent.
    AsIs,
    /// As the webhook would make it.
    Emissary,
}

impl Column {
    /// The name in outputs and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Emissary => "emissary",
        }
    }
}

/// Where in the API server's order a verdict falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Before the webhooks: on the pod as it was sent, with defaults.
    BeforeRewrite,
    /// The webhook itself.
    Rewrite,
    /// After the webhooks, by what may still change the pod.
    AfterRewrite,
    /// By what only looks.
    Validation,
}

impl Stage {
    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeRewrite => "before-rewrite",
            Self::Rewrite => "rewrite",
            Self::AfterRewrite => "after-rewrite",
            Self::Validation => "validation",
        }
    }
}

/// One verdict, at its stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Where it falls.
    pub stage: Stage,
    /// Who says it; `emissary` for the webhook's own refusal.
    pub engine: &'static str,
    /// The policy, as its engine names it.
    pub policy: String,
    /// What follows.
    pub decision: Decision,
    /// Why.
    pub message: String,
    /// Whose doing a denial or warning is.
    pub blame: Option<Blame>,
}

impl Judgement {
    fn of(stage: Stage, verdict: Verdict) -> Self {
        let Verdict { engine, policy, decision, message } = verdict;
        Self { stage, engine: engine.as_str(), policy, decision, message, blame: None }
    }
}

impl Candidate {
    fn request(&self, policies: &Policies, object: Value) -> Request {
        let name = self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        Request {
            operation: Operation::Create,
            kind: Kind { group: String::new(), version: "v1".to_owned(), kind: "Pod".to_owned() },
            resource: "pods".to_owned(),
            sub_resource: String::new(),
            name: name.to_owned(),
            namespace: self.namespace.clone(),
            namespace_object: policies.namespaces.get(&self.namespace).cloned(),
            user: emissary_policy::User {
                name: self.user.name.clone(),
                uid: String::new(),
                groups: self.user.groups.clone(),
            },
            object,
            old_object: Value::Null,
            dry_run: false,
        }
    }

    /// The pod as the webhooks get it, and what is said before: the API server's defaults, and PodSecurityPolicy's first
    /// pass. `None` where that refuses the pod.
    pub fn before_rewrite(&self, policies: &Policies) -> (Option<Value>, Vec<Judgement>) {
        let mut request = self.request(policies, defaults::pod(&self.object));
        // The API server sets it from the path that was posted to.
        if let Some(metadata) = request.object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), Value::from(self.namespace.as_str()));
        }
        let (judgement, admitted) = admit(policies, &request, Stage::BeforeRewrite);
        let judgements: Vec<Judgement> = judgement.into_iter().collect();
        let refused = judgements.iter().any(|judgement| judgement.decision == Decision::Denied);
        ((!refused).then(|| admitted.unwrap_or(request.object)), judgements)
    }

    /// What is said after the webhooks of a pod that they have `rewritten`, or left as it is.
    pub fn after_rewrite(&self, policies: &mut Policies, pod: &Value, rewritten: bool) -> Vec<Judgement> {
        let mut judgements = Vec::new();
        let mut request = self.request(policies, defaults::pod(pod));
        if rewritten {
            // A changed pod goes through what may change it once more.
            let (judgement, admitted) = admit(policies, &request, Stage::AfterRewrite);
            judgements.extend(judgement);
            request.object = admitted.unwrap_or(request.object);
        }
        defaults::complete(&mut request.object);
        if let Some(psp) = &policies.psp {
            match psp.validate(&request) {
                Ok(Admission::Rejected(rejection)) => judgements.push(Judgement {
                    stage: Stage::Validation,
                    engine: Engine::Psp.as_str(),
                    policy: names(&rejection.policies),
                    decision: Decision::Denied,
                    message: rejection.message(),
                    blame: None,
                }),
                // What admitted it has been told.
                Ok(Admission::Admitted { .. } | Admission::Ignored) | Err(_) => {}
            }
        }
        let mut verdicts: Vec<Verdict> = policies.pss.iter().flat_map(|pss| pss.judge(&request)).collect();
        verdicts.extend(policies.gatekeeper.judge(&request));
        if let Some(rego) = &mut policies.rego {
            verdicts.extend(rego.judge(&mut RequestInputs::new(&request)));
        }
        judgements.extend(verdicts.into_iter().map(|verdict| Judgement::of(Stage::Validation, verdict)));
        judgements
    }
}

/// What the webhook itself says against a pod.
pub fn of_outcome(outcome: &Outcome) -> Option<Judgement> {
    let Outcome::Denial(denial) = outcome else { return None };
    // A registry that does not answer now says nothing of the pod.
    let decision = if denial.is_transient() { Decision::Unknown } else { Decision::Denied };
    Some(Judgement {
        stage: Stage::Rewrite,
        engine: "emissary",
        policy: "emissary-webhook".to_owned(),
        decision,
        message: denial.to_string(),
        blame: None,
    })
}

/// A pass of PodSecurityPolicy: its verdict, and the pod as it made it.
fn admit(policies: &Policies, request: &Request, stage: Stage) -> (Option<Judgement>, Option<Value>) {
    let Some(psp) = &policies.psp else { return (None, None) };
    let judgement = |policy, decision, message| Judgement {
        stage,
        engine: Engine::Psp.as_str(),
        policy,
        decision,
        message,
        blame: None,
    };
    match psp.admit(request) {
        Ok(Admission::Ignored) => (None, None),
        Ok(Admission::Admitted { policy, object, is_mutated: _ }) => {
            (Some(judgement(policy, Decision::Allowed, String::new())), Some(object))
        }
        Ok(Admission::Rejected(rejection)) => {
            (Some(judgement(names(&rejection.policies), Decision::Denied, rejection.message())), None)
        }
        Err(misfit) => (Some(judgement(String::new(), Decision::Unknown, misfit.to_string())), None),
    }
}

fn names<T>(policies: &[(String, T)]) -> String {
    policies.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}
