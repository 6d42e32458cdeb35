//! Artifacts behind a URL: HTTP servers and Artifactory.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Identity, Method, RequestBuilder, Response, StatusCode, Url};

use super::StorageError;
use super::location::Fields;
use super::web::{self, shown};
use crate::pod::Pod;

/// How long a server may take between two parts of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer to a request for a token, bytes.
const LONGEST_TOKEN: usize = 1 << 20;

/// Where and as whom.
#[derive(Debug)]
pub(crate) struct Http {
    /// The template's name of the place.
    kind: &'static str,
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
        Ok(Self { kind: fields.kind(), url: fields.needed("url")?, headers, basic, grant, identity })
    }

    fn client(&self) -> Result<Client, StorageError> {
        let mut builder = web::client();
        if let Some(identity) = &self.identity {
            builder = builder.identity(Identity::from_pem(identity.as_bytes()).map_err(|_| {
                // The library's words may have a line of the key in them.
                StorageError::lasting("http.auth.clientCert: the two secrets hold no certificate and key, both PEM")
            })?);
        }
        builder.build().map_err(web::broken)
    }

    /// One request, by which the server that is named learns who asks, and none that it sends us to. (A certificate is no
    /// secret: every server that asks for one sees it.)
    async fn send(&self, method: Method, body: Option<&File>) -> Result<Response, StorageError> {
        let client = self.client()?;
        let url =
            Url::parse(&self.url).map_err(|error| StorageError::lasting(format!("{}.url: {error}", self.kind)))?;
        let token = match &self.grant {
            Some(grant) => Some(grant.token(&client).await?),
            None => None,
        };
        let credentials = |request: RequestBuilder| {
            let request = request.headers(self.headers.clone());
            match (&token, &self.basic) {
                (Some(token), _) => request.bearer_auth(token),
                (None, Some((user, password))) => request.basic_auth(user, Some(password)),
                (None, None) => request,
            }
        };
        let request = web::Request { method, url, credentials: &credentials, plain: &|request| request, body };
        web::success(request.send(&client).await?, &self.shown())
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
        // As the standard has it; some servers only know the other way, which it allows.
        let request = client.post(&self.url).basic_auth(encoded(&self.client.0), Some(encoded(&self.client.1)));
        let answer = match ask(request.form(&self.form)).await {
            Ok(answer) if matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => {
                let named = [("client_id", &self.client.0), ("client_secret", &self.client.1)];
                let form = self.form.iter().map(|(name, value)| (name.as_str(), value)).chain(named);
                ask(client.post(&self.url).form(&form.collect::<Vec<_>>())).await
            }
            answer => answer,
        };
        let mut response = web::success(answer?, &shown(&self.url))?;
        let mut body = Vec::new();
        while let Some(chunk) = web::chunk(&mut response, PATIENCE).await? {
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

async fn ask(request: RequestBuilder) -> Result<Response, StorageError> {
    request.timeout(PATIENCE).send().await.map_err(web::broken)
}

/// A client's name or secret as they stand in a header: encoded as in a form (RFC 6749, 2.3.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Gets a file.
///
/// # Errors
/// As [`super::load`].
pub(super) async fn load(pod: &Pod, http: &Http, target: &Path) -> Result<(), StorageError> {
    pod.say(|| format!("GET {}", http.shown()));
    let mut response = http.send(Method::GET, None).await?;
    let mut file = File::create(target)?;
    while let Some(chunk) = web::chunk(&mut response, PATIENCE).await? {
        file.write_all(&chunk)?;
    }
    Ok(())
}

/// Puts a file.
///
/// # Errors
/// As [`super::save`].
pub(super) async fn save(pod: &Pod, http: &Http, from: &File) -> Result<(), StorageError> {
    if from.metadata()?.is_dir() {
        return Err(StorageError::lasting("a folder cannot be put to a URL as it is: leave out archive: none"));
    }
    pod.say(|| format!("PUT {}", http.shown()));
    http.send(Method::PUT, Some(from)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_name_is_encoded_as_in_a_form() {
        assert_eq!(encoded("a b:c+ä~"), "a+b%3Ac%2B%C3%A4~");
    }
}
