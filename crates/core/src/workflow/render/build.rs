//! One pod, in the order in which the controller builds it: the order decides what is mirrored and what a patch can reach.

use super::controller::{Controller, Given, Version};
use super::location::archive_location;
use super::merge::merge;
use super::mounts::{Containers, shared_mount};
use super::note::Note;
use super::template::{Template, Type, list, members};
use crate::pod::Executor;
use crate::pod::edit_value::{append, members_mut};
use crate::pod::executor::is_for_windows;
use emissary_contract::{annotation, container, label, variable, volume};
use serde_json::{Map, Value, json};

/// The names that a pod is told. What only a run has is left as Argo's own variable.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) workflow: String,
    pub(super) workflow_uid: String,
    pub(super) namespace: Option<String>,
    pub(super) pod: String,
    /// The node's name and identifier.
    pub(super) node_name: String,
    pub(super) node: String,
    /// Whether a step or task behind it reads its output.
    pub(super) is_output_used: bool,
    /// Whether the pod is the exit handler.
    pub(super) is_exit: bool,
}

/// What a template without its own takes from the one whose step or task runs it.
const HANDED_DOWN: [&str; 3] = ["nodeSelector", "affinity", "tolerations"];

/// A pod under construction.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) controller: &'a Controller,
    pub(super) given: &'a Given<'a>,
    /// The Workflow's `spec`, with the controller's defaults below it.
    pub(super) spec: &'a Value,
    /// The templates whose steps or tasks run this one.
    callers: Vec<&'a Value>,
    pub(super) template: Template,
    /// The template as the executor gets it.
    pub(super) template_text: String,
    pub(super) names: Names,
    pub(super) notes: Vec<Note>,
}

impl<'a> Build<'a> {
    pub(super) fn new(
        controller: &'a Controller,
        given: &'a Given<'a>,
        spec: &'a Value,
        callers: Vec<&'a Value>,
        mut template: Template,
        names: Names,
    ) -> Self {
        let archives = spec["archiveLogs"].as_bool();
        if let Some(location) =
            archive_location(&template, controller.version, &controller.artifact_repository, archives)
        {
            template.0["archiveLocation"] = location;
        }
        let mut told = template.0.clone();
        if controller.version >= Version::V37 {
            // Parameters have been filled in by then, and only take room.
            let artifacts = &template.0["inputs"]["artifacts"];
            told["inputs"] = if artifacts.is_null() { json!({}) } else { json!({"artifacts": artifacts}) };
        }
        let template_text = told.to_string();
        Self { controller, given, spec, callers, template, template_text, names, notes: Vec::new() }
    }

