//! A pod that nothing of Argo's has touched: everything is injected, in the layout of Argo 4.1.

use super::context::Context;
use super::draft::{Draft, Place, shared_mount};
use super::executor::emissary::{copy_mount, inject_init, log_flags};
use super::options::{Layout, Options};
use super::profile::Hardening;
use super::view::{Container, Pod};
use crate::outcome::{Problem, Warning};
use emissary_contract::{
    MAX_VARIABLE, NO_DEADLINE, PROGRAM, annotation, container, label, path, variable, verb, volume,
};
use serde_json::{Map, Value, json};

/// Whether the init-less layout is asked for.
pub(super) fn is_supervised(options: &Options) -> bool {
    options.layout == Layout::Supervisor
}

/// What stands before a wrapped command.
pub(super) fn prefix(options: &Options) -> Vec<String> {
    let program = if is_supervised(options) { path::EXECUTOR_IN_IMAGE } else { path::EXECUTOR };
    let mut words = vec![program.to_owned(), verb::EMISSARY.to_owned()];
    words.extend(log_flags(options));
    words.push("--".to_owned());
    words
}

/// Injects all of Argo's containers, volumes, mounts, variables and annotations.
pub(super) fn build(
    pod: &Pod<'_>,
    context: &Context<'_>,
    options: &Options,
    hardening: &Hardening<'_, '_>,
    wrapped: &[usize],
    draft: &mut Draft,
) {
    let policy = pod.spec.restart_policy.as_deref().unwrap_or("Always");
    if policy != "Never" {
        draft.problems.push(Problem::RestartPolicy(policy.to_owned()));
    }
    for taken in &pod.spec.containers {
        if [container::WAIT, container::SUPERVISOR].contains(&taken.name.as_str()) {
            draft.problems.push(Problem::ContainerName(taken.name.to_string()));
        }
    }
    // A name is unique among regular and init containers together (Kubernetes API, `Container.name`).
    let injected = if is_supervised(options) { container::SUPERVISOR } else { container::WAIT };
    if pod.spec.init_containers().iter().any(|taken| taken.name == injected) {
        draft.problems.push(Problem::ContainerName(injected.to_owned()));
    }
    let bare = Bare { pod, context, options, hardening };
    let template = bare.template(wrapped);
    bare.check_length(&template, draft);
    draft.empty_dir(pod, volume::SHARED);
    draft.empty_dir(pod, volume::TMP);
    if is_supervised(options) {
        bare.supervised(&template, wrapped, draft);
    } else {
        inject_init(pod, options, bare.init(&template), draft);
        let wait = bare.wait(draft);
        draft.regular.insert(0, wait);
        for index in wrapped {
            bare.prepare(*index, false, draft);
        }
    }
    if pod.metadata().annotation(annotation::DEFAULT_CONTAINER).is_none() {
        bare.default_container(wrapped, draft);
    }
}

struct Bare<'p, 'a> {
    pod: &'p Pod<'a>,
    context: &'p Context<'p>,
    options: &'p Options,
    hardening: &'p Hardening<'p, 'a>,
}

impl<'p, 'a> Bare<'p, 'a> {
    /// A template that says of the pod what the executor asks: which containers it must wait for.
    ///
    /// One container called main is a container template. Anything else is a container set, since all of a pod's
    /// containers must end, and sidecars would be killed when main does.
    fn template(&self, wrapped: &[usize]) -> String {
        let containers: Vec<&Container<'_>> = wrapped.iter().map(|index| &self.pod.spec.containers[*index]).collect();
        let describe = |c: &Container<'_>, name: &str| json!({"name": name, "image": c.image.as_deref().unwrap_or_default(), "resources": {}});
        let mut template = json!({"name": self.name(), "inputs": {}, "outputs": {}, "metadata": {}});
        match containers.as_slice() {
            [main] if main.name == container::MAIN => template["container"] = describe(main, ""),
            all => {
                let members: Vec<Value> = all.iter().map(|c| describe(c, &c.name)).collect();
                template["containerSet"] = json!({"containers": members});
            }
        }
        template.to_string()
    }

    fn check_length(&self, template: &str, draft: &mut Draft) {
        let bytes = variable::TEMPLATE.len() + template.len() + 2;
        if bytes > MAX_VARIABLE {
            draft.problems.push(Problem::VariableSize {
                container: container::INIT.to_owned(),
                variable: variable::TEMPLATE.to_owned(),
                bytes,
                limit: MAX_VARIABLE,
            });
        }
    }

