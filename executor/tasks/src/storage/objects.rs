//! What stores of objects have in common: one object is a file, all objects below a key are a folder.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, Error, GetResult, ObjectStore, ObjectStoreExt as _, RetryConfig,
    WriteMultipart, path,
};

use super::StorageError;
use super::web::chain;
use crate::pack::{self, Found};
use crate::pod::Pod;
use crate::retry::Backoff;

/// A part of an upload, bytes; larger files have larger ones.
const PART: u64 = 8 << 20;
/// Parts that an upload has at most, with room to S3's limit of 10,000.
const PARTS: u64 = 9_000;
/// Parts on their way at a time.
const AT_ONCE: usize = 3;
/// Objects that are listed at most: the names of all are in memory.
const MOST_NAMES: usize = 1_000_000;
/// What is told of an error, characters.
const LONGEST_ERROR: usize = 1000;
/// How long one request may take without a byte.
const PATIENCE: Duration = Duration::from_secs(60);

/// The store as it is to be asked for one object; there are those in which each has an encryption key of its own.
pub(super) type Opening = Box<dyn Fn(&path::Path) -> Result<Arc<dyn ObjectStore>, StorageError>>;

/// A place in a store: what is there is one object, or all that are below it.
pub(super) struct Objects {
    pub(super) store: Opening,
    /// The template's name of the key.
    pub(super) field: &'static str,
    pub(super) key: String,
    /// Where the key is, for a message.
    pub(super) place: String,
    /// Whether a folder is an object of no length too.
    pub(super) folders: bool,
}

/// How every store is spoken to.
pub(super) fn options() -> ClientOptions {
    ClientOptions::new()
        .with_config(ClientConfigKey::RandomizeAddresses, "false")
        // Of the whole request; a slow line has to move what is long.
        .with_timeout_disabled()
        .with_read_timeout(PATIENCE)
        .with_connect_timeout(PATIENCE)
}

/// How every store is asked again.
pub(super) fn retry(backoff: &Backoff) -> RetryConfig {
    RetryConfig {
        max_retries: backoff.steps,
        backoff: BackoffConfig {
            init_backoff: backoff.first,
            base: backoff.factor.max(1.0),
            ..BackoffConfig::default()
        },
        ..RetryConfig::default()
    }
}

impl Objects {
    fn shown(&self) -> String {
        format!("{} in {}", self.key, self.place)
    }

    fn path(&self, below: &str) -> Result<path::Path, StorageError> {
        let key = self.key.trim_end_matches('/');
        let whole = if below.is_empty() { key.to_owned() } else { format!("{key}/{below}") };
        path::Path::parse(&whole).map_err(|error| StorageError::lasting(format!("{} {whole}: {error}", self.field)))
    }

