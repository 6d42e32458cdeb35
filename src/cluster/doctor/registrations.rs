use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, RuleWithOperations};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};

use super::selector::selects;
use super::{Check, Doctor, Finding, list};
use crate::cluster::LABEL;
use emissary_core::names;

/// The label that every namespace has, with its name (Kubernetes 1.21).
const NAME: &str = "kubernetes.io/metadata.name";

/// Where we answer.
const PATH: &str = "/mutate";

/// Names that are written out, before only their number is told.
const NAMED: usize = 8;

impl Doctor {
    pub(super) fn registration(&self) -> Finding {
        let check = Check::Registration.name();
        let names = self.options.installation.registrations.join(", ");
        let ours: Vec<_> = self.ours().collect();
        if ours.is_empty() && self.unseen.is_some() {
            return self.without_entry(Check::Registration);
        }
        if ours.is_empty() {
            let mut finding = Finding::ok(check, "");
            finding.fail(
                format!("there is no MutatingWebhookConfiguration {names}: nothing is sent to the webhook"),
                "kubectl apply -k webhook, or helm upgrade --install",
            );
            return finding;
        }
        let entries: Vec<_> = self.entries().collect();
        let mut finding = Finding::ok(check, format!("{names}: {} of ours", count(entries.len(), "entry", "entries")));
        if entries.is_empty() {
            let service = &self.options.installation.service;
            finding.fail(
                format!("no entry of {names} calls the Service {}/{}", service.namespace, service.name),
                "set clientConfig.service of its entries, or server.selfManaged.service and namespace to what they name",
            );
        }
        for (registration, place, entry) in &entries {
            finding.details.push(format!("{}: {}", entry.name, described(entry)));
            for (what, mend) in faults(entry) {
                finding.fail(format!("{}: {what}", entry.name), patch(registration, *place, mend));
            }
            if entry.rules.iter().flatten().any(sees_status) {
                finding.warn(
                    format!("{}: every status update of a Workflow is sent to the webhook", entry.name),
                    format!("take UPDATE of workflows out of the rules of {} in {registration}", entry.name),
                );
            }
        }
        let strange = self.registrations.iter().filter(|registration| {
            let named = self.options.installation.registrations.contains(&registration.name_any());
            !named && registration.labels().get(LABEL.0).map(String::as_str) == Some(LABEL.1)
        });
        for registration in strange {
            let name = registration.name_any();
            finding.warn(
                format!("{name} bears our label, but is none of ours by name: its caBundle is not kept"),
                format!("add {name} to server.selfManaged.registrations, or kubectl delete mutatingwebhookconfiguration {name}"),
            );
        }
        finding
    }

    pub(super) async fn selectors(&self) -> Finding {
        let check = Check::Selectors.name();
        let entries: Vec<_> = self.entries().collect();
        if entries.is_empty() {
            return self.without_entry(Check::Selectors);
        }
        let mut finding = Finding::ok(check, "kube-system and the webhook's own namespace are left out");
        for namespace in ["kube-system", self.namespace()] {
            let labels = BTreeMap::from([(NAME.to_owned(), namespace.to_owned())]);
            for (registration, _, entry) in &entries {
                if selects(entry.namespace_selector.as_ref(), &labels) {
                    let what = format!("{} covers {namespace}: an outage here may keep it from starting", entry.name);
                    let expression = format!("{{key: {NAME}, operator: NotIn, values: [{namespace}]}}");
                    let mend = format!("add {expression} to namespaceSelector.matchExpressions of {registration}");
                    if entry.failure_policy.as_deref() == Some("Ignore") {
                        finding.warn(what, mend);
                    } else {
                        finding.fail(what, mend);
                    }
                }
            }
        }
        let namespaces = match list(&Api::<Namespace>::all(self.client.clone())).await {
            Ok(namespaces) => namespaces,
            Err(why) => return finding.with(format!("which namespaces are covered is not known: {why}")),
        };
        for (_, _, entry) in &entries {
            let covered: Vec<String> = namespaces
                .iter()
                .filter(|namespace| selects(entry.namespace_selector.as_ref(), namespace.labels()))
                .map(|namespace| namespace.name_any())
                .collect();
            if covered.is_empty() {
                finding.warn(
                    format!("{} covers no namespace", entry.name),
                    "label a namespace as its namespaceSelector wants, or change the selector",
                );
            } else {
                let number = format!("{} of {}", covered.len(), count(namespaces.len(), "namespace", "namespaces"));
                finding.details.push(format!("{}: {number} ({})", entry.name, some(&covered)));
            }
        }
        for mode in ["enforce", "dry-run", "off"] {
            let labelled =
                namespaces.iter().filter(|one| one.labels().get(names::MODE).map(String::as_str) == Some(mode));
            let labelled: Vec<String> = labelled.map(|namespace| namespace.name_any()).collect();
            if !labelled.is_empty() {
                finding.details.push(format!("by label {mode}: {}", some(&labelled)));
            }
        }
        finding.with(format!("elsewhere: {}", self.snapshot.settings.mode.name()))
    }

