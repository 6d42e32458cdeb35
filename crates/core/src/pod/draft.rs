use crate::edit::{Edits, ListEdit, Path};
use crate::outcome::{Problem, Warning};
use crate::pod::view::{Container, Pod};
use emissary_contract::{path, volume};
use serde_json::{Value, json};

/// A container's place in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Regular(usize),
    Init(usize),
}

impl Place {
    pub(super) fn path(self) -> Path {
        match self {
            Self::Regular(index) => Path::of(&["spec", "containers"]).index(index),
            Self::Init(index) => Path::of(&["spec", "initContainers"]).index(index),
        }
    }
}

/// Edits under construction: in-place ones first, then the lists inside containers, then the pod's own lists, so that
/// every index is one of the pod as it was sent.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) edits: Edits,
    containers: Vec<(Place, ContainerLists)>,
    pub(super) volumes: ListEdit,
    pub(super) regular: ListEdit,
    pub(super) init: ListEdit,
    has_annotations: bool,
    /// Annotations to add, none of which exists.
    pub(super) annotations: Vec<(&'static str, String)>,
    pub(super) warnings: Vec<Warning>,
    pub(super) problems: Vec<Problem>,
}

/// The lists of one container that change.
#[derive(Debug, Default)]
struct ContainerLists {
    mounts: Option<ListEdit>,
    env: Option<ListEdit>,
    shared: bool,
}

impl Draft {
    pub(super) fn new(pod: &Pod<'_>) -> Self {
        let spec = &pod.spec;
        Self {
            edits: Edits::default(),
            containers: Vec::new(),
            volumes: ListEdit::new(Path::of(&["spec", "volumes"]), spec.volumes.as_ref().map(Vec::len)),
            regular: ListEdit::new(Path::of(&["spec", "containers"]), Some(spec.containers.len())),
            init: ListEdit::new(Path::of(&["spec", "initContainers"]), spec.init_containers.as_ref().map(Vec::len)),
            has_annotations: pod.metadata().annotations.is_some(),
            annotations: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn lists(&mut self, place: Place) -> &mut ContainerLists {
        let position = self.containers.iter().position(|(other, _)| *other == place).unwrap_or_else(|| {
            self.containers.push((place, ContainerLists::default()));
            self.containers.len() - 1
        });
        &mut self.containers[position].1
    }

    /// The changes to a container's mounts.
    pub(super) fn mounts(&mut self, place: Place, container: &Container<'_>) -> &mut ListEdit {
        let length = container.volume_mounts.as_ref().map(Vec::len);
        self.lists(place).mounts.get_or_insert_with(|| ListEdit::new(place.path().member("volumeMounts"), length))
    }

    /// The changes to a container's environment, which has `length` variables, or is absent.
    pub(super) fn env(&mut self, place: Place, length: Option<usize>) -> &mut ListEdit {
        self.lists(place).env.get_or_insert_with(|| ListEdit::new(place.path().member("env"), length))
    }

    /// Sees to it that a container has the shared volume at its place, once.
    pub(super) fn share(&mut self, place: Place, container: &Container<'_>) {
        if std::mem::replace(&mut self.lists(place).shared, true) {
            return;
        }
        match container.mount_at(path::SHARED) {
            Some(mount) if mount.name == volume::SHARED && mount.is_whole() && mount.read_only != Some(true) => {}
            Some(mount) => self.problems.push(Problem::MountPath {
                container: container.name.to_string(),
                volume: mount.name.to_string(),
                path: path::SHARED.to_owned(),
            }),
            None => self.mounts(place, container).append(shared_mount()),
        }
    }

    /// Sees to it that the pod has an `emptyDir` of this name.
    pub(super) fn empty_dir(&mut self, pod: &Pod<'_>, name: &'static str) {
        match pod.spec.volumes().iter().find(|volume| volume.name == name) {
            Some(volume) if volume.empty_dir.is_some() => {}
            Some(_) => self.problems.push(Problem::VolumeName { volume: name, needed: "an emptyDir" }),
            None => self.volumes.append(json!({"name": name, "emptyDir": {}})),
        }
    }

    /// Sees to it that a container sees the executor's image at its place.
    pub(super) fn mount_executor_image(&mut self, place: Place, container: &Container<'_>) {
        let mount = json!({"name": volume::EXECUTOR_IMAGE, "mountPath": path::EXECUTOR_IMAGE, "readOnly": true});
        match container.mount_at(path::EXECUTOR_IMAGE) {
            Some(taken) if taken.name == volume::EXECUTOR_IMAGE && taken.is_whole() => {}
            Some(taken) => self.problems.push(Problem::MountPath {
                container: container.name.to_string(),
                volume: taken.name.to_string(),
                path: path::EXECUTOR_IMAGE.to_owned(),
            }),
            None => self.mounts(place, container).append(mount),
        }
    }

    /// All edits, the given ones first, in the order in which they apply; `stamp` is an annotation that is worth writing
    /// only beside other edits.
    pub(super) fn finish(self, mut in_place: Edits, stamp: Option<(&'static str, String)>) -> Edits {
        let Self {
            edits,
            containers,
            volumes,
            regular,
            init,
            has_annotations,
            mut annotations,
            warnings: _,
            problems: _,
        } = self;
        in_place.extend(edits);
        for (_, ContainerLists { mounts, env, shared: _ }) in containers {
            for list in [env, mounts].into_iter().flatten() {
                in_place.list(list);
            }
        }
        in_place.list(init);
        in_place.list(regular);
        in_place.list(volumes);
        if in_place.is_empty() && annotations.is_empty() {
            return in_place;
        }
        annotations.extend(stamp);
        let path = Path::of(&["metadata", "annotations"]);
        if has_annotations {
            for (key, value) in annotations {
                in_place.add(&path.member(key), Value::String(value));
            }
        } else if !annotations.is_empty() {
            let all = annotations.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value)));
            in_place.add(&path, Value::Object(all.collect()));
        }
        in_place
    }
}

pub(super) fn shared_mount() -> Value {
    json!({"name": volume::SHARED, "mountPath": path::SHARED})
}
