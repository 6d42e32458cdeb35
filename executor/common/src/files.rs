//! Files that others read: whole or not there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes a folder and those above it, each with these permissions.
///
/// # Errors
/// The system's; a folder that is there is none.
pub fn make_folder(folder: &Path, permissions: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(permissions).create(folder)
}

/// A file that appears under its name once it is complete.
#[derive(Debug)]
pub struct Whole {
    /// To be written to.
    pub file: File,
    partial: PathBuf,
    name: PathBuf,
}

impl Whole {
    /// Begins the file beside its name.
    ///
    /// # Errors
    /// The system's.
    pub fn begin(name: &Path, permissions: u32) -> io::Result<Self> {
        let mut partial = name.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        // One that a run before left may not be ours to write.
        let _ = fs::remove_file(&partial);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(permissions).open(&partial)?;
        Ok(Self { file, partial, name: name.to_owned() })
    }

    /// Gives it its name and its permissions, which the process's mask may have cut.
    ///
    /// # Errors
    /// The system's; what has been written then stays under another name.
    pub fn finish(self, permissions: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(permissions))?;
        fs::rename(&self.partial, &self.name)
    }

    /// Leaves nothing.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// Writes a whole file.
///
/// # Errors
/// The system's; then there is none.
pub fn write(name: &Path, bytes: &[u8], permissions: u32) -> io::Result<()> {
    fill(name, permissions, |file| file.write_all(bytes))
}

/// Makes a whole file with whatever `write` puts into it; where that fails, none.
///
/// # Errors
/// The system's, and those of `write`.
pub fn fill(name: &Path, permissions: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut whole = Whole::begin(name, permissions)?;
    match write(&mut whole.file) {
        Ok(()) => whole.finish(permissions),
        Err(error) => {
            whole.discard();
            Err(error)
        }
    }
}