    pub(super) fn order(&self) -> Finding {
        let check = Check::Order.name();
        let Some(first) = self.ours().map(|registration| registration.name_any()).next() else {
            return self.without_entry(Check::Order);
        };
        if !self.all_seen {
            return Finding::skipped(check, "other MutatingWebhookConfigurations may not be listed");
        }
        let others: Vec<(String, &MutatingWebhook)> = self
            .registrations
            .iter()
            .filter(|registration| !self.options.installation.registrations.contains(&registration.name_any()))
            .flat_map(|other| other.webhooks.iter().flatten().map(move |entry| (other.name_any(), entry)))
            .filter(|(_, entry)| entry.rules.iter().flatten().any(sees_pods))
            .collect();
        let (before, after): (Vec<_>, Vec<_>) = others.into_iter().partition(|(name, _)| *name < first);
        let mut finding = Finding::ok(
            check,
            match before.len() + after.len() {
                0 => "no other webhook changes pods".to_owned(),
                _ => format!("{} before us and {} after us change pods", before.len(), after.len()),
            },
        );
        for (word, group) in [("before", &before), ("after", &after)] {
            let lines = group.iter().map(|(name, entry)| format!("{word}: {} ({name})", entry.name));
            finding.details.extend(lines);
        }
        if !after.is_empty() {
            for (registration, place, entry) in self.entries() {
                if entry.reinvocation_policy.as_deref() != Some("IfNeeded") {
                    finding.warn(
                        format!("{} is not asked again after others have added containers", entry.name),
                        patch(&registration, place, ("reinvocationPolicy", "IfNeeded")),
                    );
                }
            }
        }
        finding
    }
}

/// What of an entry cannot work, and the field and value that mend it.
fn faults(entry: &MutatingWebhook) -> Vec<(String, (&'static str, &'static str))> {
    let mut faults = Vec::new();
    if !matches!(entry.side_effects.as_str(), "None" | "NoneOnDryRun") {
        let what = format!("sideEffects is {}, so that every dry run fails", entry.side_effects);
        faults.push((what, ("sideEffects", "None")));
    }
    if !entry.admission_review_versions.iter().any(|version| version == "v1") {
        faults.push(("admissionReviewVersions lacks v1".to_owned(), ("admissionReviewVersions/0", "v1")));
    }
    let path = entry.client_config.service.as_ref().map(|service| service.path.as_deref().unwrap_or("/"));
    if path.is_some_and(|path| path != PATH) {
        faults.push((format!("it does not call {PATH}"), ("clientConfig/service/path", PATH)));
    }
    faults
}

/// An entry in one line.
fn described(entry: &MutatingWebhook) -> String {
    let rules = entry.rules.iter().flatten().map(|rule| {
        let operations = rule.operations.as_deref().unwrap_or_default().join(" ");
        format!("{operations} {}", rule.resources.as_deref().unwrap_or_default().join(" "))
    });
    let rules: Vec<String> = rules.collect();
    format!(
        "{}; failurePolicy {}, reinvocationPolicy {}, {} s, {}",
        rules.join(", "),
        entry.failure_policy.as_deref().unwrap_or("Fail"),
        entry.reinvocation_policy.as_deref().unwrap_or("Never"),
        entry.timeout_seconds.unwrap_or(10),
        count(entry.match_conditions.iter().flatten().count(), "match condition", "match conditions"),
    )
}

fn has(values: &Option<Vec<String>>, wanted: &[&str]) -> bool {
    values.iter().flatten().any(|value| wanted.contains(&value.as_str()))
}

fn sees_pods(rule: &RuleWithOperations) -> bool {
    has(&rule.api_groups, &["", "*"])
        && has(&rule.operations, &["CREATE", "*"])
        && has(&rule.resources, &["pods", "*", "*/*"])
}

/// Argo's controller writes a Workflow's status by updating the Workflow.
fn sees_status(rule: &RuleWithOperations) -> bool {
    has(&rule.api_groups, &["argoproj.io", "*"])
        && has(&rule.operations, &["UPDATE", "*"])
        && has(&rule.resources, &["workflows", "workflows/status", "*", "*/*"])
}

/// The command that sets one field of an entry.
fn patch(registration: &str, place: usize, (field, value): (&str, &str)) -> String {
    format!(
        "kubectl patch mutatingwebhookconfiguration {registration} --type=json \
         -p '[{{\"op\":\"add\",\"path\":\"/webhooks/{place}/{field}\",\"value\":\"{value}\"}}]'"
    )
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first names, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