    /// The pod's name, or what is known of it.
    fn name(&self) -> &str {
        let metadata = self.pod.metadata();
        let own = metadata.name.as_deref().filter(|name| !name.is_empty());
        own.or(self.context.name).or(metadata.generate_name.as_deref()).unwrap_or("pod")
    }

    /// The Workflow that it belongs to: its owner, never merely the label, which anybody may write.
    fn workflow(&self) -> Option<(&str, &str)> {
        let owner = self.pod.metadata().workflow_owner()?;
        (self.pod.metadata().label(label::WORKFLOW) == Some(owner.name.as_str()))
            .then(|| (owner.name.as_str(), owner.uid.as_str()))
    }

    /// The node's identifier; where the name is not made yet, the kubelet fills it in.
    fn node_id(&self) -> Value {
        let metadata = self.pod.metadata();
        let known = [metadata.annotation(annotation::NODE_ID), metadata.name.as_deref(), self.context.name];
        match known.into_iter().flatten().find(|name| !name.is_empty()) {
            Some(name) => json!({"name": variable::NODE_ID, "value": name}),
            None => field_variable(variable::NODE_ID, "metadata.name"),
        }
    }

    /// Variables of every container. Those of a regular one say how long it has once the pod is to end.
    fn common(&self, name: &str) -> Vec<Value> {
        let mut env = vec![
            json!({"name": variable::CONTAINER_NAME, "value": name}),
            self.node_id(),
            json!({"name": variable::INCLUDE_SCRIPT_OUTPUT, "value": "false"}),
            json!({"name": variable::DEADLINE, "value": NO_DEADLINE}),
        ];
        if let Some((workflow, _)) = self.workflow() {
            env.push(json!({"name": variable::WORKFLOW_NAME, "value": workflow}));
        }
        env.extend([
            json!({"name": variable::PROGRESS_FILE, "value": path::PROGRESS}),
            json!({"name": variable::PROGRESS_PATCH_TICK, "value": "1m0s"}),
            json!({"name": variable::PROGRESS_FILE_TICK, "value": "3s"}),
        ]);
        if name != container::INIT
            && let Some(seconds) = self.pod.spec.termination_grace_period_seconds
        {
            env.push(json!({"name": variable::GRACE_PERIOD, "value": seconds.to_string()}));
        }
        env
    }

