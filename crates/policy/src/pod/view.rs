use serde_json::{Map, Value};

use super::read::{At, Misfit, each, flag, integer, integers, list, object, text, texts};

/// What is judged of a pod, or of a template of pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pod<'a> {
    pub(crate) annotations: Annotations<'a>,
    pub(crate) spec: Spec<'a>,
}

/// A pod's annotations.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Annotations<'a>(Option<&'a Map<String, Value>>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Spec<'a> {
    pub(crate) host_network: bool,
    pub(crate) host_pid: bool,
    pub(crate) host_ipc: bool,
    pub(crate) host_users: Option<bool>,
    pub(crate) os: &'a str,
    pub(crate) runtime_class: Option<&'a str>,
    pub(crate) service_account: &'a str,
    pub(crate) security: Option<SecurityContext<'a>>,
    pub(crate) volumes: Vec<Volume<'a>>,
    /// Init containers, containers, ephemeral containers: the order in which the API server visits them.
    pub(crate) containers: Vec<Container<'a>>,
    pub(crate) init_count: usize,
    pub(crate) ephemeral_count: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume<'a> {
    pub(crate) name: &'a str,
    fields: Option<&'a Map<String, Value>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Container<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) host_ports: Vec<i64>,
    /// The hosts that probes and lifecycle hooks name, but for empty ones.
    pub(crate) hosts: Vec<&'a str>,
    pub(crate) mounts: &'a [Value],
    pub(crate) security: Option<SecurityContext<'a>>,
}

/// A pod's or a container's: what only one of them has, stays unset in the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecurityContext<'a> {
    pub(crate) privileged: Option<bool>,
    pub(crate) allow_privilege_escalation: Option<bool>,
    pub(crate) run_as_non_root: Option<bool>,
    pub(crate) read_only_root_filesystem: Option<bool>,
    pub(crate) run_as_user: Option<i64>,
    pub(crate) run_as_group: Option<i64>,
    pub(crate) fs_group: Option<i64>,
    /// An empty list is not the same as none.
    pub(crate) supplemental_groups: Option<Vec<i64>>,
    pub(crate) proc_mount: Option<&'a str>,
    pub(crate) capabilities: Option<Capabilities<'a>>,
    pub(crate) seccomp: Option<Profile<'a>>,
    pub(crate) app_armor: Option<Profile<'a>>,
    pub(crate) se_linux: Option<SeLinux<'a>>,
    pub(crate) host_process: Option<bool>,
    pub(crate) sysctls: Vec<&'a str>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Capabilities<'a> {
    pub(crate) add: Vec<&'a str>,
    pub(crate) drop: Vec<&'a str>,
    /// Whether there is a list at all, even an empty one.
    pub(crate) has_drop: bool,
}

/// A seccomp or AppArmor profile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Profile<'a> {
    pub(crate) kind: &'a str,
    pub(crate) localhost: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SeLinux<'a> {
    pub(crate) user: &'a str,
    pub(crate) role: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) level: &'a str,
}

/// The sources of volumes that the API of Kubernetes 1.36 has, by field.
const SOURCES: [&str; 30] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

impl<'a> Pod<'a> {
    /// Reads an object with metadata and a spec.
    ///
    /// # Errors
    /// The first [`Misfit`].
    pub(crate) fn read(pod: &'a Value) -> Result<Self, Misfit> {
        let field = |name| pod.get(name).unwrap_or(&Value::Null);
        let annotations = match object(field("metadata"), &At::root("metadata"))? {
            Some(metadata) => Annotations::read(metadata)?,
            None => Annotations::default(),
        };
        Ok(Self { annotations, spec: Spec::read(field("spec"), &At::root("spec"))? })
    }
}

impl<'a> Annotations<'a> {
    fn read(metadata: &'a Map<String, Value>) -> Result<Self, Misfit> {
        let Some(value) = metadata.get("annotations") else { return Ok(Self::default()) };
        let root = At::root("metadata");
        let at = root.field("annotations");
        let annotations = object(value, &at)?;
        for (key, value) in annotations.into_iter().flatten() {
            text(value, &at.key(key))?;
        }
        Ok(Self(annotations))
    }