    /// The pod that the controller sends.
    pub(super) fn pod(mut self) -> (Value, Vec<Note>) {
        let controller = self.controller;
        let version = controller.version;
        let members = list(&self.template.0["containerSet"]["containers"]);
        if !controller.is_emissary() && members.iter().any(|member| !list(&member["dependencies"]).is_empty()) {
            self.notes.push(Note::Refused("containers with dependencies need the emissary executor"));
        }
        let mut containers = Containers::default();
        if !self.template.runs_itself() || (version >= Version::V37 && self.saves_logs_of_resource()) {
            containers.regular.push(self.wait());
        }
        containers.regular.extend(self.mains());
        let default = containers.named(container::MAIN).map(|_| json!(container::MAIN));
        let default = default.or_else(|| containers.regular.last().and_then(|last| last.get("name").cloned()));
        if version >= Version::V35 || controller.is_emissary() || self.template.needs_init() {
            containers.init.push(self.init());
        }

        let mut volumes = self.volumes();
        if let Some(volume) = self.executor_token() {
            volumes.push(volume);
        }
        self.add_references(&mut volumes, &mut containers);
        self.add_artifacts(&mut volumes, &mut containers);
        self.add_staging(&mut volumes, &mut containers);
        let main = containers.named(container::MAIN).cloned();
        containers.init.extend(self.users("initContainers", main.as_ref()));
        containers.regular.extend(self.users("sidecars", main.as_ref()));
        self.mirror(&mut containers);

        let early = version == Version::V31 && controller.is_emissary();
        for init in &mut containers.init {
            if version >= Version::V33 || early {
                append(init, "volumeMounts", shared_mount());
            }
            self.tell(init, true);
        }
        for regular in &mut containers.regular {
            if early {
                self.wrap_and_share(regular);
            }
            self.tell(regular, false);
        }

        let mut spec = self.scheduling();
        spec.insert("volumes".to_owned(), Value::Array(volumes));
        if !containers.init.is_empty() {
            let init = containers.init.into_iter().map(Value::Object).collect();
            spec.insert("initContainers".to_owned(), Value::Array(init));
        }
        let regular = containers.regular.into_iter().map(Value::Object).collect();
        spec.insert("containers".to_owned(), Value::Array(regular));
        let mut spec = Value::Object(spec);
        self.patch(&mut spec);
        if version >= Version::V33 {
            self.finish(&mut spec);
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": self.metadata(default), "spec": spec});
        (pod, self.notes)
    }

    /// Applies the Workflow's `podSpecPatch`, then the template's.
    fn patch(&mut self, spec: &mut Value) {
        for (owner, patch) in
            [("the Workflow", &self.spec["podSpecPatch"]), ("the template", &self.template.0["podSpecPatch"])]
        {
            let Some(text) = patch.as_str().filter(|text| !text.trim().is_empty()) else { continue };
            let patch = serde_json::from_str(text).ok().or_else(|| (self.given.yaml)(text));
            match patch.filter(Value::is_object) {
                Some(patch) => merge(spec, &patch),
                None => self.notes.push(Note::Patch(owner)),
            }
        }
    }

    /// What comes behind the patch, and so reaches what the patch brought.
    fn finish(&mut self, spec: &mut Value) {
        let version = self.controller.version;
        let grace = spec["terminationGracePeriodSeconds"].as_i64();
        let Some(Value::Array(regular)) = members_mut(spec).and_then(|spec| spec.get_mut("containers")) else { return };
        for (index, container) in regular.iter_mut().enumerate() {
            let Some(container) = container.as_object_mut() else { continue };
            let is_wait = container.get("name").is_some_and(|name| name == container::WAIT);
            if self.controller.is_emissary() && !is_wait {
                self.wrap(container);
            }
            let is_executors = container.get("image").is_some_and(|image| *image == self.controller.executor_image);
            if version >= Version::V35 && is_executors {
                let tmp = json!({"name": volume::TMP, "mountPath": "/tmp", "subPath": index.to_string()});
                append(container, "volumeMounts", tmp);
            }
            append(container, "volumeMounts", shared_mount());
            if let Some(grace) = grace.filter(|_| is_wait || version >= Version::V37) {
                append(container, "env", json!({"name": variable::GRACE_PERIOD, "value": grace.to_string()}));
            }
        }
    }

    fn wrap_and_share(&mut self, container: &mut Map<String, Value>) {
        if container.get("name").is_none_or(|name| name != container::WAIT) {
            self.wrap(container);
        }
        append(container, "volumeMounts", shared_mount());
    }

    fn metadata(&self, default: Option<Value>) -> Value {
        let names = &self.names;
        let mut labels = Map::new();
        labels.insert(label::WORKFLOW.to_owned(), json!(names.workflow));
        labels.insert("workflows.argoproj.io/completed".to_owned(), json!("false"));
        if names.is_exit {
            labels.insert("workflows.argoproj.io/on-exit".to_owned(), json!("true"));
        }
        if !self.controller.instance_id.is_empty() {
            labels.insert("workflows.argoproj.io/controller-instanceid".to_owned(), json!(self.controller.instance_id));
        }
        let mut annotations = Map::new();
        annotations.insert("workflows.argoproj.io/node-name".to_owned(), json!(names.node_name));
        if self.controller.version == Version::V31 {
            annotations.insert(annotation::TEMPLATE.to_owned(), json!(self.template_text));
        } else {
            annotations.insert(annotation::NODE_ID.to_owned(), json!(names.node));
            annotations.extend(default.map(|default| (annotation::DEFAULT_CONTAINER.to_owned(), default)));
        }
        for metadata in [&self.spec["podMetadata"], &self.template.0["metadata"]] {
            labels.extend(members(&metadata["labels"]));
            annotations.extend(members(&metadata["annotations"]));
        }
        let owner = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": names.workflow,
            "uid": names.workflow_uid,
            "controller": true,
            "blockOwnerDeletion": true,
        });
        let mut metadata = json!({
            "name": names.pod,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
        });
        if let Some(namespace) = &names.namespace {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    }

