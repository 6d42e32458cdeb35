//! The names on which Argo's controller, its executor, our executor and the webhook must agree.
//!
//! Read from the sources of Argo Workflows 3.1 to 4.1 and from pods recorded from its controllers; where a name is not the
//! same in every version, its documentation says since when.
#![warn(missing_docs)]

pub mod duration;
pub mod platform;
pub mod template;

pub use duration::go_duration;
pub use platform::PlatformCommands;
pub use template::Template;

/// Labels that Argo's controller puts on pods.
pub mod label {
    /// The name of the Workflow that a pod belongs to; the controller's informer selects by it.
    pub const WORKFLOW: &str = "workflows.argoproj.io/workflow";
    /// Which controller a Workflow and its pods belong to, where controllers share a cluster: each looks at those with its
    /// own `instanceID`, one without such an id at those without this label.
    pub const INSTANCE_ID: &str = "workflows.argoproj.io/controller-instanceid";
    /// What a pod that runs no template is for: `agent`, `artifact-gc`.
    pub const COMPONENT: &str = "workflows.argoproj.io/component";
}

/// Annotations that Argo's controller puts on pods.
pub mod annotation {
    /// The whole template, as JSON: 3.1 only. Later versions use [`super::variable::TEMPLATE`].
    pub const TEMPLATE: &str = "workflows.argoproj.io/template";
    /// The node's identifier, by which the controller finds a pod again: 3.3 and later.
    pub const NODE_ID: &str = "workflows.argoproj.io/node-id";
    /// The container that `kubectl logs` and `kubectl exec` choose (kubectl's own annotation): 3.3 and later.
    pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
}

/// Environment variables between controller and executor.
pub mod variable {
    /// The executor's name (`docker`, `kubelet`, `k8sapi`, `pns`, `emissary`): up to 3.3. Without a value it means docker.
    pub const EXECUTOR: &str = "ARGO_CONTAINER_RUNTIME_EXECUTOR";
    /// The container's own name.
    pub const CONTAINER_NAME: &str = "ARGO_CONTAINER_NAME";
    /// The template, as JSON, or [`super::OFFLOADED`]: on all containers in 3.3, on init containers from 3.6 on.
    pub const TEMPLATE: &str = "ARGO_TEMPLATE";
    /// The pod's name, by the downward API.
    pub const POD_NAME: &str = "ARGO_POD_NAME";
    /// The pod's uid, by the downward API: 3.3 and later.
    pub const POD_UID: &str = "ARGO_POD_UID";
    /// The Workflow's name: 3.3 and later. Without it nothing is reported to the API server.
    pub const WORKFLOW_NAME: &str = "ARGO_WORKFLOW_NAME";
    /// The Workflow's uid: late 3.5 and later.
    pub const WORKFLOW_UID: &str = "ARGO_WORKFLOW_UID";
    /// The node's identifier: 3.3 and later.
    pub const NODE_ID: &str = "ARGO_NODE_ID";
    /// Whether the script's output becomes the step's result.
    pub const INCLUDE_SCRIPT_OUTPUT: &str = "ARGO_INCLUDE_SCRIPT_OUTPUT";
    /// When the step must have ended, RFC 3339; [`super::NO_DEADLINE`] where there is none: 3.3 and later.
    pub const DEADLINE: &str = "ARGO_DEADLINE";
    /// Where the user's process writes its progress.
    pub const PROGRESS_FILE: &str = "ARGO_PROGRESS_FILE";
    /// How often progress is reported.
    pub const PROGRESS_PATCH_TICK: &str = "ARGO_PROGRESS_PATCH_TICK_DURATION";
    /// How often the progress file is read.
    pub const PROGRESS_FILE_TICK: &str = "ARGO_PROGRESS_FILE_TICK_DURATION";
    /// The pod's grace period: on `wait` only up to 3.6.
    pub const GRACE_PERIOD: &str = "ARGO_TERMINATION_GRACE_PERIOD_SECONDS";
    /// Makes the wrapper wait for the supervisor: 4.1, init-less layout.
    pub const WAIT_FOR_READY: &str = "ARGO_WAIT_FOR_READY";
    /// Tells the supervisor that it does init's work too: 4.1, init-less layout.
    pub const INITLESS: &str = "ARGO_INITLESS_POD";
    /// A JSON array of further arguments, by the file's path, because they were too long: 3.7.10 and later.
    pub const CONTAINER_ARGS_FILE: &str = "ARGO_CONTAINER_ARGS_FILE";
    /// Holds the user's process back until a file [`super::file::BEFORE`] exists.
    pub const PAUSE_BEFORE: &str = "ARGO_DEBUG_PAUSE_BEFORE";
    /// Holds the container's end back until a file [`super::file::AFTER`] exists.
    pub const PAUSE_AFTER: &str = "ARGO_DEBUG_PAUSE_AFTER";
    /// The commands of an image that runs another one on each platform, as [`super::PlatformCommands`]. Written by the
    /// webhook, read by our executor, unknown to Argo's.
    pub const PLATFORM_COMMANDS: &str = "EMISSARY_PLATFORM_COMMANDS";
    /// What all variables of the kubelet executor begin with.
    pub const KUBELET_PREFIX: &str = "ARGO_KUBELET_";
}

