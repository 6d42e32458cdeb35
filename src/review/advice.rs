//! What would help: the smallest change of settings that clears what is injected, tried by judging again; else an exception in
//! the engine's own format.

use super::blame::{Blame, Sides, says_no_more};
use super::candidate::Candidate;
use super::side::Side;
use super::verdict::{Judgement, Verdict};
use emissary_core::pod::{Layout, Options, Profile};
use serde_json::{Value, json};

/// What would help against what is injected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    /// Settings that clear policies and bring nothing else up.
    pub change: Option<Change>,
    /// Settings that clear some policies and break others: these want different things.
    pub conflicts: Vec<Change>,
    /// For what no setting clears.
    pub exceptions: Vec<Exception>,
}

impl Advice {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.change.is_none() && self.conflicts.is_empty() && self.exceptions.is_empty()
    }
}

/// Other settings, and what was said under them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As `--set` takes them.
    pub settings: Vec<String>,
    /// `engine policy` of what nothing is said by any more.
    pub clears: Vec<String>,
    /// `engine policy` of what speaks up instead.
    pub breaks: Vec<String>,
}

/// An exception, ready to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// `engine policy`.
    pub policy: String,
    /// What to do with it, and the lines themselves.
    pub text: String,
    /// What else it lets through, where that is much.
    pub warning: &'static str,
}

/// A change of one setting.
struct Alternative {
    setting: &'static str,
    /// Two of one kind exclude each other.
    kind: &'static str,
    apply: fn(&mut Options),
}

const ALTERNATIVES: [Alternative; 9] = [
    Alternative {
        setting: "rewrite.profile=pss-restricted",
        kind: "profile",
        apply: |options| options.profile = Profile::PssRestricted,
    },
    Alternative {
        setting: "rewrite.profile=psp-legacy",
        kind: "profile",
        apply: |options| options.profile = Profile::PspLegacy,
    },
    Alternative {
        setting: "rewrite.profile=openshift",
        kind: "profile",
        apply: |options| options.profile = Profile::Openshift,
    },
    Alternative {
        setting: "rewrite.hardenArgoContainers=true",
        kind: "harden",
        apply: |options| options.harden_argo_containers = true,
    },
    Alternative {
        setting: "executor.resources={limits: {cpu: 100m, memory: 512Mi}}",
        kind: "resources",
        apply: |options| options.executor.resources = Some(json!({"limits": {"cpu": "100m", "memory": "512Mi"}})),
    },
    Alternative {
        setting: "executor.resources={requests: {cpu: 100m, memory: 512Mi}, limits: {cpu: 100m, memory: 512Mi}}",
        kind: "resources",
        apply: |options| {
            let both = json!({"cpu": "100m", "memory": "512Mi"});
            options.executor.resources = Some(json!({"requests": both, "limits": both}));
        },
    },
    Alternative {
        setting: "executor.imagePullPolicy=Always",
        kind: "pull",
        apply: |options| options.executor.image_pull_policy = Some("Always".to_owned()),
    },
    Alternative {
        setting: "executor.imagePullPolicy=IfNotPresent",
        kind: "pull",
        apply: |options| options.executor.image_pull_policy = Some("IfNotPresent".to_owned()),
    },
    Alternative {
        setting: "rewrite.layout=supervisor",
        kind: "layout",
        apply: |options| options.layout = Layout::Supervisor,
    },
];

/// Searches what would help against `judgements`, of which those count that what is injected has a part in.
pub(super) fn advise(side: &mut Side<'_, '_, '_>, sides: &Sides<'_>, judgements: &[Judgement]) -> Advice {
    let ours: Vec<&Judgement> =
        judgements.iter().filter(|judgement| judgement.blame.is_some_and(Blame::is_ours)).collect();
    if ours.is_empty() {
        return Advice::default();
    }
    let own = side.settings(sides.sent);
    let singles: Vec<Vec<&Alternative>> = ALTERNATIVES.iter().map(|alternative| vec![alternative]).collect();
    let mut tried: Vec<Change> =
        singles.iter().filter_map(|one| attempt(side, sides, &own, one, judgements, &ours)).collect();
    let is_whole = |change: &Change| change.breaks.is_empty() && change.clears.len() == ours.len();
    if !tried.iter().any(is_whole) {
        // Only what helps by itself is worth being tried together.
        let helps: Vec<&Alternative> = ALTERNATIVES
            .iter()
            .filter(|one| tried.iter().any(|change| change.settings == [one.setting] && !change.clears.is_empty()))
            .collect();
        for (at, first) in helps.iter().enumerate() {
            for second in helps.iter().skip(at + 1).filter(|second| second.kind != first.kind) {
                tried.extend(attempt(side, sides, &own, &[first, second], judgements, &ours));
            }
        }
    }
    // The most cleared, by the fewest settings; of equals the first.
    let best = tried.iter().filter(|change| change.breaks.is_empty() && !change.clears.is_empty());
    let change = best.min_by_key(|change| (usize::MAX - change.clears.len(), change.settings.len())).cloned();
    let is_cleared = |name: &String| change.as_ref().is_some_and(|change| change.clears.contains(name));
    let conflicts = tried
        .iter()
        .filter(|change| change.settings.len() == 1 && !change.breaks.is_empty())
        .filter(|change| change.clears.iter().any(|name| !is_cleared(name)))
        .cloned()
        .collect();
    let exceptions = ours
        .iter()
        .filter(|judgement| !is_cleared(&name(judgement)))
        .filter_map(|one| exception(one, side.candidate))
        .collect();
    Advice { change, conflicts, exceptions }
}

