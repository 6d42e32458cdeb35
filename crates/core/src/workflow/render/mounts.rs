//! Volumes, and what mounts them.

use super::build::Build;
use super::controller::Version;
use super::location::{has_location_or_key, secret_volumes};
use super::note::Note;
use super::template::{Type, list};
use crate::pod::Executor;
use crate::pod::edit_value::append;
use crate::pod::executor::docker;
use emissary_contract::{container, path, volume};
use serde_json::{Map, Value, json};

const ARTIFACTS: &str = "input-artifacts";
const ARTIFACT_FOLDER: &str = "/argo/inputs/artifacts";
const STAGING: &str = "argo-staging";
const STAGING_FOLDER: &str = "/argo/staging";

/// The containers of a pod under construction.
#[derive(Debug, Default)]
pub(super) struct Containers {
    pub(super) init: Vec<Map<String, Value>>,
    pub(super) regular: Vec<Map<String, Value>>,
}

impl Containers {
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        self.regular.iter_mut().find(|container| container.get("name").is_some_and(|other| other == name))
    }

    /// Argo's init container, which is the first of them.
    fn argos_init(&mut self) -> Option<&mut Map<String, Value>> {
        self.init.iter_mut().find(|container| container.get("name").is_some_and(|other| other == container::INIT))
    }
}

