//! `argoexec init`, as far as it needs no network: the executor, the template and what is staged from it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use emissary_contract::template::Fields;
use emissary_contract::{path, variable};

use crate::environment::Environment;
use crate::failure::{Doing as _, Failure};
use crate::files;
use crate::inputs;
use crate::shared::Shared;

/// What init has not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Something has to be got from elsewhere.
    Artifacts,
}

/// Fills the shared volume.
///
/// # Errors
/// Where a file cannot be written or the template is missing or none.
pub(crate) fn run(environment: &Environment, shared: &Shared) -> Result<Left, Failure> {
    // Containers of other users read and write here.
    rustix::process::umask(rustix::fs::Mode::empty());
    let cannot = |what: &str, file: &Path| format!("cannot write {what} to {}", file.display());

    let executor = shared.place(path::EXECUTOR);
    files::fill(&executor, 0o555, copy_self).doing(|| cannot("the executor", &executor))?;

    let template = inputs::template_of_variable(environment, shared)?
        .ok_or_else(|| Failure::own(format!("{} is not set: init has no template", variable::TEMPLATE)))?;
    let file = shared.place(path::TEMPLATE);
    // As it came, so that fields that this version does not know are passed on.
    files::write(&file, template.text().as_bytes(), 0o444).doing(|| cannot("the template", &file))?;

    let fields = template.fields();
    for (text, place, permissions) in staged(fields) {
        let file = shared.place(place);
        files::write(&file, text.as_bytes(), permissions).doing(|| cannot("what the template holds", &file))?;
    }
    let from_elsewhere = fields.resource.as_ref().is_some_and(|resource| resource.manifest_from.is_some());
    Ok(if fields.inputs.artifacts.is_empty() && !from_elsewhere { Left::Nothing } else { Left::Artifacts })
}

/// The texts of a template that become files, where, and with which permissions.
fn staged(fields: &Fields) -> impl Iterator<Item = (&str, &'static str, u32)> {
    let script = fields.script.as_ref().map(|script| (script.source.as_str(), path::SCRIPT, 0o755));
    let manifest = fields.resource.as_ref().filter(|resource| resource.manifest_from.is_none());
    let manifest = manifest.map(|resource| (resource.manifest.as_str(), path::MANIFEST, 0o644));
    script.into_iter().chain(manifest)
}

/// This program, from its own file: where it is on `PATH` does not matter.
fn copy_self(to: &mut File) -> io::Result<()> {
    let mut own = File::open("/proc/self/exe")?;
    io::copy(&mut own, to)?;
    fs::metadata("/proc/self/exe").and_then(|own| match to.metadata()?.len() == own.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    })
}
