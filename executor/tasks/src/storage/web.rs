//! Requests to servers of strangers: followed to another place, but only the first one is told who asks.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url};

use super::StorageError;

/// How long a server may take to answer at all, and between two parts of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read of a file at a time, bytes.
const CHUNK: usize = 1 << 16;
/// How often a request is sent elsewhere at most.
const HOPS: usize = 10;

/// A client that follows nothing by itself.
pub(super) fn client() -> ClientBuilder {
    Client::builder().connect_timeout(PATIENCE).redirect(Policy::none())
}

/// A request that may be sent on.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Adds what only the server that is named may see.
    pub(super) credentials: &'a dyn Fn(RequestBuilder) -> RequestBuilder,
    /// Adds what every server may see.
    pub(super) plain: &'a dyn Fn(RequestBuilder) -> RequestBuilder,
    pub(super) body: Option<&'a File>,
}

impl Request<'_> {
    /// Sends it, and again wherever it is sent to. Gives any answer that sends it nowhere.
    ///
    /// # Errors
    /// Where no connection can be made or it breaks, where it is sent on in circles or to what is no web server, and where
    /// another place would not get the body.
    pub(super) async fn send(self, client: &Client) -> Result<Response, StorageError> {
        let mut url = self.url.clone();
        // Who has sent the request away does not get to choose what is asked with these.
        let mut trusted = true;
        for _ in 0..HOPS {
            let mut request = (self.plain)(client.request(self.method.clone(), url.clone()));
            if trusted {
                request = (self.credentials)(request);
            }
            let response = match self.body {
                Some(file) => upload(request, file).await?,
                None => match tokio::time::timeout(PATIENCE, request.send()).await {
                    Ok(response) => response.map_err(broken)?,
                    Err(_) => return Err(StorageError::Passing(format!("no answer for {} s", PATIENCE.as_secs()))),
                },
            };
            let Some(next) = next(&response)? else { return Ok(response) };
            if self.body.is_some()
                && !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
            {
                return Err(StorageError::lasting(format!(
                    "{} answered {}, which says that nothing has to be put there; a redirect of an upload is 307 or 308",
                    shown(url.as_str()),
                    response.status()
                )));
            }
            trusted = trusted && next.origin() == url.origin();
            url = next;
        }
        Err(StorageError::lasting(format!("{}: redirected more than {HOPS} times", shown(self.url.as_str()))))
    }
}

/// Where an answer sends the request to, if it does.
fn next(response: &Response) -> Result<Option<Url>, StorageError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| response.url().join(location).ok());
    match next.filter(|next| matches!(next.scheme(), "http" | "https")) {
        Some(next) => Ok(Some(next)),
        None => Err(StorageError::lasting(format!("{}: redirected to no URL", shown(response.url().as_str())))),
    }
}

/// Sends a file. The client's own limit is for answers, which begin when all has been sent: here it counts from the last part.
async fn upload(request: RequestBuilder, file: &File) -> Result<Response, StorageError> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    let length = file.metadata()?.len();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let body = futures_util::stream::unfold(file.take(length), move |mut file| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut chunk = vec![0; CHUNK];
            match file.read(&mut chunk) {
                Ok(0) => None,
                Ok(read) => {
                    chunk.truncate(read);
                    Some((Ok(Bytes::from(chunk)), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        }
    });
    let answer = request.header("content-length", length).body(Body::wrap_stream(body)).send();
    tokio::pin!(answer);
    let mut before = 0;
    loop {
        match tokio::time::timeout(PATIENCE, &mut answer).await {
            Ok(answer) => return answer.map_err(broken),
            Err(_) => match sent.load(Ordering::Relaxed) {
                now if now == before => {
                    return Err(StorageError::Passing(format!("nothing went on for {} s", PATIENCE.as_secs())));
                }
                now => before = now,
            },
        }
    }
}

/// Takes an answer that is no success apart.
pub(super) fn success(response: Response, url: &str) -> Result<Response, StorageError> {
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

/// The next part of an answer.
///
/// # Errors
/// Where the connection breaks, or nothing comes.
pub(super) async fn chunk(response: &mut Response, patience: Duration) -> Result<Option<Bytes>, StorageError> {
    match tokio::time::timeout(patience, response.chunk()).await {
        Ok(chunk) => chunk.map_err(broken),
        Err(_) => Err(StorageError::Passing(format!("nothing came for {} s", patience.as_secs()))),
    }
}

/// A connection that could not be made, or broke. Only what is wrong with the request itself lasts.
pub(super) fn broken(error: reqwest::Error) -> StorageError {
    let lasting = error.is_builder() || error.is_redirect();
    let text = chain(&error.without_url());
    if lasting { StorageError::Lasting(text) } else { StorageError::Passing(text) }
}

/// An error and what caused it, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// A URL without user, password and query.
pub(super) fn shown(url: &str) -> String {
    match Url::parse(url) {
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