    /// Gets an object, or all objects below a key as a folder.
    ///
    /// # Errors
    /// As [`super::load`].
    pub(super) async fn load(&self, pod: &Pod, target: &Path) -> Result<(), StorageError> {
        pod.say(|| format!("get {}", self.shown()));
        let key = self.path("")?;
        let store = (self.store)(&key)?;
        let mut is_there = false;
        if !self.key.ends_with('/') {
            match store.get(&key).await {
                Ok(found) => {
                    is_there = true;
                    let is_file = found.meta.size > 0 || !self.folders;
                    fill(found, &mut File::create(target)?).await?;
                    if is_file {
                        return Ok(());
                    }
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(of_store(error)),
            }
        }
        let mut objects = store.list(Some(&key));
        let mut tree = None;
        while let Some(object) = objects.next().await {
            let object = object.map_err(of_store)?;
            let relative =
                object.location.as_ref().strip_prefix(key.as_ref()).unwrap_or_default().trim_start_matches('/');
            if is_there && relative.is_empty() {
                continue;
            }
            if is_there && tree.is_none() {
                std::fs::remove_file(target)?;
            }
            let tree = match &mut tree {
                Some(tree) => tree,
                empty => empty.insert(super::folder_at(target)?),
            };
            // What a console shows as a folder is an object of no length.
            if relative.is_empty() {
                continue;
            }
            let found = match (self.store)(&object.location)?.get(&object.location).await {
                // Its name ends with a slash, which the library has taken away.
                Err(Error::NotFound { .. }) if object.size == 0 => continue,
                found => found.map_err(of_store)?,
            };
            let mut scratch = pack::scratch(target)?;
            fill(found, &mut scratch).await?;
            scratch.seek(SeekFrom::Start(0))?;
            tree.file(relative.as_bytes(), 0o644, None, &mut scratch)
                .map_err(|error| StorageError::lasting(format!("{}: {error}", object.location)))?;
        }
        if is_there || tree.is_some() { Ok(()) } else { Err(StorageError::Missing(self.shown())) }
    }

    /// The names of all objects at and below the key.
    ///
    /// # Errors
    /// Where the store cannot be asked, or there are too many.
    pub(super) async fn list(&self, pod: &Pod) -> Result<Vec<String>, StorageError> {
        pod.say(|| format!("list {}", self.shown()));
        let key = self.path("")?;
        let mut objects = (self.store)(&key)?.list(Some(&key));
        let mut names: Vec<String> = Vec::new();
        let mut is_empty = false;
        while let Some(object) = objects.next().await {
            let object = object.map_err(of_store)?;
            // What a console shows as a folder is an object of no length before those in it.
            let below = |name: &String| {
                object.location.as_ref().strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/'))
            };
            if is_empty && names.last().is_some_and(below) {
                names.pop();
            }
            is_empty = object.size == 0;
            names.push(object.location.into());
            if names.len() > MOST_NAMES {
                return Err(StorageError::lasting(format!("{} has more than {MOST_NAMES} objects", self.shown())));
            }
        }
        Ok(names)
    }

    /// Puts a file under the key, or each of a folder's files below it.
    ///
    /// # Errors
    /// As [`super::save`].
    pub(super) async fn save(&self, pod: &Pod, from: &File) -> Result<(), StorageError> {
        pod.say(|| format!("put {}", self.shown()));
        if !from.metadata()?.is_dir() {
            return self.put(self.path("")?, from).await;
        }
        // Names first: what is open at a time must not grow with the folder.
        let mut names = Vec::new();
        pack::walk(from.try_clone()?, std::ffi::OsStr::new(""), &mut |path, found| {
            if matches!(found, Found::File(_)) {
                names.push(path.to_owned());
            }
            Ok(())
        })?;
        for name in names {
            let mut at = from.try_clone()?;
            for part in name.iter() {
                let part = std::ffi::CString::new(part.as_bytes()).map_err(io::Error::other)?;
                at = crate::beneath::child(&at, &part)?;
            }
            self.put(self.path(&name.to_string_lossy())?, &at).await?;
        }
        Ok(())
    }

    async fn put(&self, key: path::Path, from: &File) -> Result<(), StorageError> {
        let store = (self.store)(&key)?;
        let mut file = from.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let length = file.metadata()?.len();
        if length <= PART {
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            file.take(PART).read_to_end(&mut bytes)?;
            return store.put(&key, Bytes::from(bytes).into()).await.map(drop).map_err(of_store);
        }
        let part = usize::try_from(PART.max(length / PARTS + 1)).map_err(io::Error::other)?;
        let upload = store.put_multipart(&key).await.map_err(of_store)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
        loop {
            let mut bytes = Vec::with_capacity(part);
            if let Err(error) = (&mut file).take(part as u64).read_to_end(&mut bytes) {
                // What is there of it costs money until it is given up; the reason to give up is the one to tell.
                let _ = upload.abort().await;
                return Err(error.into());
            }
            if bytes.is_empty() {
                break;
            }
            upload.wait_for_capacity(AT_ONCE).await.map_err(of_store)?;
            upload.put(Bytes::from(bytes));
        }
        upload.finish().await.map(drop).map_err(of_store)
    }
}

async fn fill(found: GetResult, file: &mut File) -> Result<(), StorageError> {
    let mut stream = found.into_stream();
    while let Some(chunk) = stream.next().await {
        file.write_all(&chunk.map_err(of_store)?)?;
    }
    Ok(())
}

/// The library has tried again by itself, so nothing of its is worth another try.
pub(super) fn of_store(error: Error) -> StorageError {
    match &error {
        Error::NotFound { path, .. } => StorageError::Missing(path.clone()),
        // A server's words are in it, which may be any.
        _ => StorageError::lasting(chain(&error).chars().take(LONGEST_ERROR).collect::<String>().escape_debug()),
    }
}
