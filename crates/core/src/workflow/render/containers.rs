//! The containers of a pod before anything is mounted: Argo's own, and the user's as the controller takes them over.

use super::build::Build;
use super::controller::Version;
use super::merge::{merge, overlay};
use super::note::Note;
use super::template::{Type, list, members};
use crate::pod::Executor;
use crate::pod::edit_value::append;
use crate::pod::executor::{docker, kubelet, pns};
use emissary_contract::{PROGRAM, USER, container, path, variable, verb, volume};
use serde_json::{Map, Value, json};

const SCRIPT: &str = "/argo/staging/script";

impl Build<'_> {
    /// A container that runs `argoexec VERB`.
    pub(super) fn argos(&self, name: &str, command: Vec<String>) -> Map<String, Value> {
        let controller = self.controller;
        let configured = &controller.executor_container;
        let version = controller.version;
        let mut made = Map::new();
        made.insert("name".to_owned(), json!(name));
        made.insert("image".to_owned(), json!(controller.executor_image));
        made.insert("command".to_owned(), json!(command));
        if let Some(policy) = &controller.executor_pull_policy {
            made.insert("imagePullPolicy".to_owned(), json!(policy));
        }
        made.insert("env".to_owned(), Value::Array(self.argos_environment()));
        let resources = &configured["resources"];
        // 3.1 asks for limits, and takes nothing where there are none.
        if resources.is_object() && (version > Version::V31 || has_limits(configured)) {
            made.insert("resources".to_owned(), resources.clone());
        }
        if let Some(context) = self.argos_security_context(name) {
            made.insert("securityContext".to_owned(), context);
        }
        // 3.3 left them out.
        let mut args = if version == Version::V33 { Vec::new() } else { list(&configured["args"]).to_vec() };
        if version == Version::V31 {
            append(&mut made, "volumeMounts", json!({"name": "podmetadata", "mountPath": path::POD_METADATA}));
        }
        if let Some((_, path, mount)) = self.kube_config() {
            append(&mut made, "volumeMounts", mount);
            args.push(json!(format!("--kubeconfig={path}")));
        }
        if self.executor_account().is_some() {
            let token = json!({"name": volume::EXECUTOR_TOKEN, "mountPath": path::SERVICE_ACCOUNT, "readOnly": true});
            append(&mut made, "volumeMounts", token);
        }
        if !args.is_empty() {
            made.insert("args".to_owned(), Value::Array(args));
        }
        made
    }

    fn argos_security_context(&self, name: &str) -> Option<Value> {
        let configured = &self.controller.executor_container["securityContext"];
        if !configured.is_null() {
            return Some(configured.clone());
        }
        let version = self.controller.version;
        if version < Version::V35 || self.template.of() != Type::Resource {
            return None;
        }
        // What creates objects is locked down unless the operator says otherwise.
        let mut context = json!({
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": true,
            "runAsUser": USER,
            "allowPrivilegeEscalation": false,
        });
        if version >= Version::V37 {
            context["privileged"] = json!(false);
            context["seccompProfile"] = json!({"type": "RuntimeDefault"});
        }
        if name != container::INIT && name != container::WAIT {
            context["readOnlyRootFilesystem"] = json!(true);
        }
        Some(context)
    }

    fn argos_environment(&self) -> Vec<Value> {
        let controller = self.controller;
        let version = controller.version;
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
        let mut env = vec![field(variable::POD_NAME, "metadata.name")];
        if version >= Version::V33 {
            env.push(field(variable::POD_UID, "metadata.uid"));
        }
        if version <= Version::V33 {
            env.push(json!({"name": variable::EXECUTOR, "value": controller.executor.name()}));
        }
        if version <= Version::V35 {
            env.push(json!({"name": "GODEBUG", "value": "x509ignoreCN=0"}));
        }
        if version >= Version::V33 {
            env.push(json!({"name": variable::WORKFLOW_NAME, "value": self.names.workflow}));
        }
        if version >= Version::V35 {
            env.push(json!({"name": variable::WORKFLOW_UID, "value": self.names.workflow_uid}));
        }
        if version >= Version::V33 && !controller.instance_id.is_empty() {
            // 3.3 writes it three times.
            let times = if version == Version::V33 { 3 } else { 1 };
            let id = json!({"name": "ARGO_INSTANCE_ID", "value": controller.instance_id});
            env.extend(std::iter::repeat_n(id, times));
        }
        env.extend(list(&controller.executor_container["env"]).iter().cloned());
        if controller.executor == Executor::Kubelet {
            env.extend(kubelet::variables(&controller.settings));
        }
        env
    }

    /// `wait`, with what the executor puts on it.
    pub(super) fn wait(&self) -> Map<String, Value> {
        let mut command = vec![PROGRAM.to_owned(), verb::WAIT.to_owned()];
        command.extend(self.controller.log_flags());
        let mut wait = self.argos(container::WAIT, command);
        match self.controller.executor {
            Executor::Docker => append(&mut wait, "volumeMounts", docker::mount(self.windows())),
            Executor::Pns => {
                let context = pns::security_context(&self.template.0, self.controller.settings.pns_privileged);
                wait.insert("securityContext".to_owned(), context);
            }
            Executor::Kubelet | Executor::K8sApi | Executor::Emissary => {}
        }
        if self.controller.version >= Version::V41 {
            // The names of output plugins' sidecars.
            append(&mut wait, "env", json!({"name": "ARGO_ARTIFACT_PLUGIN_NAMES", "value": ""}));
        }
        wait
    }

    pub(super) fn init(&self) -> Map<String, Value> {
        let mut command = vec![PROGRAM.to_owned(), verb::INIT.to_owned()];
        command.extend(self.controller.log_flags());
        self.argos(container::INIT, command)
    }

    /// What the template runs.
    pub(super) fn mains(&self) -> Vec<Map<String, Value>> {
        let template = &self.template.0;
        let mut mains = match self.template.of() {
            Type::Container => vec![members(&template["container"])],
            Type::Script => vec![self.script(&template["script"])],
            Type::ContainerSet => {
                list(&template["containerSet"]["containers"]).iter().map(|c| self.member(c)).collect()
            }
            Type::Resource => {
                let action = template["resource"]["action"].as_str().unwrap_or_default();
                vec![self.task("resource", action.to_owned())]
            }
            Type::Data => vec![self.task("data", template["data"].to_string())],
        };
        for main in &mut mains {
            let is_member = self.template.of() == Type::ContainerSet;
            if !is_member || main.get("name").is_none_or(|name| name == "") {
                main.insert("name".to_owned(), json!(container::MAIN));
            }
            self.configure(main);
        }
        mains
    }

    fn script(&self, script: &Value) -> Map<String, Value> {
        let mut main = members(script);
        let has_source = main.remove("source").is_some_and(|source| source != "");
        if has_source || self.controller.version == Version::V31 {
            append(&mut main, "args", json!(SCRIPT));
        }
        main
    }

    /// A member of a container set: also with the mounts that all of them share.
    fn member(&self, member: &Value) -> Map<String, Value> {
        let mut main = members(member);
        main.remove("dependencies");
        for mount in self.template.mounts() {
            append(&mut main, "volumeMounts", mount.clone());
        }
        main
    }

    fn task(&self, verb: &str, argument: String) -> Map<String, Value> {
        let mut command = vec![PROGRAM.to_owned(), verb.to_owned(), argument];
        if self.controller.version >= Version::V37 {
            command.extend(self.controller.log_flags());
        }
        self.argos(container::MAIN, command)
    }

    /// Merges `mainContainer` of the controller's configuration below a main container.
    fn configure(&self, main: &mut Map<String, Value>) {
        let configured = &self.controller.main_container;
        if !configured.is_object() {
            return;
        }
        match self.controller.version {
            // Resources only, and over the template's, unless a script brings limits of its own.
            Version::V31 => {
                let own = match self.template.of() {
                    Type::Script => has_limits(&self.template.0["script"]),
                    Type::Container => {
                        let own = &self.template.0["container"];
                        has_limits(own) && own["name"] == container::MAIN
                    }
                    _ => false,
                };
                if has_limits(configured) && !own {
                    main.insert("resources".to_owned(), configured["resources"].clone());
                }
            }
            Version::V33 => {
                let mut merged = configured.clone();
                overlay(&mut merged, &Value::Object(std::mem::take(main)));
                *main = members(&merged);
            }
            Version::V35 | Version::V37 | Version::V41 => {
                let mut merged = configured.clone();
                merge(&mut merged, &Value::Object(std::mem::take(main)));
                *main = members(&merged);
            }
        }
    }

    /// The user's init containers or sidecars, with main's mounts where they ask for them.
    pub(super) fn users(&self, field: &str, main: Option<&Map<String, Value>>) -> Vec<Map<String, Value>> {
        let mounts = main.and_then(|main| main.get("volumeMounts")).map(list).unwrap_or_default();
        let containers = list(&self.template.0[field]).iter().map(|declared| {
            let mut made = members(declared);
            let mirrors = made.remove("mirrorVolumeMounts").is_some_and(|mirrors| mirrors == true);
            for mount in mounts.iter().filter(|_| mirrors) {
                append(&mut made, "volumeMounts", mount.clone());
            }
            made
        });
        containers.collect()
    }

    /// Gives a container the variables that every container has, or every init container.
    pub(super) fn tell(&self, container: &mut Map<String, Value>, is_init: bool) {
        let version = self.controller.version;
        let name = container.get("name").cloned().unwrap_or_default();
        let mut put = |name: &str, value: Value| append(container, "env", json!({"name": name, "value": value}));
        put(variable::CONTAINER_NAME, name);
        let output = if self.names.is_output_used { "true" } else { "false" };
        if version == Version::V31 {
            return put(variable::INCLUDE_SCRIPT_OUTPUT, json!(output));
        }
        if is_init || version <= Version::V35 {
            put(variable::TEMPLATE, json!(self.template_text));
        }
        put(variable::NODE_ID, json!(self.names.node));
        put(variable::INCLUDE_SCRIPT_OUTPUT, json!(output));
        put(variable::DEADLINE, json!(emissary_contract::NO_DEADLINE));
        if version >= Version::V41 {
            put(variable::WORKFLOW_NAME, json!(self.names.workflow));
        }
        put(variable::PROGRESS_FILE, json!(path::PROGRESS));
        put(variable::PROGRESS_PATCH_TICK, json!("1m0s"));
        put(variable::PROGRESS_FILE_TICK, json!("3s"));
    }

    /// Wraps a command for emissary, the image's where the container has none.
    pub(super) fn wrap(&mut self, container: &mut Map<String, Value>) {
        let is_empty = |words: Option<&Value>| words.is_none_or(|words| list(words).is_empty());
        if is_empty(container.get("command")) {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            match (self.given.process)(image) {
                Some(process) => {
                    container.insert("command".to_owned(), json!(process.entrypoint));
                    if is_empty(container.get("args")) && !process.cmd.is_empty() {
                        container.insert("args".to_owned(), json!(process.cmd));
                    }
                }
                None => {
                    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                    self.notes.push(Note::Command { container: name, image: image.to_owned() });
                }
            }
        }
        let mut words = vec![json!(path::EXECUTOR), json!(verb::EMISSARY)];
        if self.controller.version >= Version::V35 {
            words.extend(self.controller.log_flags().into_iter().map(Value::from));
        }
        words.push(json!("--"));
        words.extend(container.get("command").map(list).unwrap_or_default().iter().cloned());
        container.insert("command".to_owned(), Value::Array(words));
    }
}

fn has_limits(container: &Value) -> bool {
    container["resources"]["limits"].as_object().is_some_and(|limits| !limits.is_empty())
}