    /// The pod's own fields: the template's, else the Workflow's.
    fn scheduling(&mut self) -> Map<String, Value> {
        let (spec, template) = (self.spec, &self.template.0);
        let version = self.controller.version;
        let mut fields = Map::new();
        fields.insert("restartPolicy".to_owned(), json!("Never"));
        if self.controller.executor == Executor::Pns {
            fields.insert("shareProcessNamespace".to_owned(), json!(true));
        }
        for field in ["imagePullSecrets", "hostNetwork", "dnsPolicy", "dnsConfig"] {
            put(&mut fields, field, &spec[field]);
        }
        // As the template and the Workflow call it, and the first version of which that holds, and the last.
        let any = (Version::V31, Version::V41);
        for (field, of_template, of_spec, (first, last)) in [
            ("nodeSelector", "nodeSelector", "nodeSelector", any),
            ("affinity", "affinity", "affinity", any),
            ("tolerations", "tolerations", "tolerations", any),
            ("schedulerName", "schedulerName", "schedulerName", any),
            ("priorityClassName", "priorityClassName", "podPriorityClassName", any),
            ("priority", "priority", "podPriority", (Version::V31, Version::V35)),
            ("securityContext", "securityContext", "securityContext", any),
            ("serviceAccountName", "serviceAccountName", "serviceAccountName", any),
            ("resources", "podResources", "podResources", (Version::V41, Version::V41)),
            ("resourceClaims", "resourceClaims", "resourceClaims", (Version::V41, Version::V41)),
        ] {
            if first <= version && version <= last {
                let own = Some(&template[of_template]).filter(|own| is_some(own));
                // From 3.6 on a step's template hands these down.
                let is_handed_down = own.is_none() && version >= Version::V37 && HANDED_DOWN.contains(&field);
                let handed = if is_handed_down { of_callers(&self.callers, field, &mut self.notes) } else { None };
                put(&mut fields, field, own.or(handed).unwrap_or(&spec[of_spec]));
            }
        }
        for alias in list(&spec["hostAliases"]).iter().chain(list(&template["hostAliases"])) {
            append(&mut fields, "hostAliases", alias.clone());
        }
        let automount = [template, spec].into_iter().find_map(|of| of["automountServiceAccountToken"].as_bool());
        if automount == Some(false) {
            fields.insert("automountServiceAccountToken".to_owned(), json!(false));
            if self.executor_account().is_none() {
                let why = "with automountServiceAccountToken false, executor.serviceAccountName is wanted";
                self.notes.push(Note::Refused(why));
            }
        }
        if let Some(seconds) = self.deadline() {
            fields.insert("activeDeadlineSeconds".to_owned(), json!(seconds));
        }
        fields
    }

    /// The sooner of the template's deadline and the Workflow's, which the exit handler outlives.
    fn deadline(&self) -> Option<u64> {
        let seconds = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let pauses = |name: &Value| name == "ARGO_DEBUG_PAUSE_BEFORE" || name == "ARGO_DEBUG_PAUSE_AFTER";
        let mains = ["container", "script"].into_iter().map(|field| &self.template.0[field]);
        let mut env = mains.chain(list(&self.template.0["containerSet"]["containers"])).flat_map(|c| list(&c["env"]));
        if self.controller.version >= Version::V33 && env.any(|variable| pauses(&variable["name"])) {
            return None;
        }
        let of_workflow = seconds(&self.spec["activeDeadlineSeconds"]).filter(|_| !self.names.is_exit);
        [seconds(&self.template.0["activeDeadlineSeconds"]), of_workflow].into_iter().flatten().min()
    }

    fn saves_logs_of_resource(&self) -> bool {
        self.template.of() == Type::Resource && self.template.0["archiveLocation"]["archiveLogs"] == true
    }

    /// The service account that Argo's own containers run as, where it is not the pod's.
    pub(super) fn executor_account(&self) -> Option<&str> {
        let accounts = [&self.template.0, self.spec].map(|of| of["executor"]["serviceAccountName"].as_str());
        accounts.into_iter().flatten().find(|account| !account.is_empty())
    }

    fn executor_token(&mut self) -> Option<Value> {
        let account = self.executor_account()?.to_owned();
        self.notes.push(Note::Token(account.clone()));
        let secret = json!({"secretName": format!("{account}.service-account-token")});
        Some(json!({"name": volume::EXECUTOR_TOKEN, "secret": secret}))
    }

    pub(super) fn windows(&self) -> bool {
        is_for_windows(&self.template.0)
    }
}

/// A field of the templates that run this one, where they have the same; told where they have not.
fn of_callers<'c>(callers: &[&'c Value], field: &'static str, notes: &mut Vec<Note>) -> Option<&'c Value> {
    let first = &callers.first()?[field];
    if callers.iter().all(|caller| caller[field] == *first) {
        return Some(first).filter(|first| is_some(first));
    }
    notes.push(Note::Callers(field));
    None
}

fn put(fields: &mut Map<String, Value>, field: &str, value: &Value) {
    if is_some(value) {
        fields.insert(field.to_owned(), value.clone());
    }
}

/// Whether a field says something: the controller's encoder leaves out what is empty, but for an empty object that stands
/// where a structure may be absent.
fn is_some(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}
