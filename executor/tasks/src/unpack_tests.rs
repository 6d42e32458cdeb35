//! Archives that behave, and archives that do not.

use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

/// An entry: kind, name, and text or target.
type Raw<'a> = (tar::EntryType, &'a str, &'a str);

const FILE: tar::EntryType = tar::EntryType::Regular;
const LINK: tar::EntryType = tar::EntryType::Symlink;
const HARD: tar::EntryType = tar::EntryType::Link;
const DIR: tar::EntryType = tar::EntryType::Directory;

/// A tar with names as they are given, which the library would not write.
fn tar_of(entries: &[Raw]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == DIR { 0o755 } else { 0o4644 });
        let data = if *kind == FILE { text.as_bytes() } else { b"" };
        header.set_size(data.len() as u64);
        let old = header.as_old_mut();
        old.name[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
        if *kind == LINK || *kind == HARD {
            old.linkname[..text.len().min(100)].copy_from_slice(&text.as_bytes()[..text.len().min(100)]);
        }
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("outside"), "untouched").unwrap();
        Self(folder)
    }

    fn unpack(&self, bytes: &[u8], kind: Kind) -> io::Result<()> {
        let archive = self.0.path().join("archive");
        fs::write(&archive, bytes).unwrap();
        to(&archive, kind, &self.target())
    }

    fn target(&self) -> std::path::PathBuf {
        self.0.path().join("in/target")
    }

    /// Nothing is beside the target, and nothing in it is a link that leads out.
    fn holds(&self) {
        assert_eq!(fs::read_to_string(self.0.path().join("outside")).unwrap(), "untouched");
        let mut names: Vec<_> = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["archive", "in", "outside"]);
        for entry in fs::read_dir(self.0.path().join("in")).unwrap() {
            assert_eq!(entry.unwrap().file_name(), "target");
        }
        if self.target().is_dir() {
            let root = fs::canonicalize(self.target()).unwrap();
            links_stay(&root, &root);
        }
    }
}

fn links_stay(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            if let Ok(real) = fs::canonicalize(entry.path()) {
                assert!(real.starts_with(root), "{} leads to {}", entry.path().display(), real.display());
            }
        } else if kind.is_dir() {
            links_stay(&entry.path(), root);
        }
    }
}

#[test]
fn nothing_leaves_the_target() {
    let cases: &[&[Raw]] = &[
        &[(FILE, "../outside", "x")],
        &[(FILE, "/outside", "x")],
        &[(FILE, "a/../../outside", "x")],
        &[(LINK, "a/l", "../../outside"), (FILE, "b", "")],
        &[(LINK, "l", "/etc/passwd"), (FILE, "b", "")],
        &[(LINK, "l", ".."), (FILE, "l/outside", "x")],
        &[(DIR, "d", ""), (LINK, "l", "d"), (FILE, "l/f", "x")],
        // Through a link that is itself inside.
        &[(FILE, "b", ""), (LINK, "d/e/up", "../.."), (LINK, "d/e/f", "up/../outside")],
        // A link that gets another depth by a hard link.
        &[(FILE, "b", ""), (LINK, "d/e/up", "../.."), (HARD, "h", "d/e/up")],
        &[(HARD, "h", "../outside"), (FILE, "b", "")],
        &[(HARD, "h", "/etc/passwd"), (FILE, "b", "")],
        // The only folder becomes the target, and this link would be to what is beside it.
        &[(FILE, "top/f", "x"), (LINK, "top/l", "../outside")],
        &[(LINK, "l", "l")],
        &[(tar::EntryType::Char, "dev", ""), (FILE, "b", "")],
        &[(tar::EntryType::Block, "dev", ""), (FILE, "b", "")],
        &[(tar::EntryType::Fifo, "pipe", ""), (FILE, "b", "")],
        &[(FILE, ".", "x")],
    ];
    for case in cases {
        let place = Place::new();
        let error = place.unpack(&tar_of(case), Kind::Tar).expect_err(&format!("{case:?}"));
        assert!(error.to_string().contains("refused"), "{case:?}: {error}");
        assert!(!place.target().exists(), "{case:?}");
        place.holds();
    }
}

#[test]
fn what_behaves_is_unpacked() {
    let place = Place::new();
    let entries = [
        (DIR, "top/", ""),
        (FILE, "top/a", "one"),
        (FILE, "./top/deep/b", "two"),
        (LINK, "top/deep/l", "../a"),
        (LINK, "top/m", "deep/b"),
        (HARD, "top/h", "top/a"),
        (FILE, "top/a2", "first"),
        (FILE, "top/a2", "second"),
    ];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar_of(&entries)).unwrap();
    place.unpack(&gzip.finish().unwrap(), Kind::Tar).unwrap();
    let read = |name: &str| fs::read_to_string(place.target().join(name)).unwrap();
    let found = ["a", "deep/b", "deep/l", "m", "h", "a2"].map(read);
    assert_eq!(found, ["one", "two", "one", "two", "one", "second"]);
    // Not setuid.
    assert_eq!(fs::metadata(place.target().join("a")).unwrap().permissions().mode() & 0o7777, 0o644);
    place.holds();
}

