//! Artifacts in S3 and what speaks as it does.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, resolve_bucket_region};
use object_store::{
    BackoffConfig, Certificate, ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
    WriteMultipart, path,
};

use super::StorageError;
use super::http::chain;
use super::location::Fields;
use crate::pack::{self, Found};
use crate::pod::Pod;
use crate::retry::Backoff;

/// A part of an upload, bytes; larger files have larger ones.
const PART: u64 = 8 << 20;
/// Parts that an upload has at most, with room to S3's limit of 10,000.
const PARTS: u64 = 9_000;
/// Parts on their way at a time.
const AT_ONCE: usize = 3;
/// How long one request may take without a byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where AWS itself is: an endpoint of this name follows the region.
const AWS: &str = "s3.amazonaws.com";

/// A bucket, a key, and as whom.
#[derive(Debug)]
pub(crate) struct S3 {
    endpoint: String,
    insecure: bool,
    region: String,
    bucket: String,
    key: String,
    /// Key id, key, and a session's token.
    access: Option<(String, String, Option<String>)>,
    authority: Option<String>,
    /// A key of KMS, or one of the customer's own.
    encryption: Option<Encryption>,
}

#[derive(Debug)]
enum Encryption {
    Kms(String),
    Own(String),
}

impl S3 {
    /// Reads `s3` of a template.
    ///
    /// # Errors
    /// Where a secret or a field is missing, or something is asked for that is not there.
    pub(super) fn read(fields: &Fields) -> Result<Self, StorageError> {
        if !fields.text("roleARN").is_empty() {
            return Err(StorageError::lasting(
                "s3.roleARN is not supported by this executor: give the pod's service account the role",
            ));
        }
        for name in ["bucket", "key"] {
            if fields.text(name).is_empty() {
                return Err(StorageError::lasting(format!("s3.{name} is not set")));
            }
        }
        let access = match (fields.secret("accessKeySecret")?, fields.secret("secretKeySecret")?) {
            (Some(id), Some(key)) => Some((id, key, fields.secret("sessionTokenSecret")?)),
            _ => None,
        };
        let encryption = fields.under("encryptionOptions").filter(|options| options.is("enableEncryption"));
        let encryption = match encryption {
            Some(options) => match options.secret("serverSideCustomerKeySecret")? {
                Some(key) => Some(Encryption::Own(key)),
                None => Some(Encryption::Kms(options.text("kmsKeyId").to_owned())),
            },
            None => None,
        };
        Ok(Self {
            endpoint: fields.text("endpoint").to_owned(),
            insecure: fields.is("insecure"),
            region: fields.text("region").to_owned(),
            bucket: fields.text("bucket").to_owned(),
            key: fields.text("key").to_owned(),
            access,
            authority: fields.secret("caSecret")?,
            encryption,
        })
    }

    async fn store(&self, backoff: &Backoff) -> Result<Arc<AmazonS3>, StorageError> {
        let mut options = ClientOptions::new()
            .with_config(ClientConfigKey::RandomizeAddresses, "false")
            .with_allow_http(self.insecure)
            // Of the whole request; a slow line has to move what is long.
            .with_timeout_disabled()
            .with_read_timeout(PATIENCE)
            .with_connect_timeout(PATIENCE);
        if let Some(authority) = &self.authority {
            for certificate in Certificate::from_pem_bundle(authority.as_bytes()).map_err(of_store)? {
                options = options.with_root_certificate(certificate);
            }
        }
        let of_aws = self.endpoint.is_empty() || self.endpoint == AWS;
        let region = match self.region.as_str() {
            "" if of_aws => resolve_bucket_region(&self.bucket, &options).await.map_err(of_store)?,
            "" => "us-east-1".to_owned(),
            region => region.to_owned(),
        };
        // Without keys of its own: from variables, a web identity, the container's or the machine's role.
        let mut builder = match &self.access {
            Some((id, key, token)) => {
                let builder = AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(key);
                match token {
                    Some(token) => builder.with_token(token),
                    None => builder,
                }
            }
            None => AmazonS3Builder::from_env(),
        };
        builder = builder.with_region(region).with_bucket_name(&self.bucket);
        if !of_aws {
            let scheme = if self.insecure { "http" } else { "https" };
            builder = builder.with_endpoint(format!("{scheme}://{}", self.endpoint));
        }
        builder = match &self.encryption {
            Some(Encryption::Kms(key)) => builder.with_sse_kms_encryption(key),
            Some(Encryption::Own(key)) => builder.with_ssec_encryption(key),
            None => builder,
        };
        let retry = RetryConfig {
            max_retries: backoff.steps,
            backoff: BackoffConfig {
                init_backoff: backoff.first,
                base: backoff.factor.max(1.0),
                ..BackoffConfig::default()
            },
            ..RetryConfig::default()
        };
        builder.with_client_options(options).with_retry(retry).build().map(Arc::new).map_err(of_store)
    }

