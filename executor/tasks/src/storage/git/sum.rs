//! Hashes in the making: those that name objects, and those that files end with.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use sha1_checked::{Digest as _, Sha1};

use super::broken;
use super::object::{Id, Kind};

/// Read or written at a time, bytes.
const CHUNK: usize = 1 << 16;

/// An object's name in the making.
pub(super) struct Naming(Sha1);

impl Naming {
    /// Of so many bytes.
    pub(super) fn new(kind: Kind, length: u64) -> Self {
        Self(Sha1::new_with_prefix(format!("{} {length}\0", kind.name())))
    }

    /// Adds some of its bytes.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// # Errors
    /// Where it was made to have the name of another: a name that is asked for has to be that of one content.
    pub(super) fn id(self) -> io::Result<Id> {
        let made = self.0.try_finalize();
        match made.has_collision() {
            true => Err(broken("an object that was made to have another's name")),
            false => Ok(Id((*made.hash()).into())),
        }
    }
}

/// A file that ends with the hash of what is before.
pub(super) struct Summed {
    file: BufWriter<File>,
    sum: Sha1,
}

impl Summed {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(CHUNK, file), sum: Sha1::new() }
    }

    /// Counts what is in the file already.
    pub(super) fn take_in(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut part = vec![0; CHUNK];
        loop {
            match from.read(&mut part)? {
                0 => return Ok(()),
                read => self.sum.update(part.get(..read).unwrap_or_default()),
            }
        }
    }

    /// Writes the hash.
    pub(super) fn end(mut self) -> io::Result<()> {
        let sum = self.sum.finalize();
        self.file.write_all(&sum)?;
        self.file.flush()
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