#[test]
fn one_file_is_the_target_and_several_are_a_folder() {
    let place = Place::new();
    place.unpack(&tar_of(&[(FILE, "only", "text")]), Kind::Tar).unwrap();
    assert_eq!(fs::read_to_string(place.target()).unwrap(), "text");
    // Again, as after a restart.
    place.unpack(&tar_of(&[(FILE, "only", "more")]), Kind::Tar).unwrap();
    assert_eq!(fs::read_to_string(place.target()).unwrap(), "more");

    let place = Place::new();
    place.unpack(&tar_of(&[(FILE, "a", "1"), (FILE, "b", "2")]), Kind::Tar).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("b")).unwrap(), "2");
    place.holds();

    let place = Place::new();
    place.unpack(&tar_of(&[]), Kind::Tar).unwrap();
    assert_eq!(fs::read_dir(place.target()).unwrap().count(), 0);
}

#[test]
fn folders_may_forbid_writing() {
    let place = Place::new();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, mode) in [("t/", DIR, 0o555), ("t/d/", DIR, 0o500), ("t/d/f", FILE, 0o400)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        builder.append_data(&mut header, name, &b""[..]).unwrap();
    }
    place.unpack(&builder.into_inner().unwrap(), Kind::Tar).unwrap();
    let mode = |name: &str| fs::metadata(place.target().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(["", "d", "d/f"].map(mode), [0o555, 0o500, 0o400]);
    for name in ["d", ""] {
        fs::set_permissions(place.target().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn zips_are_held_to_the_same() {
    use zip::write::SimpleFileOptions;

    type Writer = zip::ZipWriter<io::Cursor<Vec<u8>>>;
    let zip_of = |build: &dyn Fn(&mut Writer)| {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        build(&mut writer);
        writer.finish().unwrap().into_inner()
    };
    let options = SimpleFileOptions::default();
    let place = Place::new();
    let bytes = zip_of(&|writer| {
        writer.start_file("top/a", options.unix_permissions(0o755)).unwrap();
        writer.write_all(b"one").unwrap();
        writer.add_symlink("top/l", "a", options).unwrap();
    });
    place.unpack(&bytes, Kind::Zip).unwrap();
    assert_eq!(fs::read_to_string(place.target().join("l")).unwrap(), "one");
    assert_eq!(fs::metadata(place.target().join("a")).unwrap().permissions().mode() & 0o777, 0o755);
    place.holds();

    for (name, link) in [("../outside", None), ("a", Some("../outside")), ("/abs", None)] {
        let place = Place::new();
        let bytes = zip_of(&|writer| match link {
            Some(link) => writer.add_symlink(name, link, options).unwrap(),
            None => writer.start_file(name, options).unwrap(),
        });
        assert!(place.unpack(&bytes, Kind::Zip).is_err(), "{name} {link:?}");
        place.holds();
    }
}

/// An archive of one kind of head again and again, as it comes out of very little that is compressed.
struct Heads {
    head: Vec<u8>,
    at: usize,
    left: u64,
}

impl Read for Heads {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let end = self.head.len() - self.at;
        let count = bytes.len().min(end).min(usize::try_from(self.left).unwrap());
        bytes[..count].copy_from_slice(&self.head[self.at..self.at + count]);
        self.at = (self.at + count) % self.head.len();
        self.left -= count as u64;
        Ok(count)
    }
}

#[test]
fn what_an_archive_says_of_its_entries_has_a_limit() {
    const GIGABYTE: u64 = 1 << 30;
    let head = |kind, size| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    };
    // A sparse file whose map goes on and on.
    let mut sparse = head(tar::EntryType::GNUSparse, 0);
    sparse.as_gnu_mut().unwrap().set_is_extended(true);
    sparse.set_cksum();
    let mut map = vec![0; 512];
    map[504] = 1;
    let cases = [
        ("a long name", head(tar::EntryType::GNULongName, GIGABYTE), vec![b'n'; 512]),
        ("a long link", head(tar::EntryType::GNULongLink, GIGABYTE), vec![b'n'; 512]),
        ("PAX records", head(tar::EntryType::XHeader, GIGABYTE), vec![b'x'; 512]),
        ("a map", sparse, map),
    ];
    for (what, header, rest) in cases {
        let place = Place::new();
        let mut tree = Tree::begin(&place.target()).unwrap();
        let endless = Heads { head: rest, at: 0, left: 2 * GIGABYTE };
        let error = tree.entries(header.as_bytes().chain(endless)).unwrap_err();
        assert!(error.to_string().contains("refused: what it says of its entries is too long"), "{what}: {error}");
    }
}

#[test]
fn a_folder_that_is_named_again_and_again_is_kept_once() {
    let place = Place::new();
    let mut tree = Tree::begin(&place.target()).unwrap();
    let head = tar_of(&[(DIR, "d/", "")]);
    let endless = Heads { head: head[..512].to_vec(), at: 0, left: 512 * 10_000 };
    tree.entries(endless).unwrap();
    assert_eq!(tree.folders.len(), 1);
}

#[test]
fn names_of_any_writer_are_read() {
    let name = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let other = "o".repeat(150);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d".repeat(120))).unwrap();
    fs::write(folder.path().join(&name), "one").unwrap();
    std::os::unix::fs::symlink(&other, folder.path().join("link")).unwrap();
    fs::write(folder.path().join(&other), "two").unwrap();
    for format in ["gnu", "oldgnu", "pax", "posix"] {
        let place = Place::new();
        let tar = std::process::Command::new("tar")
            .arg(format!("--format={format}"))
            .args(["--sparse", "-cf", "-", "-C"])
            .arg(folder.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(tar.status.success(), "{format}");
        place.unpack(&tar.stdout, Kind::Tar).unwrap();
        let read = |name: &str| fs::read_to_string(place.target().join(name)).unwrap();
        assert_eq!([read(&name), read("link"), read(&other)], ["one", "two", "two"], "{format}");
    }
}

#[test]
fn holes_stay_holes_and_have_a_limit() {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let folder = tempfile::tempdir().unwrap();
    let sparse = File::create(folder.path().join("sparse")).unwrap();
    sparse.write_all_at(b"middle", 40 << 20).unwrap();
    sparse.set_len(64 << 20).unwrap();
    let mut command = std::process::Command::new("tar");
    command.args(["--format=gnu", "--sparse", "-cf", "-", "-C"]).arg(folder.path()).arg("sparse");
    let mut tar = command.output().unwrap().stdout;
    let place = Place::new();
    place.unpack(&tar, Kind::Tar).unwrap();
    assert!(fs::read(place.target()).unwrap() == fs::read(folder.path().join("sparse")).unwrap());
    assert!(fs::metadata(place.target()).unwrap().blocks() * 512 < 1 << 20, "it takes no room");

    // The same with another size, and its last hole as much longer.
    let size = [&[0x80, 0, 0, 0], &(2_u64 << 40).to_be_bytes()[..]].concat();
    let slots = tar[386..482].chunks(24).take_while(|slot| slot[0] != 0).count();
    for number in [386 + 24 * (slots - 1), 483] {
        tar[number..number + 12].copy_from_slice(&size);
    }
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().copied().map(u32::from).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let place = Place::new();
    let error = place.unpack(&tar, Kind::Tar).unwrap_err();
    assert!(error.to_string().contains("it says that it has 2199023255552 bytes"), "{error}");
    place.holds();
}

#[test]
fn a_zips_directory_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zip");
    // One entry, and 70 MiB of entries after it that it does not have; the end says that there are a million.
    let bytes = fs::File::create(&file).unwrap();
    bytes.set_len(70 << 20).unwrap();
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    for number in [0xffff_u16, 0xffff] {
        end.extend_from_slice(&number.to_le_bytes());
    }
    for number in [70_u32 << 20, 0] {
        end.extend_from_slice(&number.to_le_bytes());
    }
    end.extend_from_slice(&[0, 0]);
    let mut entry = b"PK\x01\x02".to_vec();
    entry.resize(46, 0);
    use std::os::unix::fs::FileExt as _;
    // Each entry's comment leads to the next.
    entry[32..34].copy_from_slice(&(0xffff_u16 - 45).to_le_bytes());
    for place in 0..1120 {
        bytes.write_all_at(&entry, place << 16).unwrap();
    }
    bytes.write_all_at(&end, 70 << 20).unwrap();
    let error = to(&file, Kind::Zip, &folder.path().join("target")).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn only_a_gzipped_tar_is_found_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let tar = tar_of(&[(FILE, "a", "1")]);
    let cases =
        [(gzip(&tar), true), (tar, false), (gzip(b"just text"), false), (vec![], false), (vec![0x1f, 0x8b], false)];
    for (bytes, expected) in cases {
        let file = folder.path().join("f");
        fs::write(&file, &bytes).unwrap();
        assert_eq!(is_gzipped_tar(&file).unwrap(), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), zip in any::<bool>()) {
        let place = Place::new();
        let _ = place.unpack(&bytes, if zip { Kind::Zip } else { Kind::Tar });
        place.holds();
    }

    /// Names and links from few letters, so that they meet each other.
    #[test]
    fn no_mix_of_entries_leaves(entries in proptest::collection::vec(
        (prop_oneof![Just(FILE), Just(LINK), Just(HARD), Just(DIR)], "(\\.\\./|/|\\./|[ab]/){0,4}[ab]?", "(\\.\\./|[ab]/|/){0,4}([ab]|\\.\\.|outside)"),
        0..8,
    )) {
        let place = Place::new();
        let raw: Vec<Raw> = entries.iter().map(|(kind, name, text)| (*kind, name.as_str(), text.as_str())).collect();
        let _ = place.unpack(&tar_of(&raw), Kind::Tar);
        place.holds();
    }
}
