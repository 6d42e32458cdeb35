//! A pack's bytes: the header of each object, and what it is, inflated (`gitformat-pack`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::broken;
use super::object::{Id, Kind};

/// The longest object that has to be in memory: a difference and what comes of it, a tree, a commit.
pub(super) const LONGEST: u64 = 256 << 20;
/// No object.
pub(super) const NONE: u32 = u32::MAX;
/// Read of the file at a time, bytes.
const CHUNK: usize = 1 << 16;

/// An object's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: u64,
    /// What is in the pack of it, inflated, bytes.
    pub(super) size: u64,
    pub(super) id: Id,
    pub(super) crc: u32,
    /// What it is a difference to; [`NONE`] where it is whole.
    pub(super) base: u32,
    /// Nothing as long as it is not known what it is a difference to.
    pub(super) kind: Option<Kind>,
    /// How long its header is, bytes.
    pub(super) header: u8,
}

/// What an object's header says it is.
pub(super) enum Header {
    Whole(Kind),
    /// By the base's place.
    ByPlace(u64),
    ByName(Id),
}

/// A pack's bytes, in order or by place.
pub(super) struct Reader {
    file: File,
    buffer: Vec<u8>,
    /// What of the buffer is read, and filled.
    at: usize,
    filled: usize,
    /// Where in the file the buffer ends.
    end: u64,
    inflater: Decompress,
    scratch: Vec<u8>,
    /// Of what has been read since it was reset.
    pub(super) crc: Crc,
}

impl Reader {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            buffer: vec![0; CHUNK],
            at: 0,
            filled: 0,
            end: 0,
            inflater: Decompress::new(true),
            scratch: vec![0; CHUNK],
            crc: Crc::new(),
        }
    }

    /// How long the file is.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Where in the file it is.
    pub(super) fn place(&self) -> u64 {
        self.end - (self.filled - self.at) as u64
    }

    /// Goes to where an object's bytes begin, behind its header.
    pub(super) fn start(&mut self, entry: Entry) -> io::Result<()> {
        let place = entry.offset + u64::from(entry.header);
        match usize::try_from(self.end.wrapping_sub(place)) {
            Ok(left) if left <= self.filled => self.at = self.filled - left,
            _ => (self.at, self.filled, self.end) = (0, 0, place),
        }
        Ok(())
    }

    /// What is in the buffer, which is something.
    fn fill(&mut self) -> io::Result<()> {
        if self.at == self.filled {
            self.filled = self.file.read_at(&mut self.buffer, self.end)?;
            self.at = 0;
            self.end += self.filled as u64;
        }
        match self.filled {
            0 => Err(broken("a pack that is cut off")),
            _ => Ok(()),
        }
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> io::Result<u8> {
        self.fill()?;
        let byte = self.buffer.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        self.crc.update(&[byte]);
        Ok(byte)
    }

    /// An object's header: what it is, and how long.
    pub(super) fn header(&mut self, offset: u64) -> io::Result<(Header, u64)> {
        let long = || broken("a number in a pack that is too long");
        let mut byte = self.byte()?;
        let kind = byte >> 4 & 7;
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            size |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits).ok_or_else(long)?;
            shift += 7;
        }
        let header = match kind {
            1 => Header::Whole(Kind::Commit),
            2 => Header::Whole(Kind::Tree),
            3 => Header::Whole(Kind::Blob),
            4 => Header::Whole(Kind::Tag),
            6 => {
                // Big end first, and no number has two forms.
                let mut back = 0_u64;
                loop {
                    let byte = self.byte()?;
                    back = back
                        .checked_mul(128)
                        .and_then(|back| back.checked_add(u64::from(byte & 0x7f)))
                        .ok_or_else(long)?;
                    if byte & 0x80 == 0 {
                        break;
                    }
                    back += 1;
                }
                let base = offset.checked_sub(back).filter(|_| back > 0);
                Header::ByPlace(base.ok_or_else(|| broken("a difference to what is not there"))?)
            }
            7 => {
                let mut id = Id::default();
                for byte in &mut id.0 {
                    *byte = self.byte()?;
                }
                Header::ByName(id)
            }
            _ => return Err(broken("an object of no kind that git has")),
        };
        Ok((header, size))
    }

    /// An object's own bytes, in memory.
    pub(super) fn whole(&mut self, entry: Entry) -> io::Result<Vec<u8>> {
        if entry.size > LONGEST {
            return Err(io::Error::other(format!(
                "an object of {} bytes that is kept as a difference is too long",
                entry.size
            )));
        }
        // A length is a stranger's word until that much has come.
        let mut data = Vec::with_capacity(usize::try_from(entry.size).map_err(io::Error::other)?.min(16 * CHUNK));
        self.start(entry)?;
        self.inflate(entry.size, &mut |part| {
            data.extend_from_slice(part);
            Ok(())
        })?;
        Ok(data)
    }

    /// Inflates so many bytes.
    pub(super) fn inflate(&mut self, size: u64, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.inflater.reset(true);
        let mut made = 0;
        loop {
            self.fill()?;
            let (input, before) = (self.buffer.get(self.at..self.filled).unwrap_or_default(), self.inflater.total_in());
            let status = self.inflater.decompress(input, &mut self.scratch, FlushDecompress::None);
            let status = status.map_err(|_| broken("an object that cannot be inflated"))?;
            let taken = usize::try_from(self.inflater.total_in() - before).map_err(io::Error::other)?;
            let part = usize::try_from(self.inflater.total_out() - made).map_err(io::Error::other)?;
            self.crc.update(input.get(..taken).unwrap_or_default());
            self.at += taken;
            made = self.inflater.total_out();
            if made > size {
                return Err(broken("an object that is longer than it says"));
            }
            to(self.scratch.get(..part).unwrap_or_default())?;
            match status {
                Status::StreamEnd if made == size => return Ok(()),
                Status::StreamEnd => return Err(broken("an object that is shorter than it says")),
                _ if taken == 0 && part == 0 => return Err(broken("an object that cannot be inflated")),
                _ => {}
            }
        }
    }
}
