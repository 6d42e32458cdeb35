//! What is judged of the pod as a whole.

use super::Finding;
use super::setters::{in_quotes, plural, set};
use crate::pod::Pod;

/// Safe sysctls in the order in which versions have added to them.
const SAFE_SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

/// Any of these, and a volume is allowed at the level restricted.
pub(crate) const HARMLESS_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The others, in the order in which the API server looks for one to name.
pub(crate) const RESTRICTED_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Finding {
    let spec = &pod.spec;
    let namespaces =
        [(spec.host_network, "hostNetwork=true"), (spec.host_pid, "hostPID=true"), (spec.host_ipc, "hostIPC=true")];
    let shared: Vec<&str> = namespaces.into_iter().filter(|(is_shared, _)| *is_shared).map(|(_, text)| text).collect();
    (!shared.is_empty()).then(|| ("host namespaces", shared.join(", ")))
}

pub(super) fn host_path_volumes(pod: &Pod<'_>) -> Finding {
    let volumes = pod.spec.volumes.iter().filter(|volume| volume.source("hostPath").is_some());
    let names: Vec<&str> = volumes.map(|volume| volume.name).collect();
    let detail = || format!("{} {}", plural(names.len(), "volume", "volumes"), in_quotes(&names));
    (!names.is_empty()).then(|| ("hostPath volumes", detail()))
}

pub(super) fn restricted_volumes(pod: &Pod<'_>) -> Finding {
    let bad =
        pod.spec.volumes.iter().filter(|volume| !HARMLESS_VOLUMES.iter().any(|kind| volume.source(kind).is_some()));
    let (names, kinds): (Vec<&str>, Vec<&str>) = bad
        .map(|volume| {
            let kind = RESTRICTED_VOLUMES.into_iter().find(|kind| volume.source(kind).is_some());
            (volume.name, kind.unwrap_or("unknown"))
        })
        .unzip();
    if names.is_empty() {
        return None;
    }
    let kinds = set(kinds.into_iter());
    let detail = format!(
        "{} {} {} {} {}",
        plural(names.len(), "volume", "volumes"),
        in_quotes(&names),
        plural(names.len(), "uses", "use"),
        plural(kinds.len(), "restricted volume type", "restricted volume types"),
        in_quotes(&kinds),
    );
    Some(("restricted volume types", detail))
}

/// `safe`: how many of the safe ones the version has.
pub(super) fn sysctls(pod: &Pod<'_>, safe: usize) -> Finding {
    let sysctls = &pod.spec.security.as_ref()?.sysctls;
    let is_safe = |name: &&str| SAFE_SYSCTLS.iter().take(safe).any(|known| known == name);
    let forbidden: Vec<&str> = sysctls.iter().copied().filter(|name| !is_safe(name)).collect();
    (!forbidden.is_empty()).then(|| ("forbidden sysctls", forbidden.join(", ")))
}
