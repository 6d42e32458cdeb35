use super::super::view::{Container, Pod};
use crate::outcome::Warning;
use emissary_contract::volume::DOCKER_SOCKET;
use serde_json::{Value, json};

const SOCKET: &str = "/var/run/docker.sock";
/// The daemon's named pipe on Windows, which no setting moves inside the container.
const PIPE: &str = r"\\.\pipe\docker_engine";

/// The volume that the docker executor adds to every pod. `configured` is the controller's `dockerSockPath`.
pub(crate) fn volume(configured: Option<&str>, windows: bool) -> Value {
    let path = configured.unwrap_or(if windows { PIPE } else { SOCKET });
    // A named pipe is of no type that the API knows.
    let host_path = if windows { json!({"path": path}) } else { json!({"path": path, "type": "Socket"}) };
    json!({"name": DOCKER_SOCKET, "hostPath": host_path})
}

/// The mount that the docker executor adds to `wait`, always at the daemon's usual place.
pub(crate) fn mount(windows: bool) -> Value {
    if windows {
        json!({"name": DOCKER_SOCKET, "mountPath": PIPE})
    } else {
        json!({"name": DOCKER_SOCKET, "mountPath": SOCKET, "readOnly": true})
    }
}

/// What the docker executor's volume comes to.
pub(in crate::pod) enum Socket {
    /// There is none.
    Absent,
    /// Only Argo's own containers mount it: it goes.
    Goes(usize),
    /// A user's container mounts it: it stays there, and goes from Argo's.
    Stays(Warning),
}

/// Looks for the volume with the daemon's socket. Its name tells it, not its path, which is a setting of the controller's.
pub(in crate::pod) fn socket(pod: &Pod<'_>, is_own: impl Fn(usize) -> bool) -> Socket {
    let is_socket =
        |volume: &super::super::view::Volume<'_>| volume.name == DOCKER_SOCKET && volume.host_path.is_some();
    let Some(index) = pod.spec.volumes().iter().position(is_socket) else {
        return Socket::Absent;
    };
    let mounts_it = |container: &&Container<'_>| container.mounts().iter().any(|mount| mount.name == DOCKER_SOCKET);
    let regular = pod.spec.containers.iter().enumerate().filter(|(at, _)| !is_own(*at)).map(|(_, container)| container);
    match regular.chain(pod.spec.init_containers()).find(mounts_it) {
        None => Socket::Goes(index),
        Some(container) => Socket::Stays(Warning::SocketStays {
            volume: DOCKER_SOCKET.to_owned(),
            container: container.name.to_string(),
        }),
    }
}
