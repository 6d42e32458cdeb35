//! A pack: all objects of a repository in one file, most of them as differences to others (`gitformat-pack`).
//!
//! It is read three times: once through, to find the objects; again by place, to put those together that are differences, as
//! only then their names are known; and last for what is checked out. Memory does not grow with the objects' sizes: what is
//! kept whole is streamed, and what has to be in memory has limits.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::rc::Rc;
use std::time::Instant;

use super::object::{Id, Kind};
use super::reader::{Entry, Header, LONGEST, NONE, Reader};
use super::sum::{Naming, Summed};
use super::{broken, delta};

/// Objects of a pack at most; each takes some sixty bytes of memory.
const MOST: u32 = 20_000_000;
/// What is kept in memory of objects that others may be differences to, bytes.
const KEPT: usize = 48 << 20;

/// Until when it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

impl Deadline {
    /// # Errors
    /// When it is past.
    pub(super) fn check(self) -> io::Result<()> {
        match Instant::now() < self.0 {
            true => Ok(()),
            false => Err(io::Error::other("it takes too long")),
        }
    }
}

/// A pack and where everything in it is.
pub(super) struct Pack {
    reader: Reader,
    entries: Vec<Entry>,
    /// The entries by name.
    sorted: Vec<u32>,
    kept: HashMap<u32, Rc<Vec<u8>>>,
    kept_bytes: usize,
    deadline: Deadline,
}

impl Pack {
    /// Finds every object of a pack.
    ///
    /// # Errors
    /// Where it is none, an object is missing, or it is beyond a limit.
    pub(super) fn read(file: File, deadline: Deadline) -> io::Result<Self> {
        let mut reader = Reader::new(file);
        let mut head = [0; 12];
        for byte in &mut head {
            *byte = reader.byte()?;
        }
        let [magic @ .., a, b, c, d] = head;
        let count = u32::from_be_bytes([a, b, c, d]);
        if magic != *b"PACK\0\0\0\x02" {
            return Err(broken("a pack of another version"));
        }
        if count > MOST {
            return Err(io::Error::other(format!("it has {count} objects, and more than {MOST} are not taken")));
        }
        let mut pack = Self {
            reader,
            // What it says is a stranger's word.
            entries: Vec::with_capacity(count.min(1 << 16) as usize),
            sorted: Vec::new(),
            kept: HashMap::new(),
            kept_bytes: 0,
            deadline,
        };
        let mut named = HashMap::<Id, Vec<u32>>::new();
        for place in 0..count {
            deadline.check()?;
            pack.scan(place, &mut named)?;
        }
        if pack.reader.place() + 20 != pack.reader.length()? {
            return Err(broken("a pack with something behind its end"));
        }
        pack.put_together(named)?;
        let mut sorted: Vec<u32> = (0..count).collect();
        sorted.sort_unstable_by_key(|place| pack.entries.get(*place as usize).map(|entry| entry.id));
        pack.sorted = sorted;
        Ok(pack)
    }

    /// The next object of the file.
    fn scan(&mut self, place: u32, named: &mut HashMap<Id, Vec<u32>>) -> io::Result<()> {
        let offset = self.reader.place();
        self.reader.crc.reset();
        let (header, size) = self.reader.header(offset)?;
        let length = u8::try_from(self.reader.place() - offset).map_err(io::Error::other)?;
        let mut entry = Entry { offset, size, id: Id::default(), crc: 0, base: NONE, kind: None, header: length };
        match header {
            Header::Whole(kind) => {
                let mut name = Naming::new(kind, size);
                self.reader.inflate(size, &mut |part| {
                    name.add(part);
                    Ok(())
                })?;
                entry.id = name.id()?;
                entry.kind = Some(kind);
            }
            Header::ByPlace(base) => {
                self.reader.inflate(size, &mut |_| Ok(()))?;
                let base = self.entries.binary_search_by_key(&base, |entry| entry.offset);
                let base = base.map_err(|_| broken("a difference to what is not there"))?;
                entry.base = u32::try_from(base).map_err(io::Error::other)?;
            }
            Header::ByName(base) => {
                self.reader.inflate(size, &mut |_| Ok(()))?;
                named.entry(base).or_default().push(place);
            }
        }
        entry.crc = self.reader.crc.sum();
        self.entries.push(entry);
        Ok(())
    }

