//! Artifacts in Azure's Blob Storage.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use reqwest::Url;

use super::StorageError;
use super::location::Fields;
use super::objects::{self, Objects, of_store};
use crate::pod::Pod;

/// A container, a blob, and as whom.
#[derive(Debug)]
pub(crate) struct Azure {
    /// Of the account: `https://ACCOUNT.blob.core.windows.net`, or what speaks as it does.
    endpoint: String,
    container: String,
    blob: String,
    access: Access,
}

#[derive(Debug)]
enum Access {
    /// The account's key, base64.
    Key(String),
    /// A shared access signature: a URL's query.
    Signature(String),
    /// Who the pod is, by variables: a workload identity, a client's secret, else the machine's identity.
    Environment,
}

impl Azure {
    /// Reads `azure` of a template.
    ///
    /// # Errors
    /// Where a secret or a field is missing.
    pub(super) fn read(fields: &Fields) -> Result<Self, StorageError> {
        let access = match fields.is("useSDKCreds") {
            true => Access::Environment,
            false => match fields.secret("accountKeySecret")? {
                // A key is base64 and has neither.
                Some(signature) if signature.starts_with('?') || signature.contains('&') => {
                    Access::Signature(signature)
                }
                Some(key) => Access::Key(key),
                None => {
                    return Err(StorageError::lasting(
                        "azure.accountKeySecret is not set: name a secret with an account key or a SAS token, or set \
                         azure.useSDKCreds for the pod's own identity",
                    ));
                }
            },
        };
        let endpoint = fields.needed("endpoint")?;
        Ok(Self { endpoint, container: fields.needed("container")?, blob: fields.needed("blob")?, access })
    }

    /// What is at the blob's name.
    ///
    /// # Errors
    /// Where the endpoint is no URL of an account, or the key is none.
    pub(super) fn objects(&self, pod: &Pod) -> Result<Objects, StorageError> {
        let endpoint = Url::parse(&self.endpoint).ok().and_then(|url| Some((account(&url)?, url)));
        let Some((account, url)) = endpoint else {
            return Err(StorageError::lasting(format!(
                "azure.endpoint {:?} does not tell the account: it is https://ACCOUNT.blob.core.windows.net, or \
                 http://localhost:PORT/ACCOUNT for an emulator",
                self.endpoint
            )));
        };
        let builder = match &self.access {
            Access::Key(key) => MicrosoftAzureBuilder::new().with_access_key(key),
            Access::Signature(query) => MicrosoftAzureBuilder::new().with_config(AzureConfigKey::SasKey, query),
            Access::Environment => MicrosoftAzureBuilder::from_env(),
        };
        let built = builder
            .with_endpoint(self.endpoint.trim_end_matches('/').to_owned())
            .with_account(account)
            .with_container_name(&self.container)
            .with_client_options(objects::options().with_allow_http(url.scheme() == "http"))
            .with_retry(objects::retry(&pod.environment.backoff))
            .build();
        let store: Arc<dyn ObjectStore> = Arc::new(built.map_err(|error| match self.access {
            Access::Environment => of_store(error),
            // The library would quote what it cannot read.
            _ => StorageError::lasting("azure.accountKeySecret holds neither an account key nor a SAS token"),
        })?);
        Ok(Objects {
            store: Box::new(move |_| Ok(Arc::clone(&store))),
            field: "azure.blob",
            key: self.blob.clone(),
            place: format!("container {}", self.container),
            // So it is in accounts with a hierarchical namespace.
            folders: true,
        })
    }
}

/// The account that an endpoint is of: the host's first name, or the first of the path for an emulator.
fn account(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let account = match host == "localhost" || host.starts_with("127.0.0.1") {
        true => url.path_segments()?.next()?,
        false => host.split('.').next()?,
    };
    (!account.is_empty()).then(|| account.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_of_the_endpoint() {
        let cases = [
            ("https://shop.blob.core.windows.net", Some("shop")),
            ("https://shop.blob.core.windows.net/", Some("shop")),
            ("http://127.0.0.1:10000/devstoreaccount1", Some("devstoreaccount1")),
            ("http://localhost:10000", None),
            ("data:x", None),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(account(&Url::parse(endpoint).unwrap()).as_deref(), expected, "{endpoint}");
        }
    }
}
