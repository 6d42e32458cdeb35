use super::super::view::{Container, Pod};
use crate::outcome::Warning;
use emissary_contract::volume::DOCKER_SOCKET;

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
