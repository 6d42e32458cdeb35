//! Which pull secrets an object names, by itself or through ServiceAccounts.

use crate::mutation::{Kind, Subject};
use emissary_core::workflow;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Names of pull secrets, and of ServiceAccounts whose pull secrets count too.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) secrets: Vec<String>,
    pub(super) accounts: Vec<String>,
}

/// What Kubernetes takes where none is named.
const DEFAULT_ACCOUNT: &str = "default";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    image_pull_secrets: Option<Vec<Name>>,
    service_account_name: Option<String>,
    templates: Option<Vec<Template>>,
    template_defaults: Option<Template>,
    workflow_spec: Option<Box<Spec>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Template {
    service_account_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Name {
    #[serde(default)]
    name: Option<String>,
}

impl Named {
    /// Of a pod: its own alone, among which the API server has put its ServiceAccount's already. Of a workflow kind: the
    /// spec's, and those of every ServiceAccount that a pod of it may get. What cannot be read names none: the mutation
    /// says what is wrong with it.
    pub(super) fn by(subject: &Subject<'_>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fields {
            spec: Option<Spec>,
        }
        // Most pods name none, and need not be read for it.
        if subject.kind == Kind::Pod && !subject.object.contains("imagePullSecrets") {
            return Self::default();
        }
        let Fields { spec } = serde_json::from_str(subject.object).unwrap_or_default();
        let spec = spec.unwrap_or_default();
        match subject.kind {
            Kind::Other | Kind::Workflow(workflow::Kind::ClusterWorkflowTemplate) => Self::default(),
            Kind::Pod => Self { secrets: names(spec.image_pull_secrets), accounts: Vec::new() },
            Kind::Workflow(workflow::Kind::CronWorkflow) => Self::of_workflow(spec.workflow_spec.map(|spec| *spec)),
            Kind::Workflow(_) => Self::of_workflow(Some(spec)),
        }
    }

    fn of_workflow(spec: Option<Spec>) -> Self {
        let Spec { image_pull_secrets, service_account_name, templates, template_defaults, workflow_spec: _ } =
            spec.unwrap_or_default();
        let of_templates = templates.into_iter().flatten().chain(template_defaults);
        let own = of_templates.filter_map(|template| template.service_account_name);
        let accounts: BTreeSet<String> = own
            .chain([service_account_name.unwrap_or_default()])
            .map(|name| if name.is_empty() { DEFAULT_ACCOUNT.to_owned() } else { name })
            .collect();
        Self { secrets: names(image_pull_secrets), accounts: accounts.into_iter().collect() }
    }
}

fn names(list: Option<Vec<Name>>) -> Vec<String> {
    list.into_iter().flatten().filter_map(|secret| secret.name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn secrets_and_accounts_by_kind() {
        let secrets = json!([{"name": "s"}, {"name": ""}, {}]);
        let templates = json!([{"serviceAccountName": "b"}, {"name": "x"}, {"serviceAccountName": "a"}]);
        let spec = json!({"imagePullSecrets": secrets, "serviceAccountName": "c", "templates": templates});
        let table: [(Kind, Value, &[&str], &[&str]); 9] = [
            (Kind::Pod, json!({"spec": {"imagePullSecrets": secrets, "serviceAccountName": "c"}}), &["s"], &[]),
            (Kind::Pod, json!({"spec": {"containers": []}}), &[], &[]),
            (Kind::Pod, json!({"spec": {"imagePullSecrets": null}}), &[], &[]),
            (Kind::Pod, json!({"spec": {"imagePullSecrets": 7}}), &[], &[]),
            (Kind::Workflow(workflow::Kind::Workflow), json!({"spec": spec}), &["s"], &["a", "b", "c"]),
            (Kind::Workflow(workflow::Kind::WorkflowTemplate), json!({"spec": {}}), &[], &["default"]),
            (
                Kind::Workflow(workflow::Kind::CronWorkflow),
                json!({"spec": {"workflowSpec": spec}}),
                &["s"],
                &["a", "b", "c"],
            ),
            (Kind::Workflow(workflow::Kind::ClusterWorkflowTemplate), json!({"spec": spec}), &[], &[]),
            (Kind::Other, json!({"spec": spec}), &[], &[]),
        ];
        for (kind, object, secrets, accounts) in table {
            let text = object.to_string();
            let subject = Subject {
                kind,
                operation: "CREATE",
                sub_resource: None,
                name: None,
                namespace: Some("n"),
                object: &text,
                old_object: None,
            };
            let Named { secrets: found, accounts: of } = Named::by(&subject);
            assert_eq!(
                (found, of),
                (secrets.iter().map(|s| (*s).to_owned()).collect(), accounts.iter().map(|s| (*s).to_owned()).collect()),
                "{text}"
            );
        }
    }
}
