//! Artifacts behind a URL: HTTP servers and Artifactory.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Identity, RequestBuilder, Response, StatusCode};

use super::StorageError;
use super::location::Fields;
use crate::pod::Pod;

/// How long a server may take to answer at all, and between two parts of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read of a file at a time, bytes.
const CHUNK: usize = 1 << 16;
/// The longest answer to a request for a token, bytes.
const LONGEST_TOKEN: usize = 1 << 20;

/// Where and as whom.
#[derive(Debug)]
pub(crate) struct Http {
    url: String,
    headers: HeaderMap,
    basic: Option<(String, String)>,
    grant: Option<Grant>,
    /// A certificate and its key, PEM.
    identity: Option<String>,
}

/// How a token is asked for (OAuth 2, client credentials).
#[derive(Debug)]
struct Grant {
    url: String,
    client: (String, String),
    form: Vec<(String, String)>,
}

impl Http {
    /// Reads `http` or `artifactory` of a template.
    ///
    /// # Errors
    /// Where a secret is missing or a header is none.
    pub(super) fn read(fields: &Fields) -> Result<Self, StorageError> {
        let mut headers = HeaderMap::new();
        for header in fields.list("headers") {
            let text = |name: &str| header.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            let name = text("name");
            let parsed = (name.parse::<HeaderName>(), HeaderValue::from_str(text("value")));
            let (Ok(known), Ok(mut value)) = parsed else {
                return Err(StorageError::lasting(format!(
                    "http.headers: {name:?} is no header, or its value is none"
                )));
            };
            value.set_sensitive(true);
            headers.append(known, value);
        }
        let auth = fields.under("auth");
        let basic_fields = auth.as_ref().and_then(|auth| auth.under("basicAuth"));
        // Artifactory has them in its own fields.
        let basic = basic_fields.as_ref().unwrap_or(fields);
        let basic = match (basic.secret("usernameSecret")?, basic.secret("passwordSecret")?) {
            (None, None) => None,
            (user, password) => Some((user.unwrap_or_default(), password.unwrap_or_default())),
        };
        let grant = match auth.as_ref().and_then(|auth| auth.under("oauth2")) {
            Some(grant) => Grant::read(&grant)?,
            None => None,
        };
        let identity = match auth.as_ref().and_then(|auth| auth.under("clientCert")) {
            Some(identity) => match (identity.secret("clientCertSecret")?, identity.secret("clientKeySecret")?) {
                (Some(certificate), Some(key)) => Some(format!("{certificate}\n{key}\n")),
                _ => None,
            },
            None => None,
        };
        Ok(Self { url: fields.text("url").to_owned(), headers, basic, grant, identity })
    }

    fn client(&self) -> Result<Client, StorageError> {
        let mut builder = Client::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE);
        if let Some(identity) = &self.identity {
            builder = builder.identity(Identity::from_pem(identity.as_bytes()).map_err(StorageError::lasting)?);
        }
        builder.build().map_err(StorageError::lasting)
    }

    async fn authorized(&self, client: &Client, request: RequestBuilder) -> Result<RequestBuilder, StorageError> {
        let request = request.headers(self.headers.clone());
        if let Some(grant) = &self.grant {
            return Ok(request.bearer_auth(grant.token(client).await?));
        }
        Ok(match &self.basic {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        })
    }

    /// The URL without what may be secret in it.
    fn shown(&self) -> String {
        shown(&self.url)
    }
}

impl Grant {
    fn read(fields: &Fields) -> Result<Option<Self>, StorageError> {
        let (Some(url), Some(client)) = (fields.secret("tokenURLSecret")?, fields.secret("clientIDSecret")?) else {
            return Ok(None);
        };
        let mut form = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        let scopes: Vec<&str> = fields.list("scopes").iter().filter_map(serde_json::Value::as_str).collect();
        if !scopes.is_empty() {
            form.push(("scope".to_owned(), scopes.join(" ")));
        }
        for parameter in fields.list("endpointParams") {
            let text =
                |name: &str| parameter.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            form.push((text("key"), text("value")));
        }
        let secret = fields.secret("clientSecretSecret")?.unwrap_or_default();
        Ok(Some(Self { url, client: (client, secret), form }))
    }

    async fn token(&self, client: &Client) -> Result<String, StorageError> {
        let request = client.post(&self.url).basic_auth(&self.client.0, Some(&self.client.1)).form(&self.form);
        let mut response = send(request, &shown(&self.url)).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_TOKEN {
                break;
            }
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer.get("access_token").and_then(serde_json::Value::as_str) {
            Some(token) => Ok(token.to_owned()),
            None => Err(StorageError::lasting(format!("{} gave no access_token", shown(&self.url)))),
        }
    }
}

/// Gets a file.
///
/// # Errors
/// As [`super::load`].
pub(super) async fn load(pod: &Pod, http: &Http, target: &Path) -> Result<(), StorageError> {
    pod.say(|| format!("GET {}", http.shown()));
    let client = http.client()?;
    let request = http.authorized(&client, client.get(&http.url)).await?;
    let mut response = send(request, &http.shown()).await?;
    let mut file = File::create(target)?;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        file.write_all(&chunk)?;
    }
    Ok(())
}

/// Puts a file.
///
/// # Errors
/// As [`super::save`].
pub(super) async fn save(pod: &Pod, http: &Http, from: &File) -> Result<(), StorageError> {
    let found = from.metadata()?;
    if found.is_dir() {
        return Err(StorageError::lasting("a folder cannot be put to a URL as it is: leave out archive: none"));
    }
    pod.say(|| format!("PUT {}", http.shown()));
    let client = http.client()?;
    let mut file = from.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let length = found.len();
    let body = futures_util::stream::unfold(file.take(length), |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk) {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let request = client.put(&http.url).header("content-length", length).body(reqwest::Body::wrap_stream(body));
    send(http.authorized(&client, request).await?, &http.shown()).await.map(drop)
}

/// Sends a request and takes an answer that is no success apart.
async fn send(request: RequestBuilder, url: &str) -> Result<Response, StorageError> {
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    let text = format!("{url} answered {status}");
    match status {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(StorageError::Missing(url.to_owned())),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(StorageError::Passing(text)),
        status if status.is_server_error() => Err(StorageError::Passing(text)),
        _ => Err(StorageError::Lasting(text)),
    }
}

/// A connection that could not be made, or broke. Only what is wrong with the request itself lasts.
fn broken(error: reqwest::Error) -> StorageError {
    let lasting = error.is_builder() || error.is_redirect();
    let text = chain(&error.without_url());
    if lasting { StorageError::Lasting(text) } else { StorageError::Passing(text) }
}

/// An error and what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A URL without user, password and query.
fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut url) => {
            // A URL without a host has neither.
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "the URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        assert_eq!(shown("https://user:secret@host/path?sig=secret"), "https://host/path");
        assert_eq!(shown("secret"), "the URL");
    }
}