impl Build<'_> {
    /// The volumes that a pod has whatever its containers mount, and the template's own.
    pub(super) fn volumes(&self) -> Vec<Value> {
        let version = self.controller.version;
        let mut volumes = Vec::new();
        if version == Version::V31 {
            let annotations = json!({"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}});
            volumes.push(json!({"name": "podmetadata", "downwardAPI": {"items": [annotations]}}));
        }
        if let Some((volume, ..)) = self.kube_config() {
            volumes.push(volume);
        }
        if version >= Version::V33 || self.controller.is_emissary() {
            volumes.push(empty(volume::SHARED));
        }
        if version >= Version::V35 {
            volumes.push(empty(volume::TMP));
        }
        if self.controller.executor == Executor::Docker {
            volumes.push(docker::volume(self.controller.settings.docker_socket.as_deref(), self.windows()));
        }
        volumes.extend(list(&self.template.0["volumes"]).iter().cloned());
        volumes
    }

    /// Adds the volumes of the Workflow that something mounts, and the secrets of artifacts.
    pub(super) fn add_references(&mut self, volumes: &mut Vec<Value>, containers: &mut Containers) {
        // Before 3.4 a resource template had none.
        if self.template.of() == Type::Resource && self.controller.version < Version::V35 {
            return;
        }
        let template = &self.template.0;
        let users = list(&template["initContainers"]).iter().chain(list(&template["sidecars"]));
        let mounts = self.template.mounts().iter().chain(users.flat_map(|user| list(&user["volumeMounts"])));
        let mut missing = Vec::new();
        for mount in mounts {
            let name = &mount["name"];
            if volumes.iter().any(|volume| volume["name"] == *name) {
                continue;
            }
            match self.volume_of_workflow(name) {
                Some(volume) => volumes.push(volume),
                None => missing.push(name.as_str().unwrap_or_default().to_owned()),
            }
        }
        self.notes.extend(missing.into_iter().map(Note::Volume));

        let secrets = secret_volumes(&self.template);
        let mount = |secret: &Value| {
            let name = secret["name"].as_str().unwrap_or_default();
            json!({"name": name, "mountPath": format!("{}{name}", path::SECRETS), "readOnly": true})
        };
        let mounts: Vec<Value> = secrets.iter().map(mount).collect();
        volumes.extend(secrets);
        let is_data = self.template.of() == Type::Data;
        for mount in mounts {
            if let Some(wait) = containers.named(container::WAIT) {
                append(wait, "volumeMounts", mount.clone());
            }
            if let Some(init) = containers.argos_init() {
                append(init, "volumeMounts", mount.clone());
            }
            if let Some(main) = containers.named(container::MAIN).filter(|_| is_data) {
                append(main, "volumeMounts", mount);
            }
        }
    }

    fn volume_of_workflow(&self, name: &Value) -> Option<Value> {
        if let Some(volume) = list(&self.spec["volumes"]).iter().find(|volume| volume["name"] == *name) {
            return Some(volume.clone());
        }
        let claims = list(&self.spec["volumeClaimTemplates"]);
        claims.iter().find(|claim| claim["metadata"]["name"] == *name)?;
        let claim = format!("{}-{}", self.names.workflow, name.as_str().unwrap_or_default());
        Some(json!({"name": name, "persistentVolumeClaim": {"claimName": claim}}))
    }

    /// Input artifacts: init puts them where main finds them, each below its own path of one volume.
    pub(super) fn add_artifacts(&self, volumes: &mut Vec<Value>, containers: &mut Containers) {
        let artifacts = list(&self.template.0["inputs"]["artifacts"]);
        if artifacts.is_empty() {
            return;
        }
        volumes.push(empty(ARTIFACTS));
        if let Some(init) = containers.argos_init() {
            append(init, "volumeMounts", json!({"name": ARTIFACTS, "mountPath": ARTIFACT_FOLDER}));
            for mount in self.template.mounts() {
                if let Some(mirrored) = mirrored(mount) {
                    append(init, "volumeMounts", mirrored);
                }
            }
        }
        let Some(main) = containers.named(container::MAIN) else { return };
        for artifact in artifacts {
            let left_out = artifact["optional"] == true && !has_location_or_key(artifact);
            let path = artifact["path"].as_str().unwrap_or_default();
            if !left_out && self.template.mount_over(path).is_none() {
                let mount = json!({"name": ARTIFACTS, "mountPath": path, "subPath": artifact["name"]});
                append(main, "volumeMounts", mount);
            }
        }
    }

    /// The folder into which init writes a script.
    pub(super) fn add_staging(&self, volumes: &mut Vec<Value>, containers: &mut Containers) {
        if self.template.of() != Type::Script {
            return;
        }
        volumes.push(empty(STAGING));
        let mount = json!({"name": STAGING, "mountPath": STAGING_FOLDER});
        if let Some(init) = containers.argos_init() {
            append(init, "volumeMounts", mount.clone());
        }
        if let Some(main) = containers.named(container::MAIN) {
            append(main, "volumeMounts", mount);
        }
    }

    /// Shows `wait` all that main mounts, to write where main could not.
    pub(super) fn mirror(&self, containers: &mut Containers) {
        if self.template.runs_itself() {
            return;
        }
        let mounts =
            containers.named(container::MAIN).and_then(|main| main.get("volumeMounts")).map(list).unwrap_or_default();
        let mirrors: Vec<Value> = mounts.iter().filter_map(mirrored).collect();
        let Some(wait) = containers.named(container::WAIT) else { return };
        for mut mirror in mirrors {
            if let Some(fields) = mirror.as_object_mut() {
                fields.remove("readOnly");
            }
            append(wait, "volumeMounts", mirror);
        }
    }

    /// The secret with another cluster's credentials: volume, path, mount.
    pub(super) fn kube_config(&self) -> Option<(Value, String, Value)> {
        let configured = &self.controller.kube_config;
        let text = |field: &str| configured[field].as_str().filter(|text| !text.is_empty());
        let secret = text("secretName")?;
        let (name, path) = (text("volumeName").unwrap_or("kubeconfig"), text("mountPath").unwrap_or(path::KUBECONFIG));
        let volume = json!({"name": name, "secret": {"secretName": secret}});
        let key = text("secretKey").unwrap_or_default();
        let mount = json!({"name": name, "mountPath": path, "readOnly": true, "subPath": key});
        Some((volume, path.to_owned(), mount))
    }
}

pub(super) fn shared_mount() -> Value {
    json!({"name": volume::SHARED, "mountPath": path::SHARED})
}

fn empty(name: &str) -> Value {
    json!({"name": name, "emptyDir": {}})
}

/// The mount below the folder in which Argo's containers see main's file system; none for a Windows share (`\\…`).
fn mirrored(mount: &Value) -> Option<Value> {
    let at = mount["mountPath"].as_str().filter(|at| !at.starts_with(r"\\"))?;
    let mut mirror = mount.clone();
    mirror["mountPath"] = json!(format!("{}/{}", path::MIRROR, at.trim_matches('/')));
    Some(mirror)
}
