//! The other program of the executor's image.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use emissary_contract::TASKS;

use crate::failure::{Doing as _, Failure};

/// Becomes `argoexec-tasks`, with the same arguments and environment; comes back only where that fails.
///
/// The seam between the two: whatever this program does of a verb it has done before, and each file that it has written
/// is whole. The other program takes no notice of what is there already.
pub(crate) fn become_tasks(line: &[OsString]) -> Result<u8, Failure> {
    let tasks = path()?;
    let error = Command::new(&tasks).args(line).exec();
    Err(Failure::own(format!(
        "cannot run {}: {error}; this verb is done by the executor's image, not by the copy in the shared volume",
        tasks.display()
    )))
}

fn path() -> Result<PathBuf, Failure> {
    let own = fs::read_link("/proc/self/exe").doing(|| "cannot tell where argoexec is".to_owned())?;
    Ok(own.with_file_name(TASKS))
}