    /// A container that runs the executor itself.
    fn own(&self, name: &str, more_env: Vec<Value>, mut mounts: Vec<Value>) -> Value {
        let executor = &self.options.executor;
        // The API server has mounted the token already where it was sent to. What it would have to add to ours later would be a
        // change, for which it asks every webhook once more.
        let mut others = self.pod.spec.containers.iter();
        mounts.extend(others.find_map(|other| other.mount_at(path::SERVICE_ACCOUNT)).map(copy_mount));
        let mut env = vec![
            field_variable(variable::POD_NAME, "metadata.name"),
            field_variable(variable::POD_UID, "metadata.uid"),
        ];
        if let Some((workflow, uid)) = self.workflow() {
            env.push(json!({"name": variable::WORKFLOW_NAME, "value": workflow}));
            env.push(json!({"name": variable::WORKFLOW_UID, "value": uid}));
        }
        env.extend(executor.env.iter().cloned());
        env.extend(self.common(name));
        env.extend(more_env);
        let mut command = vec![PROGRAM.to_owned(), name.to_owned()];
        command.extend(log_flags(self.options));
        let mut own = json!({
            "name": name,
            "image": if self.hardening.windows { &executor.windows_image } else { &executor.image },
            "command": command,
            "env": env,
            "volumeMounts": mounts,
        });
        if !executor.args.is_empty() {
            own["args"] = json!(executor.args);
        }
        if let Some(policy) = &executor.image_pull_policy {
            own["imagePullPolicy"] = json!(policy);
        }
        // Init containers are over when the others run.
        let regular = self.pod.spec.containers.iter().filter(|_| name != container::INIT);
        let others = regular.filter_map(|other| Some(other.resources?.get()));
        if let Some(resources) = self.hardening.resources(executor.resources.as_ref(), others) {
            own["resources"] = resources;
        }
        let mut context = match &executor.security_context {
            Some(Value::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        self.hardening.complete(&mut context);
        if !context.is_empty() {
            own["securityContext"] = Value::Object(context);
        }
        own
    }

    fn init(&self, template: &str) -> Value {
        self.own(container::INIT, vec![template_variable(template)], vec![shared_mount()])
    }

    fn wait(&self, draft: &mut Draft) -> Value {
        let mut mounts = self.mirrors(draft);
        mounts.push(json!({"name": volume::TMP, "mountPath": "/tmp", "subPath": "0"}));
        mounts.push(shared_mount());
        self.own(container::WAIT, Vec::new(), mounts)
    }

    /// The main container's mounts as `wait` sees them: writable, since it may have to unpack there.
    fn mirrors(&self, draft: &mut Draft) -> Vec<Value> {
        let Some(main) = self.pod.spec.containers.iter().find(|c| c.name == container::MAIN) else { return Vec::new() };
        let mut mirrors = Vec::with_capacity(main.mounts().len() + 2);
        for mount in main.mounts() {
            let at = mount.mount_path.as_str();
            // The token is the API server's to mount; a UNC path has no place below another.
            if at == path::SERVICE_ACCOUNT || mount.name == volume::SHARED || at.starts_with(r"\\") {
                continue;
            }
            if mount.sub_path_expr.as_deref().is_some_and(|expression| !expression.is_empty()) {
                let container = main.name.to_string();
                draft.warnings.push(Warning::MountNotMirrored { container, path: at.to_owned() });
                continue;
            }
            let below = format!("{}{}{at}", path::MIRROR, if at.starts_with('/') { "" } else { "/" });
            if mirrors.iter().any(|known: &Value| known["mountPath"] == below.as_str()) {
                // `x` and `/x` are two mounts to the API server and one place to the container runtime.
                continue;
            }
            let mut mirror = copy_mount(mount);
            mirror["mountPath"] = json!(below);
            if let Some(fields) = mirror.as_object_mut() {
                fields.remove("readOnly");
            }
            mirrors.push(mirror);
        }
        mirrors
    }

    /// A user's container: what it needs to be wrapped. The command itself comes later.
    fn prepare(&self, index: usize, supervised: bool, draft: &mut Draft) {
        let container = &self.pod.spec.containers[index];
        let environment = match container.environment() {
            Ok(environment) => environment,
            Err(error) => {
                let container = container.name.to_string();
                draft.problems.push(Problem::Field { container, field: "env", why: error.to_string() });
                return;
            }
        };
        let mut env = self.common(&container.name);
        if supervised {
            env.push(json!({"name": variable::WAIT_FOR_READY, "value": "true"}));
        }
        let list = draft.env(Place::Regular(index), environment.as_ref().map(Vec::len));
        for variable in env {
            list.append(variable);
        }
    }

    fn supervised(&self, template: &str, wrapped: &[usize], draft: &mut Draft) {
        let reference =
            if self.hardening.windows { &self.options.executor.windows_image } else { &self.options.executor.image };
        match self.pod.spec.volumes().iter().find(|v| v.name == volume::EXECUTOR_IMAGE) {
            Some(taken) if taken.image.is_some() => {}
            Some(_) => {
                let volume = volume::EXECUTOR_IMAGE;
                draft.problems.push(Problem::VolumeName { volume, needed: "an image volume" });
            }
            None => {
                let mut image = json!({"reference": reference});
                if let Some(policy) = &self.options.executor.image_pull_policy {
                    image["pullPolicy"] = json!(policy);
                }
                draft.volumes.append(json!({"name": volume::EXECUTOR_IMAGE, "image": image}));
            }
        }
        let mut mounts = self.mirrors(draft);
        mounts.push(json!({"name": volume::TMP, "mountPath": "/tmp", "subPath": "0"}));
        mounts.push(shared_mount());
        let env = vec![template_variable(template), json!({"name": variable::INITLESS, "value": "true"})];
        let supervisor = self.own(container::SUPERVISOR, env, mounts);
        draft.regular.insert(0, supervisor);
        for index in wrapped {
            self.prepare(*index, true, draft);
        }
    }

    fn default_container(&self, wrapped: &[usize], draft: &mut Draft) {
        let containers = || wrapped.iter().map(|index| self.pod.spec.containers[*index].name.as_str());
        let Some(name) = containers().find(|name| *name == container::MAIN).or_else(|| containers().next_back()) else {
            return;
        };
        draft.annotations.push((annotation::DEFAULT_CONTAINER, name.to_owned()));
    }
}

fn template_variable(template: &str) -> Value {
    json!({"name": variable::TEMPLATE, "value": template})
}

fn field_variable(name: &str, field: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}})
}
