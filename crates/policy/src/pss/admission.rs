use serde_json::Value;

use super::configuration::{Configuration, Modes};
use super::level::{Level, Standard};
use super::{Evaluation, evaluate_read, labels};
use crate::pod::{Container, Misfit, Pod};
use crate::quote::quoted;
use crate::request::{Operation, Request};
use crate::verdict::{Decision, Engine, Verdict};

/// Pod Security Admission.
#[derive(Debug, Clone)]
pub struct Pss {
    configuration: Configuration,
    reads_labels: bool,
}

/// What the API server would answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Why the request is refused, without the object's name before it; none if it is not.
    pub denial: Option<String>,
    /// For who asks; none where the request is refused.
    pub warnings: Vec<String>,
    /// Keys without their prefix `pod-security.kubernetes.io/`: `enforce-policy`, `audit-violations`, `exempt`, `error`.
    pub audit_annotations: Vec<(&'static str, String)>,
}

/// Where a kind of object holds a pod: the way from the object to what has metadata and a spec.
struct Holder {
    group: &'static str,
    resource: &'static str,
    template: &'static [&'static str],
}

const TEMPLATE: &[&str] = &["spec", "template"];

const HOLDERS: [Holder; 9] = [
    Holder { group: "", resource: "pods", template: &[] },
    Holder { group: "", resource: "replicationcontrollers", template: TEMPLATE },
    Holder { group: "", resource: "podtemplates", template: &["template"] },
    Holder { group: "apps", resource: "replicasets", template: TEMPLATE },
    Holder { group: "apps", resource: "deployments", template: TEMPLATE },
    Holder { group: "apps", resource: "statefulsets", template: TEMPLATE },
    Holder { group: "apps", resource: "daemonsets", template: TEMPLATE },
    Holder { group: "batch", resource: "jobs", template: TEMPLATE },
    Holder { group: "batch", resource: "cronjobs", template: &["spec", "jobTemplate", "spec", "template"] },
];

/// Subresources of pods that carry no pod, or cannot change what is judged. Any other is judged.
const IGNORED_SUB_RESOURCES: [&str; 8] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// Why nothing is evaluated, as the audit annotation `exempt` has it.
type Exemption = &'static str;

/// What is to be evaluated of a request.
struct Case<'r> {
    modes: Modes,
    errors: Vec<String>,
    pod: Pod<'r>,
    /// Only pods themselves are refused; of what makes pods one is warned.
    is_enforced: bool,
}

/// Why nothing is.
enum Unjudged {
    /// None of its business.
    Ignored,
    Exempt(Exemption, Standard),
    /// No mode has a check; whether it is a pod.
    Privileged(bool),
    /// The namespace is not known, and so not its labels.
    Unlabelled,
    Misfit(Misfit, Modes),
}

impl Pss {
    /// A cluster with that configuration, where namespaces have labels.
    pub fn new(configuration: Configuration) -> Self {
        Self { configuration, reads_labels: true }
    }

    /// One standard for every pod, whatever labels say.
    pub fn fixed(standard: Standard) -> Self {
        let configuration = Configuration { defaults: Modes::all(standard), ..Configuration::default() };
        Self { configuration, reads_labels: false }
    }

