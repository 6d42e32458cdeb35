//! Artifacts in Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ObjectStore, StaticCredentialProvider};

use super::StorageError;
use super::location::Fields;
use super::objects::{self, Objects, of_store};
use crate::pod::Pod;

/// A bucket, a key, and as whom.
#[derive(Debug)]
pub(crate) struct Gcs {
    bucket: String,
    key: String,
    /// A service account's key, JSON. Without one it is who the pod is: the file that `GOOGLE_APPLICATION_CREDENTIALS` names,
    /// else what the metadata server says (Workload Identity).
    account: Option<String>,
}

impl Gcs {
    /// Reads `gcs` of a template.
    ///
    /// # Errors
    /// Where a secret or a field is missing.
    pub(super) fn read(fields: &Fields) -> Result<Self, StorageError> {
        let account = fields.secret("serviceAccountKeySecret")?;
        Ok(Self { bucket: fields.needed("bucket")?, key: fields.needed("key")?, account })
    }

    /// What is at the key.
    ///
    /// # Errors
    /// Where the service account's key is none.
    pub(super) fn objects(&self, pod: &Pod) -> Result<Objects, StorageError> {
        let mut options = objects::options();
        let mut builder = match &self.account {
            Some(account) => GoogleCloudStorageBuilder::new().with_service_account_key(account),
            None => GoogleCloudStorageBuilder::from_env(),
        };
        if let Some(emulator) = &pod.environment.gcs_emulator {
            let url = if emulator.contains("://") { emulator.clone() } else { format!("http://{emulator}") };
            options = options.with_allow_http(true);
            // As Google's own libraries do it: an emulator is shown no credentials, and nobody is asked for any.
            let nobody = Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() }));
            let url = url.trim_end_matches('/');
            builder =
                GoogleCloudStorageBuilder::new().with_base_url(url).with_skip_signature(true).with_credentials(nobody);
        }
        let builder = builder.with_bucket_name(&self.bucket).with_client_options(options);
        let built = builder.with_retry(objects::retry(&pod.environment.backoff)).build();
        let store: Arc<dyn ObjectStore> = Arc::new(built.map_err(|error| match self.account {
            // The library would quote what it cannot read.
            Some(_) => StorageError::lasting("gcs.serviceAccountKeySecret holds no service account's key (JSON)"),
            None => of_store(error),
        })?);
        Ok(Objects {
            store: Box::new(move |_| Ok(Arc::clone(&store))),
            field: "gcs.key",
            key: self.key.clone(),
            place: format!("bucket {}", self.bucket),
            folders: false,
        })
    }
}
