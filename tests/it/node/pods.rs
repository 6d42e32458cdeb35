//! Pods as a controller of old makes them: rendered from a Workflow that is there, so that nothing but the controller is missing.

use emissary_core::pod::Executor;
use emissary_core::workflow::{Controller, Given, Kind, Version, render};
use serde_json::{Value, json};
use test_cluster::BUSYBOX;

use super::OnNode;
use super::harness::{ARGOEXEC, Ran};
use crate::cluster::Namespace;

/// The executors that 3.3 has besides emissary. In a pod of 3.1 the template is an annotation, which ours does not read.
pub(super) const OLD: [Executor; 3] = [Executor::Docker, Executor::Kubelet, Executor::Pns];

/// A container of the node's busybox.
pub(super) fn shell(script: &str) -> Value {
    json!({"image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c"], "args": [script]})
}

/// A Workflow of one template, as the API server keeps it, and the pod that a controller makes of it.
pub(super) async fn made(namespace: &Namespace, name: &str, template: Value, executor: Executor) -> Value {
    let mut template = template;
    template["name"] = json!("main");
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [template]},
    });
    let workflow = namespace.create("argoproj.io/v1alpha1/workflows", &workflow).await.unwrap();
    let mut controller = Controller::new(Version::V33, executor);
    controller.executor_image = ARGOEXEC.to_owned();
    controller.executor_pull_policy = Some("Never".to_owned());
    controller.log_level = "debug".to_owned();
    let given = Given { process: &|_| None, yaml: &|_| None };
    let mut pods = render(&workflow, Kind::Workflow, &controller, &given);
    assert_eq!(pods.len(), 1, "{pods:?}");
    pods.remove(0).pod
}

impl OnNode {
    /// Runs a template under docker, as Argo 3.3 would, and the webhook then rewrites.
    pub(super) async fn run_template(&self, namespace: &Namespace, name: &str, template: Value) -> Ran {
        let pod = made(namespace, name, template, OLD[0]).await;
        self.run(namespace, &pod).await
    }

    /// What `wait` told of the only node of a Workflow.
    pub(super) async fn result(&self, namespace: &Namespace, ran: &Ran) -> Value {
        namespace.get("argoproj.io/v1alpha1/workflowtaskresults", ran.name()).await.unwrap()
    }
}
