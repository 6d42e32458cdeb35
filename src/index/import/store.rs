use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// More members than any image has layers; a list of them is kept.
const MOST_MEMBERS: usize = 100_000;

/// The files of a layout or archive, by name.
pub(super) enum Store {
    /// A folder, without links in its own path.
    Folder(PathBuf),
    /// A tar, and where in it the content of each of its regular files is.
    Tar { file: File, members: HashMap<String, (u64, u64)> },
}

impl Store {
    /// `None` for a file that is no archive.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Ok(Some(Self::Folder(path.canonicalize().map_err(unreadable)?)));
        }
        if !metadata.is_file() {
            return Err("is neither a file nor a folder".to_owned());
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut head = [0; 512];
        let mut filled = 0;
        while filled < head.len() {
            match file.read(&mut head[filled..]).map_err(unreadable)? {
                0 => break,
                count => filled += count,
            }
        }
        if head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Err("is compressed; unpack it first, with gunzip or unzstd".to_owned());
        }
        if head.get(257..262) != Some(b"ustar") {
            return Ok(None);
        }
        file.rewind().map_err(unreadable)?;
        let members = members(&file).map_err(|error| format!("not a readable tar: {error}"))?;
        Ok(Some(Self::Tar { file, members }))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(name).is_file(),
            Self::Tar { members, .. } => members.contains_key(name),
        }
    }

    /// A file's content. The name must be one that this program chose or checked: relative, without `..`.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, String> {
        let missing = || format!("{name}: is not there");
        let unreadable = |error: std::io::Error| format!("{name}: cannot be read: {error}");
        let mut content = Vec::new();
        let size = match self {
            Self::Folder(root) => {
                // A link may stay within the layout and go nowhere else.
                let path = root.join(name).canonicalize().map_err(|_| missing())?;
                if !path.starts_with(&*root) || !path.is_file() {
                    return Err(format!("{name}: leads out of the layout, or is no file"));
                }
                let file = File::open(path).map_err(unreadable)?;
                file.take(limit + 1).read_to_end(&mut content).map_err(unreadable)?;
                content.len() as u64
            }
            Self::Tar { file, members } => {
                let (at, size) = *members.get(name).ok_or_else(missing)?;
                file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
                file.take(size.min(limit)).read_to_end(&mut content).map_err(unreadable)?;
                if (content.len() as u64) < size.min(limit) {
                    return Err(format!("{name}: is cut short"));
                }
                size
            }
        };
        if size > limit {
            return Err(format!("{name}: is longer than {} MiB", limit >> 20));
        }
        Ok(content)
    }
}

/// Headers are read as they stand: an extension record could hold any number of bytes, and no name that is looked for is
/// long enough to need one.
fn members(file: &File) -> std::io::Result<HashMap<String, (u64, u64)>> {
    let mut archive = tar::Archive::new(file);
    let mut members = HashMap::new();
    for (count, entry) in archive.entries_with_seek()?.raw(true).enumerate() {
        let entry = entry?;
        if count >= MOST_MEMBERS {
            return Err(std::io::Error::other("it has too many members"));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(&name);
        // Of two members of one name the last is what unpacking would leave.
        members.insert(name.trim_start_matches("./").to_owned(), (entry.raw_file_position(), entry.size()));
    }
    Ok(members)
}