    pub(crate) fn get(self, key: &str) -> Option<&'a str> {
        self.0?.get(key).map(|value| value.as_str().unwrap_or_default())
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }
}

impl<'a> Spec<'a> {
    fn read(value: &'a Value, at: &At<'_>) -> Result<Self, Misfit> {
        let mut spec = Self::default();
        let Some(fields) = object(value, at)? else { return Ok(spec) };
        // Found in any order, and joined in the API server's.
        let (mut init, mut main, mut ephemeral) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in fields {
            let at = at.field(name);
            match name.as_str() {
                "hostNetwork" => spec.host_network = flag(value, &at)?.unwrap_or_default(),
                "hostPID" => spec.host_pid = flag(value, &at)?.unwrap_or_default(),
                "hostIPC" => spec.host_ipc = flag(value, &at)?.unwrap_or_default(),
                "hostUsers" => spec.host_users = flag(value, &at)?,
                "os" => {
                    if let Some(name) = object(value, &at)?.and_then(|os| os.get("name")) {
                        spec.os = text(name, &at.field("name"))?.unwrap_or_default();
                    }
                }
                "runtimeClassName" => spec.runtime_class = text(value, &at)?,
                "serviceAccountName" => spec.service_account = text(value, &at)?.unwrap_or_default(),
                "securityContext" => spec.security = SecurityContext::read(value, &at)?,
                "volumes" => spec.volumes = volumes(value, &at)?,
                "initContainers" => init = containers(value, &at)?,
                "containers" => main = containers(value, &at)?,
                "ephemeralContainers" => ephemeral = containers(value, &at)?,
                _ => {}
            }
        }
        spec.init_count = init.len();
        spec.ephemeral_count = ephemeral.len();
        spec.containers = if init.is_empty() {
            main
        } else {
            init.append(&mut main);
            init
        };
        spec.containers.append(&mut ephemeral);
        Ok(spec)
    }

    /// The containers that are neither init containers nor ephemeral ones.
    pub(crate) fn main_count(&self) -> usize {
        self.containers.len() - self.init_count - self.ephemeral_count
    }

    /// Windows has none of what some rules are about.
    pub(crate) fn is_windows(&self) -> bool {
        self.os == "windows"
    }
}

impl<'a> Volume<'a> {
    /// The settings of a source that is set.
    pub(crate) fn source(&self, source: &str) -> Option<&'a Map<String, Value>> {
        self.fields?.get(source)?.as_object()
    }
}

fn volumes<'a>(value: &'a Value, at: &At<'_>) -> Result<Vec<Volume<'a>>, Misfit> {
    let items = list(value, at)?;
    let mut volumes = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let at = at.index(index);
        let fields = object(item, &at)?;
        let mut volume = Volume { name: "", fields };
        for (name, value) in fields.into_iter().flatten() {
            if name == "name" {
                volume.name = text(value, &at.field(name))?.unwrap_or_default();
            } else if SOURCES.contains(&name.as_str()) {
                object(value, &at.field(name))?;
            }
        }
        volumes.push(volume);
    }
    Ok(volumes)
}

fn containers<'a>(value: &'a Value, at: &At<'_>) -> Result<Vec<Container<'a>>, Misfit> {
    let items = list(value, at)?.iter().enumerate();
    items.map(|(index, item)| Container::read(item, &at.index(index))).collect()
}

impl<'a> Container<'a> {
    fn read(value: &'a Value, at: &At<'_>) -> Result<Self, Misfit> {
        let mut container = Self::default();
        for (name, value) in object(value, at)?.into_iter().flatten() {
            let at = at.field(name);
            match name.as_str() {
                "name" => container.name = text(value, &at)?.unwrap_or_default(),
                "image" => container.image = text(value, &at)?.unwrap_or_default(),
                "ports" => container.host_ports = each(value, &at, "hostPort", integer)?,
                "livenessProbe" | "readinessProbe" | "startupProbe" => hosts(value, &at, &mut container.hosts)?,
                "lifecycle" => {
                    let hooks = object(value, &at)?.into_iter().flatten();
                    for (hook, value) in hooks.filter(|(hook, _)| ["postStart", "preStop"].contains(&hook.as_str())) {
                        hosts(value, &at.field(hook), &mut container.hosts)?;
                    }
                }
                "volumeMounts" => container.mounts = list(value, &at)?,
                "securityContext" => container.security = SecurityContext::read(value, &at)?,
                _ => {}
            }
        }
        Ok(container)
    }
}