fn attempt(
    side: &mut Side<'_, '_, '_>,
    sides: &Sides<'_>,
    own: &Options,
    alternatives: &[&Alternative],
    judgements: &[Judgement],
    ours: &[&Judgement],
) -> Option<Change> {
    let mut options = own.clone();
    alternatives.iter().for_each(|alternative| (alternative.apply)(&mut options));
    let pod = side.rewritten(sides.sent, &options)?;
    if pod == *sides.rewritten {
        return None;
    }
    let (_, found) = side.judge(&pod, true);
    let as_user = |one: &Judgement| sides.as_is.iter().any(|alone| alone.is_of(one) && alone.message == one.message);
    let still = |one: &&&Judgement| found.iter().any(|now| now.is_of(one) && now.verdict.is_against() && !as_user(now));
    let was = |now: &&Judgement| {
        judgements.iter().any(|one| one.is_of(now) && one.verdict >= now.verdict && says_no_more(now, one))
    };
    Some(Change {
        settings: alternatives.iter().map(|alternative| alternative.setting.to_owned()).collect(),
        clears: ours.iter().filter(|one| !still(one)).map(|one| name(one)).collect(),
        breaks: found
            .iter()
            .filter(|now| now.verdict >= Verdict::Unknown && !was(now) && !as_user(now))
            .map(name)
            .collect(),
    })
}

fn name(judgement: &Judgement) -> String {
    format!("{} {}", judgement.engine, judgement.policy)
}

/// An exception for one policy, in its engine's format; `None` where its engine has no format for one.
fn exception(judgement: &Judgement, candidate: &Candidate) -> Option<Exception> {
    let namespace = candidate.namespace.as_str();
    let policy = &judgement.policy;
    let (text, warning) = match judgement.engine {
        "gatekeeper" => {
            let (kind, constraint) = policy.split_once('/')?;
            let patch = json!({"spec": {"match": {"excludedNamespaces": [namespace]}}});
            let text = format!(
                "kubectl patch {} {constraint} --type merge -p '{patch}'\n\
                 # Where the constraint takes exemptImages, name the executor's image with its digest there instead.",
                kind.to_lowercase()
            );
            (
                text,
                "it exempts every pod of the namespace, not only workflows; a list that is there already is replaced",
            )
        }
        "pss" => {
            let (level, version) = policy.split_once(':').unwrap_or((policy, "latest"));
            let lower = if level == "restricted" { "baseline" } else { "privileged" };
            let text = format!(
                "kubectl label namespace {namespace} --overwrite pod-security.kubernetes.io/enforce={lower} \
                 pod-security.kubernetes.io/enforce-version={version}"
            );
            (text, "it lowers the standard for every pod of the namespace")
        }
        "psp" if judgement.message.contains("seccomp") => {
            let names = policy.replace(',', " ");
            let text = format!(
                "kubectl annotate podsecuritypolicy {names} \
                 seccomp.security.alpha.kubernetes.io/allowedProfileNames=runtime/default"
            );
            (text, "")
        }
        "vap" => {
            let condition: Value = json!({"matchConditions": [{
                "name": "not-workflows",
                "expression": "!has(object.metadata.labels) || !('workflows.argoproj.io/workflow' in object.metadata.labels)",
            }]});
            let (policy, _) = policy.split_once('/').unwrap_or((policy, ""));
            let text =
                format!("kubectl patch validatingadmissionpolicy {policy} --type merge -p '{{\"spec\":{condition}}}'");
            (text, "whoever may set the label workflows.argoproj.io/workflow goes free of it")
        }
        "kyverno" => {
            // Of a ValidatingPolicy there is no rule, and an exception has another form.
            let (policy, rule) = policy.rsplit_once('/')?;
            let name = policy.replace('/', "-");
            let text = format!(
                "apiVersion: kyverno.io/v2\nkind: PolicyException\nmetadata:\n  name: workflows-{name}\n  namespace: {namespace}\nspec:\n  \
                 exceptions:\n  - policyName: {policy}\n    ruleNames: [{rule}]\n  match:\n    any:\n    - resources:\n        kinds: [Pod]\n        \
                 namespaces: [{namespace}]\n        selector:\n          matchExpressions:\n          \
                 - {{key: workflows.argoproj.io/workflow, operator: Exists}}"
            );
            (
                text,
                "whoever may set the label workflows.argoproj.io/workflow goes free of it; Kyverno reads exceptions only where its settings say so",
            )
        }
        "rego" => {
            let (package, rule) = policy.rsplit_once('.')?;
            let suffix = rule.split_once('_').map_or("", |(_, suffix)| suffix);
            let text = format!(
                "package {package}\n\nexception[rules] {{\n  input.metadata.labels[\"workflows.argoproj.io/workflow\"]\n  \
                 rules := [\"{suffix}\"]\n}}"
            );
            (
                text,
                "whoever may set the label workflows.argoproj.io/workflow goes free of it; conftest alone reads exceptions",
            )
        }
        _ => return None,
    };
    Some(Exception { policy: name(judgement), text, warning })
}