    /// One verdict a standard that the request is held to, the strictest consequence where it is held to one in several modes;
    /// none for what Pod Security Admission does not look at. `privileged` has no verdict, since it has no checks.
    ///
    /// Other than the API server's warnings, a verdict of a standard that only warns is there even where another denies.
    pub fn judge(&self, request: &Request) -> Vec<Verdict> {
        let verdict = |standard: Standard, decision, message| Verdict {
            engine: Engine::Pss,
            policy: standard.to_string(),
            decision,
            message,
        };
        let case = match self.case(request) {
            Ok(case) => case,
            Err(Unjudged::Ignored | Unjudged::Privileged(_)) => return Vec::new(),
            Err(Unjudged::Exempt(by, standard)) => {
                return vec![verdict(standard, Decision::Allowed, format!("exempt by its {by}"))];
            }
            Err(Unjudged::Unlabelled) => {
                let message = format!("the labels of the namespace {} are not known", request.namespace);
                return vec![verdict(self.configuration.defaults.enforce, Decision::Unknown, message)];
            }
            Err(Unjudged::Misfit(misfit, modes)) => {
                return distinct(modes, true)
                    .into_iter()
                    .map(|(standard, _)| verdict(standard, Decision::Unknown, misfit.to_string()))
                    .collect();
            }
        };
        distinct(case.modes, case.is_enforced)
            .into_iter()
            .map(|(standard, is_enforced)| {
                let evaluation = evaluate_read(standard, &case.pod);
                match (evaluation.is_allowed(), is_enforced) {
                    (true, _) => verdict(standard, Decision::Allowed, String::new()),
                    (false, true) => verdict(standard, Decision::Denied, violates("violates", standard, &evaluation)),
                    (false, false) => {
                        verdict(standard, Decision::Warned, violates("would violate", standard, &evaluation))
                    }
                }
            })
            .collect()
    }

    /// What the API server would answer, word for word.
    ///
    /// # Errors
    /// A field that is judged has another type than in the API.
    pub fn admit(&self, request: &Request) -> Result<Response, Misfit> {
        let mut response = Response::default();
        let Case { modes, errors, pod, is_enforced } = match self.case(request) {
            Ok(case) => case,
            Err(Unjudged::Ignored) => return Ok(response),
            Err(Unjudged::Privileged(is_pod)) => {
                let policy = is_pod.then(|| ("enforce-policy", Standard::PRIVILEGED.to_string()));
                response.audit_annotations.extend(policy);
                return Ok(response);
            }
            Err(Unjudged::Exempt(by, _)) => {
                response.audit_annotations.push(("exempt", by.to_owned()));
                return Ok(response);
            }
            Err(Unjudged::Unlabelled) => {
                response.denial = Some(format!("failed to lookup namespace {}", quoted(&request.namespace)));
                return Ok(response);
            }
            Err(Unjudged::Misfit(misfit, _)) => return Err(misfit),
        };
        if !errors.is_empty() {
            let errors = aggregated(&errors);
            response.audit_annotations.push(("error", format!("Failed to parse policy: {errors}")));
        }
        let mut enforced = None;
        if is_enforced {
            response.audit_annotations.push(("enforce-policy", modes.enforce.to_string()));
            let evaluation = evaluate_read(modes.enforce, &pod);
            if !evaluation.is_allowed() {
                response.denial = Some(violates("violates", modes.enforce, &evaluation));
            }
            enforced = Some(evaluation);
        }
        let again = |standard: Standard| match &enforced {
            Some(evaluation) if standard == modes.enforce => evaluation.clone(),
            _ => evaluate_read(standard, &pod),
        };
        let audited = again(modes.audit);
        if !audited.is_allowed() {
            response.audit_annotations.push(("audit-violations", violates("would violate", modes.audit, &audited)));
        }
        if response.denial.is_none() {
            let warned = again(modes.warn);
            if !warned.is_allowed() {
                response.warnings.push(violates("would violate", modes.warn, &warned));
            }
        }
        Ok(response)
    }