    /// Gives every difference its name: from the whole objects on, each right before those that are differences to it, while
    /// it is still in memory.
    fn put_together(&mut self, mut named: HashMap<Id, Vec<u32>>) -> io::Result<()> {
        let mut children = Children::new(self.entries.len());
        let mut roots = Vec::new();
        for (place, entry) in (0..).zip(&self.entries) {
            match entry.base {
                NONE if entry.kind.is_some() => roots.push(place),
                NONE => {}
                base => children.add(base, place),
            }
        }
        for root in roots {
            let mut waiting = vec![root];
            while let Some(place) = waiting.pop() {
                self.deadline.check()?;
                let entry = self.entry(place)?;
                let (id, kind) = match entry.kind {
                    Some(kind) => (entry.id, kind),
                    None => self.name(place, entry)?,
                };
                for child in named.remove(&id).into_iter().flatten() {
                    if let Some(entry) = self.entries.get_mut(child as usize) {
                        entry.base = place;
                    }
                    children.add(place, child);
                }
                if let Some(entry) = self.entries.get_mut(place as usize) {
                    (entry.id, entry.kind) = (id, Some(kind));
                }
                children.of(place, &mut waiting);
            }
        }
        match self.entries.iter().all(|entry| entry.kind.is_some()) {
            true => Ok(()),
            false => Err(broken("a difference to what is not there")),
        }
    }

    /// The name and kind of a difference whose base has both.
    fn name(&mut self, place: u32, entry: Entry) -> io::Result<(Id, Kind)> {
        let kind = self.entry(entry.base)?.kind.ok_or_else(|| broken("a difference to what is not there"))?;
        let data = self.data(place)?;
        let mut name = Naming::new(kind, data.len() as u64);
        name.add(&data);
        Ok((name.id()?, kind))
    }

    fn entry(&self, place: u32) -> io::Result<Entry> {
        self.entries.get(place as usize).copied().ok_or_else(|| broken("an object that is not there"))
    }

    /// What an object is, in memory.
    fn data(&mut self, place: u32) -> io::Result<Rc<Vec<u8>>> {
        let mut differences = Vec::new();
        let mut at = place;
        let mut data = loop {
            if let Some(kept) = self.kept.get(&at) {
                break Rc::clone(kept);
            }
            let entry = self.entry(at)?;
            if entry.base == NONE {
                let whole = self.reader.whole(entry)?;
                break self.keep(at, whole);
            }
            differences.push((at, entry));
            at = entry.base;
        };
        while let Some((place, entry)) = differences.pop() {
            self.deadline.check()?;
            let difference = self.reader.whole(entry)?;
            data = self.keep(place, delta::apply(&data, &difference, LONGEST)?);
        }
        Ok(data)
    }

    fn keep(&mut self, place: u32, data: Vec<u8>) -> Rc<Vec<u8>> {
        let data = Rc::new(data);
        if data.len() <= KEPT / 4 {
            if self.kept_bytes + data.len() > KEPT {
                self.kept.clear();
                self.kept_bytes = 0;
            }
            if self.kept.insert(place, Rc::clone(&data)).is_none() {
                self.kept_bytes += data.len();
            }
        }
        data
    }

    fn find(&self, id: &Id) -> Option<u32> {
        let id_of = |place: &u32| self.entries.get(*place as usize).map(|entry| entry.id);
        let at = self.sorted.binary_search_by(|place| id_of(place).cmp(&Some(*id))).ok()?;
        self.sorted.get(at).copied()
    }

    /// What an object is, if it is there.
    pub(super) fn kind(&self, id: &Id) -> Option<Kind> {
        self.entries.get(self.find(id)? as usize)?.kind
    }

    /// The one commit whose name begins so.
    pub(super) fn commit_of(&self, beginning: &str) -> Option<Id> {
        let commits = self.entries.iter().filter(|entry| entry.kind == Some(Kind::Commit));
        let mut found = commits.filter(|entry| entry.id.to_string().starts_with(beginning));
        let first = found.next()?;
        found.next().is_none().then_some(first.id)
    }

    /// An object of that kind.
    ///
    /// # Errors
    /// Where it is not there, is something else, or is beyond a limit.
    pub(super) fn object(&mut self, id: &Id, kind: Kind) -> io::Result<Rc<Vec<u8>>> {
        let place =
            self.find(id).filter(|place| self.entries.get(*place as usize).is_some_and(|e| e.kind == Some(kind)));
        match place {
            Some(place) => self.data(place),
            None => Err(broken(&format!("no {} {id}", kind.name()))),
        }
    }

