//! Artifacts in S3 and what speaks as it does.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, resolve_bucket_region};
use object_store::client::{HttpConnector as _, HttpRequest, ReqwestConnector};
use object_store::{Certificate, ClientOptions, ObjectStore};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

use super::StorageError;
use super::location::Fields;
use super::objects::{self, Objects, of_store};
use super::web::chain;
use crate::pod::Pod;
/// Where AWS itself is: an endpoint of this name follows the region.
const AWS: &str = "s3.amazonaws.com";

/// Where objects are whose region nobody says.
const REGION: &str = "us-east-1";

/// A bucket, a key, and as whom.
#[derive(Debug)]
pub(crate) struct S3 {
    endpoint: String,
    insecure: bool,
    region: String,
    bucket: String,
    key: String,
    /// Whether the bucket is a name of the host and not of the path. The library knows it for AWS itself.
    virtual_hosted: bool,
    /// Key id, key, and a session's token.
    access: Option<(String, String, Option<String>)>,
    authority: Option<String>,
    encryption: Option<Encryption>,
    /// Whether the bucket is made where it is missing, and then with a lock.
    creates: Option<bool>,
}

/// Who encrypts objects with what.
#[derive(Debug)]
enum Encryption {
    /// The store with a key of its own.
    Store,
    /// The store with a key of KMS, by its id.
    Kms(String),
    /// The store with a key that comes with each request. This is what each object's is derived from.
    Own(String),
}

impl Encryption {
    fn read(options: &Fields) -> Result<Self, StorageError> {
        if !options.text("kmsEncryptionContext").is_empty() {
            return Err(StorageError::lasting(
                "s3.encryptionOptions.kmsEncryptionContext is not supported by this executor: leave it out, and the key's \
                 policy without it",
            ));
        }
        match (options.secret("serverSideCustomerKeySecret")?, options.text("kmsKeyId")) {
            (None, "") => Ok(Self::Store),
            (None, key) => Ok(Self::Kms(key.to_owned())),
            (Some(secret), "") => Ok(Self::Own(secret)),
            (Some(_), _) => Err(StorageError::lasting(
                "s3.encryptionOptions: serverSideCustomerKeySecret and kmsKeyId exclude each other",
            )),
        }
    }
}

