//! The controller that a pod is rendered as: its version, its executor, and its configuration.

use crate::image::ImageProcess;
use crate::pod::{Executor, ExecutorSettings};
use serde_json::Value;

/// Versions of Argo between which pods differ; each stands for those up to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.1 and 3.2's predecessors in layout: the template is an annotation.
    V31,
    /// 3.3: the template is a variable of every container, and the shared volume is in every pod.
    V33,
    /// 3.4 and 3.5: emissary only, always an init container, a volume for `/tmp`.
    V35,
    /// 3.6 and 3.7: the template is a variable of init containers only.
    V37,
    /// 4.0 and 4.1, with an init container.
    V41,
}

/// The controller, as far as pods show it.
#[derive(Debug, Clone)]
pub struct Controller {
    /// Its version.
    pub version: Version,
    /// The executor it builds for; from 3.4 on emissary whatever stands here.
    pub executor: Executor,
    /// What its configuration says of single executors.
    pub settings: ExecutorSettings,
    /// The executor's image, and its pull policy; `None` leaves that to the API server.
    pub executor_image: String,
    /// `imagePullPolicy` of the executor's containers.
    pub executor_pull_policy: Option<String>,
    /// `--loglevel` of the controller, which it hands on.
    pub log_level: String,
    /// `--log-format` of the controller, handed on from 3.4 on.
    pub log_format: String,
    /// `executor` of its configuration, a container: `args`, `env`, `resources` and `securityContext` are used.
    pub executor_container: Value,
    /// `mainContainer` of its configuration, merged below each main container.
    pub main_container: Value,
    /// `instanceID` of its configuration; empty where there is none.
    pub instance_id: String,
    /// `artifactRepository` of its configuration, the default one.
    pub artifact_repository: Value,
    /// `kubeConfig` of its configuration: the secret with credentials for another cluster.
    pub kube_config: Value,
    /// `workflowDefaults` of its configuration, below every Workflow.
    pub workflow_defaults: Value,
}

impl Controller {
    /// A controller whose configuration says nothing, with the executor's image of that release.
    pub fn new(version: Version, executor: Executor) -> Self {
        let release = match version {
            Version::V31 => "v3.1.15",
            Version::V33 => "v3.3.10",
            Version::V35 => "v3.5.15",
            Version::V37 => "v3.7.18",
            Version::V41 => "v4.1.2",
        };
        Self {
            version,
            executor: if version >= Version::V35 { Executor::Emissary } else { executor },
            settings: ExecutorSettings::default(),
            executor_image: format!("quay.io/argoproj/argoexec:{release}"),
            executor_pull_policy: None,
            log_level: "info".to_owned(),
            log_format: "text".to_owned(),
            executor_container: Value::Null,
            main_container: Value::Null,
            instance_id: String::new(),
            artifact_repository: Value::Null,
            kube_config: Value::Null,
            workflow_defaults: Value::Null,
        }
    }

    /// The controller that shows what a Workflow comes to under one executor: 4.1 for emissary, 3.1 for k8sapi, which 3.3 no
    /// longer has, and 3.3 for the rest.
    pub fn of(executor: Executor) -> Self {
        let version = match executor {
            Executor::Emissary => Version::V41,
            Executor::K8sApi => Version::V31,
            Executor::Docker | Executor::Kubelet | Executor::Pns => Version::V33,
        };
        Self::new(version, executor)
    }

    /// Takes over what a controller's configuration says (`workflow-controller-configmap`, as one document). What it does
    /// not say stays.
    #[must_use]
    pub fn configured(mut self, configuration: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let executor = &configuration["executor"];
        if let Some(image) = text(&executor["image"]).or_else(|| text(&configuration["executorImage"])) {
            self.executor_image = image;
        }
        if let Some(policy) = text(&executor["imagePullPolicy"]) {
            self.executor_pull_policy = Some(policy);
        }
        for (field, value) in [
            (&mut self.executor_container, executor),
            (&mut self.main_container, &configuration["mainContainer"]),
            (&mut self.artifact_repository, &configuration["artifactRepository"]),
            (&mut self.kube_config, &configuration["kubeConfig"]),
            (&mut self.workflow_defaults, &configuration["workflowDefaults"]),
        ] {
            if !value.is_null() {
                *field = value.clone();
            }
        }
        if let Some(id) = text(&configuration["instanceID"]) {
            self.instance_id = id;
        }
        let settings = &mut self.settings;
        settings.docker_socket = text(&configuration["dockerSockPath"]).or(settings.docker_socket.take());
        if let Some(port) = configuration["kubeletPort"].as_u64().and_then(|port| u16::try_from(port).ok()) {
            settings.kubelet_port = port;
        }
        settings.kubelet_insecure |= configuration["kubeletInsecure"] == true;
        self
    }

    pub(super) fn is_emissary(&self) -> bool {
        self.executor == Executor::Emissary
    }

    /// The flags that the controller hands on to each of its executor's verbs.
    pub(super) fn log_flags(&self) -> Vec<String> {
        let mut flags = vec!["--loglevel".to_owned(), self.log_level.clone()];
        if self.version >= Version::V35 {
            flags.extend(["--log-format".to_owned(), self.log_format.clone()]);
        }
        if self.version >= Version::V37 {
            flags.extend(["--gloglevel".to_owned(), "0".to_owned()]);
        }
        flags
    }
}

/// What a rendering asks of outside, where the object alone does not tell.
pub struct Given<'a> {
    /// What an image runs, for a container without a command; `None` where that is not known.
    pub process: &'a dyn Fn(&str) -> Option<ImageProcess>,
    /// Reads YAML, in which a `podSpecPatch` may be; `None` where it is none.
    pub yaml: &'a dyn Fn(&str) -> Option<Value>,
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Given")
    }
}
