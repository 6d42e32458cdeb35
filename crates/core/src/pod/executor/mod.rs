//! Which executor a pod was built for, and how one is taken off and another put on.
//!
//! What a controller of Argo 3.1 to 3.3 makes differs little between executors: a volume, some variables, a flag. Each
//! file here knows one executor's share. `k8sapi` has none of its own but the variable that names it.

mod choice;
pub(crate) mod docker;
pub(super) mod emissary;
pub(crate) mod kubelet;
mod older;
pub(crate) mod pns;
mod put_on;
mod recognise;
mod unwrap;

pub use choice::{ExecutorChoice, Executors};
pub(crate) use put_on::is_for_windows;
pub use put_on::{CannotPutOn, PutOn, Unknown, put_on};
pub(super) use recognise::{Origin, Own, Role, Shape, recognise};

/// The executors that Argo has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Executor {
    /// Talks to the docker daemon through its socket. The default up to 3.2.
    Docker,
    /// Talks to the kubelet's own API.
    Kubelet,
    /// Talks to the API server. Selectable up to 3.3.8.
    K8sApi,
    /// Shares the pod's process namespace.
    Pns,
    /// Wraps each command. The only one from 3.4 on.
    Emissary,
}

impl Executor {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Docker, Self::Kubelet, Self::K8sApi, Self::Pns, Self::Emissary];

    /// The name as Argo spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Kubelet => "kubelet",
            Self::K8sApi => "k8sapi",
            Self::Pns => "pns",
            Self::Emissary => "emissary",
        }
    }

    /// Reads the value of `ARGO_CONTAINER_RUNTIME_EXECUTOR`; none means docker, as 3.1 has it when nothing is configured.
    /// `None` for a name that no version knew.
    fn of_variable(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("") => Some(Self::Docker),
            Some(name) => Self::ALL.into_iter().find(|executor| executor.name() == name),
        }
    }
}

/// What the controller's configuration says of single executors, and their pods show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// `dockerSockPath`: where nodes have the docker daemon's socket; `None` for the usual place.
    pub docker_socket: Option<String>,
    /// `kubeletPort`. The controller writes 0 where nothing is configured, and the executor then asks at 10250.
    pub kubelet_port: u16,
    /// `kubeletInsecure`: whether the kubelet's certificate goes unchecked.
    pub kubelet_insecure: bool,
    /// `PNS_PRIVILEGED` in the controller's environment: `wait` is privileged whatever the template says.
    pub pns_privileged: bool,
}