    /// Writes a blob.
    ///
    /// # Errors
    /// As [`Pack::object`], and where it cannot be written.
    pub(super) fn blob(&mut self, id: &Id, to: &mut File) -> io::Result<()> {
        let entry = self.find(id).and_then(|place| self.entries.get(place as usize)).copied();
        match entry {
            Some(entry) if entry.kind == Some(Kind::Blob) && entry.base == NONE => {
                self.reader.start(entry)?;
                self.reader.inflate(entry.size, &mut |part| to.write_all(part))
            }
            _ => to.write_all(&self.object(id, Kind::Blob)?),
        }
    }

    /// Writes the index by which git finds objects in a pack, of version 2. `checksum` is what the pack ends with.
    pub(super) fn write_index(&self, to: File, checksum: [u8; 20]) -> io::Result<()> {
        let mut to = Summed::new(to);
        to.write_all(b"\xfftOc\0\0\0\x02")?;
        let sorted = || self.sorted.iter().filter_map(|place| self.entries.get(*place as usize));
        let mut firsts = [0_u32; 256];
        for entry in sorted() {
            if let Some(count) = firsts.get_mut(usize::from(entry.id.0[0])) {
                *count += 1;
            }
        }
        let mut below = 0;
        for count in firsts {
            below += count;
            to.write_all(&below.to_be_bytes())?;
        }
        for entry in sorted() {
            to.write_all(&entry.id.0)?;
        }
        for entry in sorted() {
            to.write_all(&entry.crc.to_be_bytes())?;
        }
        let mut far = Vec::new();
        for entry in sorted() {
            let near = u32::try_from(entry.offset).ok().filter(|offset| offset >> 31 == 0);
            let offset = match near {
                Some(offset) => offset,
                // The place in a second table.
                None => {
                    far.push(entry.offset);
                    u32::try_from(far.len() - 1).map_err(io::Error::other)? | 1 << 31
                }
            };
            to.write_all(&offset.to_be_bytes())?;
        }
        for offset in far {
            to.write_all(&offset.to_be_bytes())?;
        }
        to.write_all(&checksum)?;
        to.end()
    }
}

/// Which objects are differences to which: lists in two arrays.
struct Children {
    first: Vec<u32>,
    next: Vec<u32>,
}

impl Children {
    fn new(count: usize) -> Self {
        Self { first: vec![NONE; count], next: vec![NONE; count] }
    }

    fn add(&mut self, base: u32, child: u32) {
        if let (Some(first), Some(next)) = (self.first.get_mut(base as usize), self.next.get_mut(child as usize)) {
            *next = std::mem::replace(first, child);
        }
    }

