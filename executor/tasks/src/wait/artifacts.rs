//! Output artifacts and logs: packed as the template says, and stored.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use emissary_contract::template::normal;
use emissary_contract::{file, path};
use serde_json::{Value, json};

use super::parameters::mirrored;
use super::unreadable;
use crate::beneath::{self, Links};
use crate::pack::{self, Format};
use crate::pod::Pod;
use crate::storage::{self, StorageError};
use crate::unpack::{self, Kind};

/// Where artifacts are packed.
const STAGING: &str = "/tmp/argo/outputs/artifacts";

/// How an artifact is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// As it is.
    None,
    Packed(Format),
}

impl Strategy {
    fn of(artifact: &Value) -> Self {
        let archive = |name: &str| artifact.pointer(&format!("/archive/{name}")).filter(|fields| fields.is_object());
        if archive("none").is_some() {
            return Self::None;
        }
        if archive("zip").is_some() {
            return Self::Packed(Format::Zip);
        }
        let level = archive("tar").and_then(|tar| tar.get("compressionLevel")).and_then(Value::as_i64);
        // gzip's own choice is written as -1.
        Self::Packed(Format::Tar(level.and_then(|level| u32::try_from(level).ok())))
    }

    /// What the artifact is called under the archive location.
    fn file_name(self, name: &str, path: &str) -> String {
        match self {
            Self::None => base(path),
            Self::Packed(Format::Tar(_)) => format!("{name}.tgz"),
            Self::Packed(Format::Zip) => format!("{name}.zip"),
        }
    }
}

/// Stores every output artifact, and logs where they are wanted. Gives those that were, as they are reported.
pub(super) async fn collect(pod: &Pod, errors: &mut Vec<String>) -> Vec<Value> {
    let mut stored = Vec::new();
    let artifacts = pod.value.pointer("/outputs/artifacts").and_then(Value::as_array);
    for artifact in artifacts.into_iter().flatten() {
        let text = |name: &str| artifact.get(name).and_then(Value::as_str).unwrap_or_default();
        let optional = artifact.get("optional").and_then(Value::as_bool).unwrap_or_default();
        match save(pod, artifact, text("name"), text("path")).await {
            Ok(artifact) => stored.push(artifact),
            Err(StorageError::Missing(_)) if optional => {
                pod.say(|| format!("artifact {}: {} is not there", text("name"), text("path")));
            }
            Err(error) => errors.push(format!("cannot save output artifact {}: {error}", text("name"))),
        }
    }
    if pod.template.fields().archive_location.archive_logs {
        for name in pod.template.fields().main_containers() {
            match save_log(pod, name).await {
                Ok(log) => stored.push(log),
                // It never ran, or an executor of another's kept none.
                Err(StorageError::Missing(_)) => {}
                Err(error) => errors.push(format!("cannot save the log of container {name}: {error}")),
            }
        }
    }
    stored
}

async fn save(pod: &Pod, artifact: &Value, name: &str, path: &str) -> Result<Value, StorageError> {
    let strategy = Strategy::of(artifact);
    let staged = stage(pod, path, strategy).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StorageError::Missing(path.to_owned()),
        _ => StorageError::Lasting(unreadable(pod, path, &error)),
    })?;
    store(pod, artifact.clone(), &strategy.file_name(name, path), &staged.file).await
}

async fn save_log(pod: &Pod, container: &str) -> Result<Value, StorageError> {
    let root = pod.shared.place(path::CONTAINERS);
    let log = beneath::open(&root, &format!("{container}/{}", file::COMBINED), Links::Refused);
    let log = log.map_err(|error| match error.kind() {
        ErrorKind::NotFound => StorageError::Missing(container.to_owned()),
        _ => error.into(),
    })?;
    store(pod, json!({ "name": format!("{container}-logs") }), &format!("{container}.log"), &log).await
}

async fn store(pod: &Pod, artifact: Value, name: &str, file: &File) -> Result<Value, StorageError> {
    let archive = pod.value.get("archiveLocation").unwrap_or(&Value::Null);
    let artifact = storage::report_as(artifact, name, archive)?;
    match storage::located(pod, &artifact)? {
        Some(location) => storage::save(pod, &location, file).await?,
        None => return Err(StorageError::Lasting("artifact plugins are not supported by this executor".to_owned())),
    }
    Ok(artifact)
}

/// Something to store, and what goes when it is stored.
struct Staged {
    file: File,
    folder: Option<PathBuf>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // The container goes with it.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// What is at a path, packed as it is to be stored.
fn stage(pod: &Pod, path: &str, strategy: Strategy) -> io::Result<Staged> {
    let staging = pod.shared.place(STAGING);
    let (from, folder) = match mirrored(pod, path) {
        Some(Err(error)) if error.kind() == ErrorKind::NotFound && pod.template.fields().mount_over(path).is_none() => {
            copied(pod, path, strategy, &staging)?
        }
        Some(opened) => (opened?, None),
        None => copied(pod, path, strategy, &staging)?,
    };
    let is_done = strategy == Strategy::None || folder.is_none() && mirrored(pod, path).is_none();
    let Strategy::Packed(format) = strategy else { return Ok(Staged { file: from, folder }) };
    if is_done {
        return Ok(Staged { file: from, folder });
    }
    let to = make_staging(&staging).and_then(|()| pack::scratch(&staging))?;
    let done = pack::pack(from, OsStr::new(&base(path)), format, to.try_clone()?);
    let staged = Staged { file: to, folder };
    done.map(|()| staged)
}

/// What the container's executor has packed; unpacked, in a folder of its own, where it is to be stored otherwise.
fn copied(pod: &Pod, path: &str, strategy: Strategy, staging: &Path) -> io::Result<(File, Option<PathBuf>)> {
    let root = pod.shared.place(path::OUTPUT_ARTIFACTS);
    let packed = beneath::open(&root, &format!("{}.tgz", normal(path)), Links::Refused)?;
    if matches!(strategy, Strategy::Packed(Format::Tar(_))) {
        return Ok((packed, None));
    }
    make_staging(staging)?;
    let folder = staging.join(format!("unpacked-{}", normal(path).replace('/', "-")));
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(&folder)?,
    }
    let name = base(path);
    unpack::opened(packed, Kind::Tar, &folder.join(&name))?;
    Ok((beneath::open(&folder, &name, Links::Refused)?, Some(folder)))
}

fn make_staging(staging: &Path) -> io::Result<()> {
    let why = |error: io::Error| io::Error::other(format!("cannot pack it in {}: {error}", staging.display()));
    fs::create_dir_all(staging).map_err(why)
}

/// A path's last name.
fn base(path: &str) -> String {
    let whole = normal(path);
    whole.rsplit('/').next().unwrap_or_default().to_owned()
}