/// Names of containers that Argo reserves.
pub mod container {
    /// Copies the executor, stages scripts, loads input artifacts.
    pub const INIT: &str = "init";
    /// Waits for the main containers and reports their outputs.
    pub const WAIT: &str = "wait";
    /// Init and wait in one: 4.1, init-less layout.
    pub const SUPERVISOR: &str = "supervisor";
    /// The user's container, but for container sets.
    pub const MAIN: &str = "main";
    /// What the names of artifact plugins' sidecars begin with: 4.0 and later.
    pub const ARTIFACT_PLUGIN_PREFIX: &str = "artifact-plugin-";
}

/// Names of volumes that Argo adds.
pub mod volume {
    /// The `emptyDir` between executor and wrapped containers.
    pub const SHARED: &str = "var-run-argo";
    /// The `emptyDir` behind `/tmp` of `wait`: 3.4 and later.
    pub const TMP: &str = "tmp-dir-argo";
    /// The executor's image as a volume: 4.1, init-less layout.
    pub const EXECUTOR_IMAGE: &str = "argoexec-bin";
    /// The `hostPath` of the docker executor.
    pub const DOCKER_SOCKET: &str = "docker-sock";
    /// The token of the executor's own service account.
    pub const EXECUTOR_TOKEN: &str = "exec-sa-token";
}

/// Paths inside containers.
pub mod path {
    /// Where [`super::volume::SHARED`] is mounted.
    pub const SHARED: &str = "/var/run/argo";
    /// The executor that `init` puts into the shared volume.
    pub const EXECUTOR: &str = "/var/run/argo/argoexec";
    /// Where [`super::volume::EXECUTOR_IMAGE`] is mounted.
    pub const EXECUTOR_IMAGE: &str = "/argo-bin";
    /// The executor inside the image volume.
    pub const EXECUTOR_IN_IMAGE: &str = "/argo-bin/bin/argoexec";
    /// Under which `wait` sees the main container's mounts.
    pub const MIRROR: &str = "/mainctrfs";
    /// The pod's annotations as a file's folder: 3.1 only.
    pub const POD_METADATA: &str = "/argo/podmetadata";
    /// Secrets of artifact repositories, a folder each.
    pub const SECRETS: &str = "/argo/secret/";
    /// Where an offloaded template or argument list is mounted: 3.6 and later.
    pub const CONFIG: &str = "/argo/config";
    /// The kubeconfig of Argo's `kubeConfig` setting.
    pub const KUBECONFIG: &str = "/kube/config";
    /// Where the kubelet mounts a service account's token (Kubernetes API).
    pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    /// The progress file's place.
    pub const PROGRESS: &str = "/var/run/argo/progress";
    /// The template as `init` or the supervisor left it.
    pub const TEMPLATE: &str = "/var/run/argo/template";
    /// A folder a container, with the files of [`super::file`].
    pub const CONTAINERS: &str = "/var/run/argo/ctr";
    /// Copies of output parameters, each under its own path.
    pub const OUTPUT_PARAMETERS: &str = "/var/run/argo/outputs/parameters";
    /// Output artifacts, each under its own path with `.tgz` behind it.
    pub const OUTPUT_ARTIFACTS: &str = "/var/run/argo/outputs/artifacts";
    /// How far the supervisor is: 4.1, init-less layout.
    pub const STATUS: &str = "/var/run/argo/status";
    /// Where input artifacts are, each under its name.
    pub const INPUT_ARTIFACTS: &str = "/argo/inputs/artifacts";
    /// A script template's source.
    pub const SCRIPT: &str = "/argo/staging/script";
    /// A resource template's manifest.
    pub const MANIFEST: &str = "/tmp/manifest.yaml";
    /// Where the kubelet reads a container's last words, unless the container says otherwise (Kubernetes API).
    pub const TERMINATION_LOG: &str = "/dev/termination-log";
}