/// The key of one object, as Argo's executor derives it (Argon2id with the object's name as salt), so that each reads what the
/// other has stored.
fn derived(secret: &str, bucket: &str, key: &str) -> Result<String, StorageError> {
    /// Memory in KiB, passes, lanes, and bytes that come out.
    const COST: (u32, u32, u32, usize) = (64 << 10, 1, 4, 32);
    let mut out = [0; COST.3];
    let done = Params::new(COST.0, COST.1, COST.2, Some(COST.3)).and_then(|params| {
        let salt = format!("{bucket}{key}");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            secret.as_bytes(),
            salt.as_bytes(),
            &mut out,
        )
    });
    // Of eight bytes at least, says the algorithm's standard.
    done.map_err(|error| {
        StorageError::lasting(format!("s3.encryptionOptions: no key for {key} in {bucket}: {error}"))
    })?;
    Ok(BASE64.encode(out))
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
        let access = match (fields.secret("accessKeySecret")?, fields.secret("secretKeySecret")?) {
            (Some(id), Some(key)) => Some((id, key, fields.secret("sessionTokenSecret")?)),
            _ => None,
        };
        let encryption = fields.under("encryptionOptions").filter(|options| options.is("enableEncryption"));
        let encryption = encryption.map(|options| Encryption::read(&options)).transpose()?;
        Ok(Self {
            endpoint: fields.text("endpoint").to_owned(),
            insecure: fields.is("insecure"),
            region: fields.text("region").to_owned(),
            bucket: fields.needed("bucket")?,
            key: fields.needed("key")?,
            virtual_hosted: fields.text("addressingStyle") == "virtual-hosted",
            access,
            authority: fields.secret("caSecret")?,
            encryption,
            creates: fields.under("createBucketIfNotPresent").map(|options| options.is("objectLocking")),
        })
    }

    /// What is at the key. To `save` there, the bucket is made if it is missing and that is asked for.
    ///
    /// # Errors
    /// Where the region cannot be found out, the bucket cannot be made, or a certificate is none.
    pub(super) async fn objects(&self, pod: &Pod, save: bool) -> Result<Objects, StorageError> {
        let mut options = objects::options().with_allow_http(self.insecure);
        if let Some(authority) = &self.authority {
            for certificate in Certificate::from_pem_bundle(authority.as_bytes()).map_err(of_store)? {
                options = options.with_root_certificate(certificate);
            }
        }
        let of_aws = self.endpoint.is_empty() || self.endpoint == AWS;
        let creates = self.creates.filter(|_| save);
        let region = match self.region.as_str() {
            // One that is still to be made is nowhere.
            "" if of_aws && creates.is_none() => {
                resolve_bucket_region(&self.bucket, &options).await.map_err(of_store)?
            }
            "" => REGION.to_owned(),
            region => region.to_owned(),
        };
        let endpoint = match of_aws {
            true => format!("https://s3.{region}.amazonaws.com"),
            false => format!("{}://{}", if self.insecure { "http" } else { "https" }, self.endpoint),
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
        builder = builder.with_region(&region).with_bucket_name(&self.bucket);
        if self.virtual_hosted {
            let (scheme, host) = endpoint.split_once("://").unwrap_or_default();
            let endpoint = format!("{scheme}://{}.{host}", self.bucket);
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(true);
        } else if !of_aws {
            builder = builder.with_endpoint(&endpoint);
        }
        builder = match &self.encryption {
            Some(Encryption::Store) => {
                builder.with_config("aws_server_side_encryption".parse().map_err(of_store)?, "AES256")
            }
            Some(Encryption::Kms(key)) => builder.with_sse_kms_encryption(key),
            Some(Encryption::Own(_)) | None => builder,
        };
        let builder = builder.with_client_options(options.clone()).with_retry(objects::retry(&pod.environment.backoff));
        let store = Arc::new(builder.clone().build().map_err(of_store)?);
        if let Some(locks) = creates {
            self.create(&store, &options, &endpoint, &region, locks).await?;
        }
        let bucket = self.bucket.clone();
        Ok(Objects {
            store: match &self.encryption {
                Some(Encryption::Own(secret)) => {
                    let secret = secret.clone();
                    Box::new(move |key| {
                        let key = derived(&secret, &bucket, key.as_ref())?;
                        let store = builder.clone().with_ssec_encryption(key).build().map_err(of_store)?;
                        Ok(Arc::new(store) as Arc<dyn ObjectStore>)
                    })
                }
                _ => Box::new(move |_| Ok(Arc::clone(&store) as Arc<dyn ObjectStore>)),
            },
            field: "s3.key",
            key: self.key.clone(),
            place: format!("bucket {} at {endpoint}", self.bucket),
            folders: false,
        })
    }

    /// Makes the bucket, unless it is there.
    async fn create(
        &self,
        store: &AmazonS3,
        options: &ClientOptions,
        endpoint: &str,
        region: &str,
        locks: bool,
    ) -> Result<(), StorageError> {
        let failed = |why: String| StorageError::lasting(format!("cannot create bucket {}: {why}", self.bucket));
        let body = match region {
            REGION => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = Method::PUT;
        let uri = format!("{endpoint}/{}", self.bucket).parse();
        *request.uri_mut() = uri.map_err(|_| failed("no bucket has such a name; look at s3.bucket".to_owned()))?;
        if locks {
            request.headers_mut().insert("x-amz-bucket-object-lock-enabled", HeaderValue::from_static("true"));
        }
        let credential = store.credentials().get_credential().await.map_err(of_store)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", region);
        authorizer.try_authorize(&mut request, None).map_err(of_store)?;
        let client = ReqwestConnector::default().connect(options).map_err(of_store)?;
        let answer = client.execute(request).await.map_err(|error| StorageError::Passing(chain(&error)))?;
        match answer.status() {
            // It is there, ours or another's; which, is for the upload to say.
            StatusCode::CONFLICT => Ok(()),
            status if status.is_success() => Ok(()),
            status if status.is_server_error() => Err(StorageError::Passing(format!(
                "cannot create bucket {}: {endpoint} answered {status}",
                self.bucket
            ))),
            status => Err(failed(format!(
                "{endpoint} answered {status}; create it by hand and leave out s3.createBucketIfNotPresent, or allow \
                 s3:CreateBucket"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_key_is_derived_as_argo_derives_it() {
        // Made with golang.org/x/crypto/argon2: IDKey(secret, bucket + key, 1, 64 * 1024, 4, 32).
        let key = derived("sesame", "bucket", "some/key").unwrap();
        assert_eq!(key, "uMKcxTsdxkrz0p4v5JkrkvQgMMPrGK/wjPMEBaWtY2M=");
        assert!(derived("sesame", "b", "k").is_err());
    }
}
