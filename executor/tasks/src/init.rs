//! `argoexec init`, as far as it needs a network: input artifacts.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use emissary_contract::path;
use emissary_contract::template::normal;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Doing as _, Failure};
use crate::pod::Pod;
use crate::storage::{self, StorageError};
use crate::unpack::{self, Kind};

/// Loads every input artifact, or ends when it is told to: process 1 of a container gets no signal that it does not ask for.
///
/// # Errors
/// As [`run`]; and after SIGTERM.
pub(crate) async fn until_told(pod: &Pod) -> Result<(), Failure> {
    let kind = SignalKind::terminate();
    let mut terminate = signal(kind).doing(|| "cannot wait for signals".to_owned())?;
    tokio::select! {
        loaded = run(pod) => loaded,
        _ = terminate.recv() => Err(Failure::signalled(kind.as_raw_value())),
    }
}

/// Loads every input artifact.
///
/// # Errors
/// Where one is missing and not optional, or cannot be loaded, unpacked or put in its place.
pub(crate) async fn run(pod: &Pod) -> Result<(), Failure> {
    let artifacts = pod.value.pointer("/inputs/artifacts").and_then(Value::as_array);
    for artifact in artifacts.into_iter().flatten() {
        let name = text(artifact, "name");
        let optional = artifact.get("optional").and_then(Value::as_bool).unwrap_or_default();
        match load(pod, artifact, name).await {
            Ok(()) => {}
            Err(StorageError::Missing(what)) if optional => pod.say(|| format!("artifact {name}: {what} is not there")),
            Err(error) => return Err(error).doing(|| format!("cannot load input artifact {name}")),
        }
    }
    Ok(())
}

async fn load(pod: &Pod, artifact: &Value, name: &str) -> Result<(), StorageError> {
    let has_place = storage::key_of(artifact).is_some() || artifact.get("raw").is_some();
    if !has_place {
        return Err(StorageError::Missing("what it should be".to_owned()));
    }
    // A plugin's is loaded by the plugin.
    let Some(location) = storage::located(pod, artifact)? else { return Ok(()) };
    let target = target(pod, name, text(artifact, "path"))?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    }
    let partial = with(&target, ".tmp");
    remove(&partial)?;
    storage::load(pod, &location, &partial).await?;
    // The volume of input artifacts is ours alone: what is there is from a run before. In a volume of the user's it is not.
    if target.starts_with(pod.shared.place(path::INPUT_ARTIFACTS)) {
        remove(&target).map_err(|error| at(&target, &error))?;
    }
    let done = settle(artifact, &partial, &target);
    let _ = remove(&partial);
    done.map_err(|error| at(&target, &error))?;
    pod.say(|| format!("artifact {name} is at {}", target.display()));
    Ok(())
}

/// Unpacks what was loaded, if it is to be, and gives it its permissions.
fn settle(artifact: &Value, partial: &Path, target: &Path) -> io::Result<()> {
    match kind(artifact, partial)? {
        Some(kind) => unpack::to(partial, kind, target)?,
        None => unpack::place(partial, target)?,
    }
    let Some(mode) = artifact.get("mode").and_then(Value::as_u64) else { return Ok(()) };
    let mode = u32::try_from(mode & 0o777).unwrap_or_default();
    let recurse = artifact.get("recurseMode").and_then(Value::as_bool).unwrap_or_default();
    set_mode(target, mode, recurse)
}

/// How it is packed: as the template says, else a gzipped tar is known by its first bytes.
fn kind(artifact: &Value, file: &Path) -> io::Result<Option<Kind>> {
    let says = |name: &str| artifact.pointer(&format!("/archive/{name}")).is_some_and(Value::is_object);
    if file.is_dir() || says("none") {
        return Ok(None);
    }
    if says("tar") {
        return Ok(Some(Kind::Tar));
    }
    if says("zip") {
        return Ok(Some(Kind::Zip));
    }
    Ok(unpack::is_gzipped_tar(file)?.then_some(Kind::Tar))
}

/// Where an artifact goes: to the volume of input artifacts, or, where the template has a mount of the user's there, into that.
fn target(pod: &Pod, name: &str, path: &str) -> Result<PathBuf, StorageError> {
    if pod.template.fields().mount_over(path).is_some() && !path.is_empty() {
        return Ok(pod.shared.place(path::MIRROR).join(normal(path)));
    }
    match normal(name) {
        name if name.is_empty() => Err(StorageError::Lasting("it has no name".to_owned())),
        name => Ok(pod.shared.place(path::INPUT_ARTIFACTS).join(name)),
    }
}

/// Sets permissions, of folders after what is in them.
fn set_mode(target: &Path, mode: u32, recurse: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(target)?;
    if found.is_symlink() {
        return Ok(());
    }
    if recurse && found.is_dir() {
        for entry in fs::read_dir(target)? {
            set_mode(&entry?.path(), mode, recurse)?;
        }
    }
    fs::set_permissions(target, fs::Permissions::from_mode(mode))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn at(path: &Path, error: &io::Error) -> StorageError {
    StorageError::Lasting(format!("{}: {error}", path.display()))
}

fn text<'a>(artifact: &'a Value, name: &str) -> &'a str {
    artifact.get(name).and_then(Value::as_str).unwrap_or_default()
}