/// Files in a container's folder under [`path::CONTAINERS`].
pub mod file {
    /// The exit code, decimal, once the container's outputs are saved.
    pub const EXIT_CODE: &str = "exitcode";
    /// A signal's number, decimal, for the container's process; removed by whoever delivers it.
    pub const SIGNAL: &str = "signal";
    /// What the process wrote to its standard output, where that is asked for.
    pub const STDOUT: &str = "stdout";
    /// What it wrote to both, as it came: 3.3 and later.
    pub const COMBINED: &str = "combined";
    /// Ends the pause of [`super::variable::PAUSE_BEFORE`].
    pub const BEFORE: &str = "before";
    /// Ends the pause of [`super::variable::PAUSE_AFTER`].
    pub const AFTER: &str = "after";
}

/// Exit codes that are the executor's own.
pub mod exit {
    /// The executor itself failed: no template, no such command, an output that cannot be saved.
    pub const FAILURE: u8 = 64;
    /// The supervisor failed before the user's process could start: 4.1, init-less layout.
    pub const BEFORE_MAIN: u8 = 65;
    /// Added to a signal's number when the signal ended the process.
    pub const SIGNALLED: u8 = 128;
}

/// The verbs of `argoexec` that a pod's specification shows.
pub mod verb {
    /// Wraps the user's process.
    pub const EMISSARY: &str = "emissary";
    /// What container `init` runs.
    pub const INIT: &str = "init";
    /// What container `wait` runs.
    pub const WAIT: &str = "wait";
    /// Sends a signal; what the controller runs in containers that are to end: 3.4 and later.
    pub const KILL: &str = "kill";
    /// Wraps an artifact plugin's process: 4.0 and later.
    pub const ARTIFACT_PLUGIN_SIDECAR: &str = "artifact-plugin-sidecar";
}

/// The program's file name.
pub const PROGRAM: &str = "argoexec";
/// The file name of the program beside ours that does every verb which ours does not.
pub const TASKS: &str = "argoexec-tasks";
/// The value of [`variable::TEMPLATE`] when the template is in a ConfigMap because it was too long: 3.6 and later.
pub const OFFLOADED: &str = "offloaded";
/// Go's zero time: no deadline.
pub const NO_DEADLINE: &str = "0001-01-01T00:00:00Z";
/// The longest single environment variable or argument that Linux hands to a process, name and final zero included, in
/// bytes (`MAX_ARG_STRLEN`).
pub const MAX_VARIABLE: usize = 131_072;
/// The user id that Argo's own images use where they do not run as root.
pub const USER: u32 = 8737;

/// The arguments in the file that [`variable::CONTAINER_ARGS_FILE`] names: a JSON array of strings.
///
/// # Errors
/// Where it is something else.
pub fn further_arguments(text: &str) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_str(text)
}