    fn case<'r>(&self, request: &'r Request) -> Result<Case<'r>, Unjudged> {
        let holder =
            HOLDERS.iter().find(|holder| holder.resource == request.resource && holder.group == request.kind.group);
        let Some(holder) = holder else { return Err(Unjudged::Ignored) };
        let is_pod = holder.template.is_empty();
        let is_ignored = match is_pod {
            true => IGNORED_SUB_RESOURCES.contains(&request.sub_resource.as_str()),
            false => !request.sub_resource.is_empty(),
        };
        if is_ignored || !matches!(request.operation, Operation::Create | Operation::Update) {
            return Err(Unjudged::Ignored);
        }
        let Configuration { defaults, exempt_users, exempt_namespaces, exempt_runtime_classes } = &self.configuration;
        let (modes, errors) = match &request.namespace_object {
            Some(namespace) if self.reads_labels => labels::modes(namespace, *defaults),
            _ => (*defaults, Vec::new()),
        };
        if exempt_namespaces.contains(&request.namespace) {
            return Err(Unjudged::Exempt("namespace", modes.enforce));
        }
        if exempt_users.contains(&request.user.name) {
            return Err(Unjudged::Exempt("user", modes.enforce));
        }
        if self.reads_labels && request.namespace_object.is_none() {
            return Err(Unjudged::Unlabelled);
        }
        let told = [modes.audit, modes.warn, if is_pod { modes.enforce } else { modes.warn }];
        if errors.is_empty() && told.iter().all(|standard| standard.level == Level::Privileged) {
            return Err(Unjudged::Privileged(is_pod));
        }
        let Some(pod) = held(&request.object, holder.template) else { return Err(Unjudged::Ignored) };
        let pod = Pod::read(pod).map_err(|misfit| Unjudged::Misfit(misfit, modes))?;
        if is_pod && request.operation == Operation::Update && !matters(&pod, &request.old_object) {
            return Err(Unjudged::Ignored);
        }
        if pod.spec.runtime_class.is_some_and(|class| exempt_runtime_classes.contains(class)) {
            return Err(Unjudged::Exempt("runtimeClass", modes.enforce));
        }
        Ok(Case { modes, errors, pod, is_enforced: is_pod })
    }
}

/// Whether an update can change a verdict: of what is judged, only images and ephemeral containers can change.
fn matters(pod: &Pod<'_>, old: &Value) -> bool {
    let Ok(old) = Pod::read(old) else { return true };
    let counts = |pod: &Pod<'_>| (pod.spec.init_count, pod.spec.main_count());
    if counts(pod) != counts(&old) {
        return true;
    }
    let stable = pod.spec.init_count + pod.spec.main_count();
    let mut pairs = pod.spec.containers.iter().zip(&old.spec.containers).take(stable);
    let old_ephemeral = old.spec.containers.get(stable..).unwrap_or_default();
    let is_new = |container: &Container<'_>| {
        let before = old_ephemeral.iter().find(|before| before.name == container.name);
        before.is_none_or(|before| before.image != container.image)
    };
    pairs.any(|(container, before)| container.image != before.image)
        || pod.spec.containers.iter().skip(stable).any(is_new)
}

/// Walks to the pod that an object holds.
fn held<'r>(object: &'r Value, path: &[&str]) -> Option<&'r Value> {
    let held = path.iter().try_fold(object, |at, field| at.get(field))?;
    (!held.is_null()).then_some(held)
}

/// The standards that have checks, each once, and whether it is enforced.
fn distinct(modes: Modes, is_enforced: bool) -> Vec<(Standard, bool)> {
    let Modes { enforce, audit, warn } = modes;
    let enforced = is_enforced.then_some((enforce, true));
    let mut distinct: Vec<(Standard, bool)> = Vec::with_capacity(3);
    for (standard, is_enforced) in enforced.into_iter().chain([(audit, false), (warn, false)]) {
        let is_new = distinct.iter().all(|(known, _)| *known != standard);
        if standard.level != Level::Privileged && is_new {
            distinct.push((standard, is_enforced));
        }
    }
    distinct
}

fn violates(verb: &str, standard: Standard, evaluation: &Evaluation) -> String {
    format!("{verb} PodSecurity \"{standard}\": {}", evaluation.detail())
}

/// Several errors as the API server joins them: one as it is, more of them in brackets.
fn aggregated(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        more => format!("[{}]", more.join(", ")),
    }
}
