//! A container's exit code, as a file for those that wait for it; and before that a lock, which says that it is to come.
//!
//! An executor that is killed, as by the kernel where a container's memory is used up and all of it goes at once, leaves no
//! exit code. So from its start on it holds a lock on [`PENDING`], the file that will become the exit code, and the kernel
//! lets go of that lock however its process ends. Who waits sleeps in the kernel until then, and looks at nothing in the
//! meantime. Argo's own executor has no such file, and then there is only the exit code to wait for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use emissary_contract::file;

use crate::shared::read_text;

/// The file in a container's folder that is locked for as long as its executor runs, and then is the exit code.
pub const PENDING: &str = ".exitcode";

/// What a thread that only sleeps needs, bytes.
const STACK: usize = 32 << 10;

/// An exit code that is to come. Its room is taken at the start, so that a disk that the process has filled does not keep
/// others waiting; and it gets its name in one step, so that nobody reads half a number.
#[derive(Debug)]
pub struct Pending {
    /// Locked until the process ends.
    file: File,
    partial: PathBuf,
    name: PathBuf,
}

impl Pending {
    /// Takes the room and the lock.
    ///
    /// # Errors
    /// Where the folder cannot be written to. A file system without locks is no error: then nobody is told of a sudden end.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        // Whoever sees it under its name finds it locked.
        let unlocked = folder.join(".exitcode.part");
        let _ = fs::remove_file(&unlocked);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unlocked)?;
        file.write_all_at(b"000", 0)?;
        let mut partial = unlocked;
        if file.try_lock().is_ok() {
            let locked = folder.join(PENDING);
            fs::rename(&partial, &locked)?;
            partial = locked;
        }
        Ok(Self { file, partial, name: folder.join(file::EXIT_CODE) })
    }

    /// Publishes the code: decimal, and nothing behind it. The lock stays for as long as the process.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self, code: u8) -> io::Result<()> {
        let text = code.to_string();
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        fs::rename(self.partial, self.name)
    }
}

/// What a container has published; nothing while it has not, or where that is no number.
#[must_use]
pub fn read(file: &Path) -> Option<i64> {
    parse(&read_text(file, 64).ok()?)
}

/// An exit code's text; nothing where it is no number, or none yet.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Calls `then`, from a thread of its own, once nobody holds the lock on a [`PENDING`] file. Whether there is an exit code
/// then has to be looked at: it is published before.
///
/// # Errors
/// Where there can be no further thread. Where the file system has no locks, `then` is never called.
pub fn when_released(pending: File, then: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let sleep = move || {
        loop {
            match pending.lock_shared() {
                Ok(()) => return then(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(sleep).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_code_appears_whole_and_in_decimal() {
        let folder = tempfile::tempdir().unwrap();
        for code in [137, 0, 64] {
            let pending = Pending::begin(folder.path()).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join(PENDING)).unwrap(), "000");
            pending.finish(code).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("exitcode")).unwrap(), code.to_string());
            assert_eq!(read(&folder.path().join("exitcode")), Some(code.into()));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn the_lock_goes_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let pending = Pending::begin(folder.path()).unwrap();
        let (told, tell) = mpsc::channel();
        let open = || File::open(folder.path().join(PENDING)).unwrap();
        for _ in 0..2 {
            let told = told.clone();
            when_released(open(), move || told.send(()).unwrap()).unwrap();
        }
        assert!(tell.recv_timeout(Duration::from_millis(100)).is_err());
        drop(pending);
        // Several may wait for it, and one that comes late is told at once.
        when_released(open(), move || told.send(()).unwrap()).unwrap();
        for _ in 0..3 {
            tell.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        assert_eq!(read(&folder.path().join("exitcode")), None);
    }
}
