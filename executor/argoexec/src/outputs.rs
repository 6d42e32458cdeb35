//! Output parameters and artifacts that lie in the container's own layer, put where `wait` sees them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use emissary_contract::path;
use emissary_contract::template::{Artifact, Fields, normal};

use crate::archive::{self, Level};
use crate::failure::Failure;
use crate::files;
use crate::shared::Shared;

/// Saves every output, each whether or not another could be.
///
/// # Errors
/// Where one is there and cannot be saved. One that is not there may be optional, and is for `wait` to judge.
pub(crate) fn save(fields: &Fields, shared: &Shared, say: impl Fn(String)) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut note = |what: String, result: io::Result<()>| match result {
        Ok(()) => say(format!("saved {what}")),
        Err(error) if error.kind() == ErrorKind::NotFound => say(format!("{what} is not there")),
        Err(error) => problems.push(format!("cannot save {what}: {error}")),
    };
    let parameters = fields.outputs.parameters.iter();
    for (name, path) in parameters.map(|parameter| (&parameter.name, &parameter.value_from.path)) {
        if in_own_layer(fields, path) {
            note(format!("output parameter {name} from {path}"), parameter(path, shared));
        }
    }
    for artifact in &fields.outputs.artifacts {
        if in_own_layer(fields, &artifact.path) {
            let what = format!("output artifact {} from {}", artifact.name, artifact.path);
            note(what, save_artifact(artifact, shared));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::own(problems.join("; "))),
    }
}

/// Whether a template declares an output that would have to be saved.
pub(crate) fn any(fields: &Fields) -> bool {
    let parameters = fields.outputs.parameters.iter().map(|parameter| &parameter.value_from.path);
    let artifacts = fields.outputs.artifacts.iter().map(|artifact| &artifact.path);
    parameters.chain(artifacts).any(|path| in_own_layer(fields, path))
}

fn in_own_layer(fields: &Fields, path: &str) -> bool {
    !path.is_empty() && fields.mount_over(path).is_none()
}

fn parameter(path: &str, shared: &Shared) -> io::Result<()> {
    let mut from = open(Path::new(path))?;
    if !from.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let to = shared.place(path::OUTPUT_PARAMETERS).join(normal(path));
    make_parent(&to)?;
    files::fill(&to, 0o666, |to| io::copy(&mut from, to).map(drop))
}

fn save_artifact(artifact: &Artifact, shared: &Shared) -> io::Result<()> {
    let from = Path::new(&artifact.path);
    // What is linked is meant, not the link.
    let found = fs::metadata(from)?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    let mut to = shared.place(path::OUTPUT_ARTIFACTS).join(normal(&artifact.path)).into_os_string();
    to.push(".tgz");
    let to = PathBuf::from(to);
    make_parent(&to)?;
    let own = fs::metadata(shared.place(path::SHARED))?;
    files::fill(&to, 0o666, |to| archive::write(from, &own, level(artifact), to))
}

/// How hard to compress. Where `wait` unpacks the archive at once, hardly.
fn level(artifact: &Artifact) -> Level {
    match &artifact.archive {
        Some(archive) if archive.none.is_some() || archive.zip.is_some() => Level::fast(),
        Some(archive) => archive.tar.as_ref().and_then(|tar| tar.compression_level).map_or(Level::default(), |level| {
            u32::try_from(level).map_or(Level::default(), |level| Level::new(level.min(9)))
        }),
        None => Level::default(),
    }
}

/// Opens a file without waiting for a pipe's other end.
fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(file)
}

fn make_parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| files::make_folder(folder, 0o755))
}