/// The hosts that a probe or a hook names.
fn hosts<'a>(value: &'a Value, at: &At<'_>, found: &mut Vec<&'a str>) -> Result<(), Misfit> {
    let handler = object(value, at)?.into_iter().flatten();
    for (action, value) in handler.filter(|(action, _)| ["httpGet", "tcpSocket"].contains(&action.as_str())) {
        let at = at.field(action);
        if let Some(host) = object(value, &at)?.and_then(|action| action.get("host")) {
            found.extend(text(host, &at.field("host"))?.filter(|host| !host.is_empty()));
        }
    }
    Ok(())
}

impl<'a> SecurityContext<'a> {
    fn read(value: &'a Value, at: &At<'_>) -> Result<Option<Self>, Misfit> {
        let Some(fields) = object(value, at)? else { return Ok(None) };
        let mut security = Self::default();
        for (name, value) in fields {
            let at = at.field(name);
            match name.as_str() {
                "privileged" => security.privileged = flag(value, &at)?,
                "allowPrivilegeEscalation" => security.allow_privilege_escalation = flag(value, &at)?,
                "runAsNonRoot" => security.run_as_non_root = flag(value, &at)?,
                "readOnlyRootFilesystem" => security.read_only_root_filesystem = flag(value, &at)?,
                "runAsUser" => security.run_as_user = integer(value, &at)?,
                "runAsGroup" => security.run_as_group = integer(value, &at)?,
                "fsGroup" => security.fs_group = integer(value, &at)?,
                "supplementalGroups" => {
                    security.supplemental_groups = integers(value, &at)?;
                }
                "procMount" => security.proc_mount = text(value, &at)?,
                "capabilities" => security.capabilities = Capabilities::read(value, &at)?,
                "seccompProfile" => security.seccomp = Profile::read(value, &at)?,
                "appArmorProfile" => security.app_armor = Profile::read(value, &at)?,
                "seLinuxOptions" => security.se_linux = SeLinux::read(value, &at)?,
                "windowsOptions" => {
                    if let Some(value) = object(value, &at)?.and_then(|options| options.get("hostProcess")) {
                        security.host_process = flag(value, &at.field("hostProcess"))?;
                    }
                }
                "sysctls" => security.sysctls = each(value, &at, "name", text)?,
                _ => {}
            }
        }
        Ok(Some(security))
    }
}

impl<'a> Capabilities<'a> {
    fn read(value: &'a Value, at: &At<'_>) -> Result<Option<Self>, Misfit> {
        let Some(fields) = object(value, at)? else { return Ok(None) };
        let mut capabilities = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "add" => capabilities.add = texts(value, &at.field(name))?,
                "drop" => {
                    capabilities.has_drop = !value.is_null();
                    capabilities.drop = texts(value, &at.field(name))?;
                }
                _ => {}
            }
        }
        Ok(Some(capabilities))
    }
}

impl<'a> Profile<'a> {
    fn read(value: &'a Value, at: &At<'_>) -> Result<Option<Self>, Misfit> {
        let Some(fields) = object(value, at)? else { return Ok(None) };
        let mut profile = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "type" => profile.kind = text(value, &at.field(name))?.unwrap_or_default(),
                "localhostProfile" => profile.localhost = text(value, &at.field(name))?,
                _ => {}
            }
        }
        Ok(Some(profile))
    }
}

impl<'a> SeLinux<'a> {
    pub(crate) fn read(value: &'a Value, at: &At<'_>) -> Result<Option<Self>, Misfit> {
        let Some(fields) = object(value, at)? else { return Ok(None) };
        let mut options = Self::default();
        for (name, value) in fields {
            let field = match name.as_str() {
                "user" => &mut options.user,
                "role" => &mut options.role,
                "type" => &mut options.kind,
                "level" => &mut options.level,
                _ => continue,
            };
            *field = text(value, &at.field(name))?.unwrap_or_default();
        }
        Ok(Some(options))
    }
}
