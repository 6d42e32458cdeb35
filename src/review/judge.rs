use super::candidate::Candidate;
use super::policies::Policies;
use super::verdict::{Judgement, Stage, Verdict};
use emissary_core::outcome::Outcome;
use emissary_policy::limits::Limits;
use emissary_policy::psp::Admission;
use emissary_policy::rego::RequestInputs;
use emissary_policy::{Engine, Request, defaults};
use serde_json::Value;

impl Candidate {
    /// The pod as the webhooks get it, and what is said before: the API server's defaults, those of LimitRanges, and
    /// PodSecurityPolicy's first pass. `None` where that refuses the pod.
    pub(super) fn before_rewrite(&self, policies: &Policies) -> (Option<Value>, Vec<Judgement>) {
        let object = if self.is_defaulted { self.object.clone() } else { defaults::pod(&self.object) };
        let mut request = self.request(object);
        // The API server sets it from the path that was posted to.
        if let (Some(metadata), false) =
            (request.object.get_mut("metadata").and_then(Value::as_object_mut), self.namespace.is_empty())
        {
            metadata.insert("namespace".to_owned(), Value::from(self.namespace.as_str()));
        }
        self.limits().fill(&mut request);
        let (judgement, admitted) = admit(policies, &request, Stage::BeforeRewrite);
        let judgements: Vec<Judgement> = judgement.into_iter().collect();
        let refused = judgements.iter().any(|judgement| judgement.verdict == Verdict::Denied);
        ((!refused).then(|| admitted.unwrap_or(request.object)), judgements)
    }

    /// What is said after the webhooks of a pod that they have `rewritten`, or left as it is; and the pod that is stored.
    pub(super) fn after_rewrite(
        &self,
        policies: &mut Policies,
        pod: &Value,
        rewritten: bool,
    ) -> (Value, Vec<Judgement>) {
        let (request, mut judgements) = self.after_rewrite_natively(policies, pod, rewritten);
        let mut verdicts = policies.vap.judge(&request);
        verdicts.extend(policies.gatekeeper.judge(&request));
        verdicts.extend(policies.kyverno.judge(&request));
        if let Some(rego) = &mut policies.rego {
            verdicts.extend(rego.judge(&mut RequestInputs::new(&request)));
        }
        verdicts.extend(self.limits().judge_quotas(&request));
        judgements.extend(verdicts.into_iter().map(|verdict| Judgement::of(Stage::Validation, verdict)));
        (request.object, judgements)
    }

    /// The same without programs: what takes microseconds whatever the policies are. The request is what programs would be asked.
    pub(super) fn after_rewrite_natively(
        &self,
        policies: &Policies,
        pod: &Value,
        rewritten: bool,
    ) -> (Request, Vec<Judgement>) {
        let mut judgements = Vec::new();
        let is_untouched = self.is_defaulted && !rewritten;
        let mut request = self.request(if is_untouched { pod.clone() } else { defaults::pod(pod) });
        let limits = self.limits();
        if rewritten {
            limits.fill(&mut request);
            // A changed pod goes through what may change it once more.
            let (judgement, admitted) = admit(policies, &request, Stage::AfterRewrite);
            judgements.extend(judgement);
            request.object = admitted.unwrap_or(request.object);
        }
        if !is_untouched {
            defaults::complete(&mut request.object);
        }
        // Who is refused is not asked again.
        let refused = judgements.iter().any(|judgement| judgement.verdict == Verdict::Denied);
        let ranges = limits.judge_ranges(&request).into_iter();
        judgements.extend(ranges.map(|verdict| Judgement::of(Stage::Validation, verdict)));
        if let Some(psp) = policies.psp.as_ref().filter(|_| !refused) {
            match psp.validate(&request) {
                Ok(Admission::Rejected(rejection)) => {
                    let (policy, message) = (names(&rejection.policies), rejection.message());
                    let engine = Engine::Psp.as_str();
                    judgements.push(Judgement::new(Stage::Validation, engine, policy, Verdict::Denied, message));
                }
                // What admitted it has been told.
                Ok(Admission::Admitted { .. } | Admission::Ignored) | Err(_) => {}
            }
        }
        let standards = policies.pss(&request).into_iter();
        judgements.extend(standards.map(|verdict| Judgement::of(Stage::Validation, verdict)));
        (request, judgements)
    }

    fn limits(&self) -> Limits {
        self.bounds.as_ref().map(|bounds| bounds.limits()).unwrap_or_default()
    }
}

/// What the webhook itself says against a pod.
pub(super) fn of_outcome(outcome: &Outcome) -> Option<Judgement> {
    let Outcome::Denial(denial) = outcome else { return None };
    Some(refusal(denial.to_string(), denial.is_transient()))
}

/// The webhook's refusal of a pod.
pub(super) fn refusal(why: String, is_transient: bool) -> Judgement {
    // A registry that does not answer now says nothing of the pod.
    let verdict = if is_transient { Verdict::Unknown } else { Verdict::Denied };
    Judgement::new(Stage::Rewrite, "emissary", "emissary-webhook".to_owned(), verdict, why)
}

/// A pass of PodSecurityPolicy: its verdict, and the pod as it made it.
fn admit(policies: &Policies, request: &Request, stage: Stage) -> (Option<Judgement>, Option<Value>) {
    let Some(psp) = &policies.psp else { return (None, None) };
    let judgement =
        |policy, verdict, message| Some(Judgement::new(stage, Engine::Psp.as_str(), policy, verdict, message));
    match psp.admit(request) {
        Ok(Admission::Ignored) => (None, None),
        Ok(Admission::Admitted { policy, object, is_mutated: _ }) => {
            (judgement(policy, Verdict::Allowed, String::new()), Some(object))
        }
        Ok(Admission::Rejected(rejection)) => {
            (judgement(names(&rejection.policies), Verdict::Denied, rejection.message()), None)
        }
        Err(misfit) => (judgement(String::new(), Verdict::Unknown, misfit.to_string()), None),
    }
}

fn names<T>(policies: &[(String, T)]) -> String {
    policies.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}
