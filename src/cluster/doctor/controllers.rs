//! What Argo's workflow controllers are configured with, as far as the webhook goes by it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use super::registrations::count;
use super::{Check, Doctor, Finding, list_by, maps};
use crate::settings::{Configured, ObjectName, Role, WorkflowLabels, counting_fields, is_one_key};

/// What Argo's own manifests call it.
const USUAL: &str = "workflow-controller-configmap";

impl Doctor {
    pub(super) async fn controllers(&self) -> Finding {
        let all: Vec<Configured<'_>> = self.snapshot.controllers().collect();
        let mut finding = match all.len() {
            0 => {
                Finding::ok(Check::Controllers.name(), "the settings name none, so their ConfigMaps count for nothing")
            }
            number => Finding::ok(
                Check::Controllers.name(),
                format!(
                    "{} known by the settings",
                    count(number, "workflow controller is", "workflow controllers are")
                ),
            ),
        };
        let of_controllers = |role: Role| role == Role::Controller;
        let may_read_all = self.unread(&mut finding, of_controllers) == 0;
        for one in &all {
            let object = named(one);
            let Some(map) = self.maps.there.get(&(Role::Controller, object.clone())) else {
                if may_read_all {
                    finding.warn(
                        format!("there is no ConfigMap {object}: of that controller nothing is known"),
                        "correct namespace and configMap under controllers of the settings",
                    );
                }
                continue;
            };
            finding.details.push(described(one, &object, is_one_key(map)));
        }
        self.blame(&mut finding, of_controllers);
        for (place, one) in all.iter().enumerate() {
            for (other, _) in all.iter().enumerate().skip(place + 1).filter(|(_, other)| one.overlaps(other)) {
                finding.fail(
                    format!(
                        "controllers[{place}] and controllers[{other}] both have the instance ID {:?} and namespaces in \
                         common: what belongs to both goes by neither",
                        one.instance_id
                    ),
                    "give each another instanceID, or managedNamespaces that exclude each other",
                );
            }
        }
        if self.snapshot.depends_on_workflow_labels()
            && self.snapshot.settings.cluster.workflow_labels == WorkflowLabels::Never
        {
            finding.warn(
                "containerRuntimeExecutors select by labels of Workflows, which cluster.workflowLabels: never leaves unknown",
                "take cluster.workflowLabels out of the settings",
            );
        }
        self.left_out(&all, &mut finding).await;
        finding
    }

    /// ConfigMaps of controllers that the settings do not name, where we may look for them.
    async fn left_out(&self, all: &[Configured<'_>], finding: &mut Finding) {
        let api: Api<ConfigMap> = Api::all(self.client.clone());
        let Ok(found) = list_by(&api, ListParams::default().fields(&format!("metadata.name={USUAL}"))).await else {
            return;
        };
        for (object, map) in found.into_iter().map(maps::read) {
            let fields = counting_fields(&object, &map);
            if fields.is_empty() || all.iter().any(|one| named(one) == object) {
                continue;
            }
            let (fields, namespace) = (fields.join(", "), &object.namespace);
            finding.warn(
                format!(
                    "ConfigMap {object} says {fields}, and is named by no entry of controllers: that counts for nothing"
                ),
                format!("add {{namespace: {namespace}}} to controllers, of the settings or of the chart"),
            );
        }
    }
}

fn named(one: &Configured<'_>) -> ObjectName {
    ObjectName { namespace: one.controller.namespace.clone(), name: one.controller.config_map.clone() }
}

/// A controller in one line.
fn described(one: &Configured<'_>, object: &ObjectName, is_one_key: bool) -> String {
    let Configured { controller: _, instance_id, images, pod } = one;
    let encoding = if is_one_key { "one key" } else { "a key for each field" };
    let instance = match *instance_id {
        "" => "no instance ID".to_owned(),
        instance => format!("instance ID {instance}"),
    };
    let choice = &pod.executors.choice;
    let by_labels = if choice.depends_on_labels() { ", or another by labels of the Workflow" } else { "" };
    format!(
        "ConfigMap {object} ({encoding}): {instance}, {}, executor image {}, pods for {}{by_labels}",
        count(*images, "image", "images"),
        pod.executor.image,
        choice.choose(Some(&[])),
    )
}