    fn shown(&self) -> String {
        format!("{}/{} in bucket {}", self.endpoint, self.key, self.bucket)
    }

    fn path(&self, below: &str) -> Result<path::Path, StorageError> {
        let key = self.key.trim_end_matches('/');
        let whole = if below.is_empty() { key.to_owned() } else { format!("{key}/{below}") };
        path::Path::parse(&whole).map_err(|error| StorageError::lasting(format!("s3.key {whole}: {error}")))
    }
}

/// Gets an object, or all objects under a key as a folder.
///
/// # Errors
/// As [`super::load`].
pub(super) async fn load(pod: &Pod, s3: &S3, target: &Path) -> Result<(), StorageError> {
    pod.say(|| format!("get {}", s3.shown()));
    let store = s3.store(&pod.environment.backoff).await?;
    let key = s3.path("")?;
    if !s3.key.ends_with('/') {
        match store.get(&key).await {
            Ok(found) => return fill(found, &mut File::create(target)?).await,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(of_store(error)),
        }
    }
    let mut objects = store.list(Some(&key));
    let mut tree = None;
    while let Some(object) = objects.next().await {
        let object = object.map_err(of_store)?;
        let tree = match &mut tree {
            Some(tree) => tree,
            empty => empty.insert(super::folder_at(target)?),
        };
        let relative = object.location.as_ref().strip_prefix(key.as_ref()).unwrap_or_default().trim_start_matches('/');
        // What a console shows as a folder is an object of no length.
        if relative.is_empty() {
            continue;
        }
        let found = store.get(&object.location).await.map_err(of_store)?;
        let mut scratch = pack::scratch(target)?;
        fill(found, &mut scratch).await?;
        scratch.seek(SeekFrom::Start(0))?;
        tree.file(relative.as_bytes(), 0o644, None, &mut scratch)
            .map_err(|error| StorageError::lasting(format!("{}: {error}", object.location)))?;
    }
    if tree.is_some() { Ok(()) } else { Err(StorageError::Missing(s3.shown())) }
}

async fn fill(found: object_store::GetResult, file: &mut File) -> Result<(), StorageError> {
    use std::io::Write as _;
    let mut stream = found.into_stream();
    while let Some(chunk) = stream.next().await {
        file.write_all(&chunk.map_err(of_store)?)?;
    }
    Ok(())
}

/// Puts a file under the key, or each of a folder's files under it.
///
/// # Errors
/// As [`super::save`].
pub(super) async fn save(pod: &Pod, s3: &S3, from: &File) -> Result<(), StorageError> {
    pod.say(|| format!("put {}", s3.shown()));
    let store = s3.store(&pod.environment.backoff).await?;
    if !from.metadata()?.is_dir() {
        return put(&store, s3.path("")?, from).await;
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
        put(&store, s3.path(&name.to_string_lossy())?, &at).await?;
    }
    Ok(())
}

async fn put(store: &AmazonS3, key: path::Path, from: &File) -> Result<(), StorageError> {
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

/// The library has tried again by itself, so nothing of its is worth another try.
fn of_store(error: object_store::Error) -> StorageError {
    match &error {
        object_store::Error::NotFound { path, .. } => StorageError::Missing(path.clone()),
        _ => StorageError::lasting(chain(&error)),
    }
}