    fn of(&self, base: u32, to: &mut Vec<u32>) {
        let mut at = self.first.get(base as usize);
        while let Some(child) = at.filter(|child| **child != NONE) {
            to.push(*child);
            at = self.next.get(*child as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;
    use sha1_checked::{Digest as _, Sha1};
    use std::time::Duration;

    /// A pack in the making.
    struct Making {
        bytes: Vec<u8>,
        count: u32,
    }

    impl Making {
        fn new() -> Self {
            Self { bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), count: 0 }
        }

        /// Adds an object and gives its place. `base` is what stands between its header and its bytes.
        fn add(&mut self, kind: u8, base: &[u8], says: usize, data: &[u8]) -> u64 {
            let place = self.bytes.len() as u64;
            let mut size = says >> 4;
            let mut byte = kind << 4 | (says & 15) as u8;
            while size > 0 {
                self.bytes.push(byte | 0x80);
                byte = (size & 0x7f) as u8;
                size >>= 7;
            }
            self.bytes.push(byte);
            self.bytes.extend_from_slice(base);
            let mut encoder = ZlibEncoder::new(&mut self.bytes, Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap();
            self.count += 1;
            place
        }

        fn end(mut self) -> Vec<u8> {
            self.bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
            let sum = Sha1::digest(&self.bytes);
            self.bytes.extend_from_slice(&sum);
            self.bytes
        }
    }

    fn read(bytes: &[u8], left: Duration) -> io::Result<Pack> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Pack::read(file, Deadline(Instant::now() + left))
    }

    const SOON: Duration = Duration::from_secs(60);

    fn id(text: &str) -> Id {
        Id::parse(text.as_bytes()).unwrap()
    }

    /// A blob, one that is a difference to it, and an empty tree.
    fn whole() -> Vec<u8> {
        let mut making = Making::new();
        let base = making.add(3, &[], 11, b"hello world");
        let back = u8::try_from(making.bytes.len() as u64 - base).unwrap();
        making.add(6, &[back], 8, &[11, 9, 0x90, 6, 3, b'g', b'i', b't']);
        making.add(2, &[], 0, b"");
        making.end()
    }

    #[test]
    fn objects_are_found_by_their_names() {
        let mut pack = read(&whole(), SOON).unwrap();
        let blob = |pack: &mut Pack, name: &str| pack.object(&id(name), Kind::Blob).map(|data| data.to_vec());
        assert_eq!(blob(&mut pack, "95d09f2b10159347eece71399a7e2e907ea3df4f").unwrap(), b"hello world");
        assert_eq!(pack.kind(&id("4b825dc642cb6eb9a060e54bf8d69288fbee4904")), Some(Kind::Tree));
        let mut changed = Naming::new(Kind::Blob, 9);
        changed.add(b"hello git");
        let changed = changed.id().unwrap();
        assert_eq!(blob(&mut pack, &changed.to_string()).unwrap(), b"hello git");
        assert!(pack.object(&changed, Kind::Tree).is_err());
        let mut by_name = Making::new();
        // Each is a difference to what comes behind it.
        by_name.add(7, &changed.0, 6, &[9, 2, 0x90, 1, 1, b'i']);
        by_name.add(7, &id("95d09f2b10159347eece71399a7e2e907ea3df4f").0, 8, &[11, 9, 0x90, 6, 3, b'g', b'i', b't']);
        by_name.add(3, &[], 11, b"hello world");
        let mut pack = read(&by_name.end(), SOON).unwrap();
        assert_eq!(blob(&mut pack, &changed.to_string()).unwrap(), b"hello git");
        assert_eq!(pack.entries[0].kind, Some(Kind::Blob));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let made = |fill: &dyn Fn(&mut Making)| {
            let mut making = Making::new();
            fill(&mut making);
            making.end()
        };
        let mut more = whole();
        more.extend_from_slice(b"more");
        let mut many = Making::new();
        many.count = MOST + 1;
        let cases = [
            (b"PACK".to_vec(), "cut off"),
            (b"PACK\0\0\0\x03\0\0\0\0".to_vec(), "another version"),
            (many.end(), "more than"),
            (more, "behind its end"),
            (made(&|making| _ = making.add(3, &[], 5, b"longer")), "longer than it says"),
            (made(&|making| _ = making.add(3, &[], 9, b"shorter")), "shorter than it says"),
            (made(&|making| _ = making.add(5, &[], 0, b"")), "no kind"),
            (made(&|making| _ = making.add(6, &[1], 4, b"1234")), "what is not there"),
            (made(&|making| _ = making.add(6, &[0], 4, b"1234")), "what is not there"),
            (made(&|making| _ = making.add(7, &[7; 20], 4, b"1234")), "what is not there"),
            (made(&|making| making.bytes.extend_from_slice(&[0x30; 40])), "behind its end"),
        ];
        for (bytes, message) in cases {
            let error = read(&bytes, SOON).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(message), "{message}: {error}");
        }
        assert!(read(&whole(), Duration::ZERO).err().unwrap().to_string().contains("too long"));
    }

    #[test]
    fn differences_that_grow_have_an_end() {
        // A thousand bytes that stand for a gigabyte: each copies the one before sixteen times.
        let mut making = Making::new();
        let mut place = making.add(3, &[], 1024, &[7; 1024]);
        let mut length = 1024_usize;
        let number = |mut number: usize| {
            let mut bytes = Vec::new();
            while number > 0x7f {
                bytes.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            bytes
        };
        for _ in 0..5 {
            let mut delta = [number(length), number(length * 16)].concat();
            for _ in 0..16 {
                let mut left = length;
                let mut from = 0;
                while left > 0 {
                    let count = left.min(0xff_ffff);
                    delta.push(0xff);
                    delta.extend((from as u32).to_le_bytes());
                    delta.extend(&(count as u32).to_le_bytes()[..3]);
                    (from, left) = (from + count, left - count);
                }
            }
            let back = making.bytes.len() as u64 - place;
            assert!(back < 0x80 || place > 0);
            let mut distance = vec![(back & 0x7f) as u8];
            let mut rest = back >> 7;
            while rest > 0 {
                rest -= 1;
                distance.insert(0, (rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            place = making.add(6, &distance, delta.len(), &delta);
            length *= 16;
        }
        let error = read(&making.end(), SOON).err().unwrap().to_string();
        assert!(error.contains("is too long"), "{error}");
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_refused(at in 0..100_usize, byte: u8, end in 0..200_usize) {
            let mut bytes = whole();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read(&bytes, SOON);
            bytes.truncate(end);
            let _ = read(&bytes, SOON);
        }
    }
}
