//! A container's exit code, as a file for those that wait for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use emissary_contract::file;

/// The file that will hold the exit code. Its room is taken at the start, so that a disk that the process has filled does not
/// keep others waiting; and it gets its name in one step, so that nobody reads half a number.
pub(crate) struct Report {
    file: File,
    partial: PathBuf,
    name: PathBuf,
}

impl Report {
    /// Takes the room.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        let partial = folder.join(".exitcode");
        let _ = fs::remove_file(&partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&partial)?;
        file.write_all_at(b"000", 0)?;
        Ok(Self { file, partial, name: folder.join(file::EXIT_CODE) })
    }

    /// Publishes the code: decimal, and nothing behind it.
    pub(crate) fn finish(self, code: u8) -> io::Result<()> {
        let text = code.to_string();
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        fs::rename(self.partial, self.name)
    }
}

/// What a container has published; nothing while it has not, or where that is no number.
pub(crate) fn read(file: &Path) -> Option<i64> {
    crate::shared::read_text(file, 64).ok()?.trim().parse().ok()
}
