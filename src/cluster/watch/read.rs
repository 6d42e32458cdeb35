//! Answers of the API server, bounded.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use std::borrow::Cow;

/// The longest page of a list that is read, in bytes. The largest object that etcd takes has 1.5 MiB, in JSON at most
/// twice that.
pub(super) const LONGEST_PAGE: usize = 8 << 20;
/// The longest line of a watch, in bytes.
pub(super) const LONGEST_LINE: usize = 8 << 20;
/// The longest error that is read, and of its message what is shown.
const LONGEST_STATUS: usize = 64 << 10;
const LONGEST_MESSAGE: usize = 300;

/// Why the API server's answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cluster) enum Failure {
    /// We may not.
    Forbidden(String),
    /// There is no such resource.
    Absent(String),
    /// The version is too old to go on from.
    Gone,
    /// More bytes than we take.
    TooLarge,
    /// Anything else.
    Other(String),
}

impl Failure {
    /// Of an answer that took too long.
    pub(in crate::cluster) fn late() -> Self {
        Self::Other("the API server took too long".to_owned())
    }

    /// Whether trying again soon is no use.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::Absent(_))
    }

    fn of_client(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Other(shortened(&text))
    }
}

/// The body of a page.
pub(in crate::cluster) async fn page(client: &Client, request: Request<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    whole(answer(client, request).await?, LONGEST_PAGE).await
}

/// A failure as the API server words it (`Status`, Kubernetes API).
pub(super) fn status(body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Status<'a> {
        #[serde(default)]
        code: u16,
        #[serde(borrow, default)]
        message: Cow<'a, str>,
    }
    match serde_json::from_slice(body) {
        Ok(Status { code, message }) => of_code(code, shortened(&message)),
        Err(_) => Failure::Other("an error without a status came".to_owned()),
    }
}

fn of_code(code: u16, message: String) -> Failure {
    match code {
        403 => Failure::Forbidden(message),
        404 => Failure::Absent(message),
        410 => Failure::Gone,
        _ => Failure::Other(format!("{code}: {message}")),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

async fn answer(client: &Client, request: Request<Vec<u8>>) -> Result<Response<Body>, Failure> {
    let response = client.send(request.map(Body::from)).await.map_err(|error| Failure::of_client(&error))?;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let code = response.status().as_u16();
    let body = whole(response, LONGEST_STATUS).await.unwrap_or_default();
    Err(match status(&body) {
        // What stands between us and the API server has no such words.
        Failure::Other(_) => {
            let text = String::from_utf8_lossy(&body);
            of_code(
                code,
                shortened(&serde_json::from_str::<Message>(&text).map_or_else(|_| text.to_string(), |m| m.message)),
            )
        }
        failure => failure,
    })
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

async fn whole(response: Response<Body>, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = response.into_body();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::of_client(&error))?;
        if let Some(data) = frame.data_ref() {
            if all.len() + data.len() > limit {
                return Err(Failure::TooLarge);
            }
            all.extend_from_slice(data);
        }
    }
    Ok(all)
}

/// The lines of a watch.
pub(super) struct Lines {
    body: Body,
    /// What came and was not given yet; `given` bytes at its start were.
    buffer: BytesMut,
    /// Bytes that are known to hold no end of a line.
    searched: usize,
}

impl Lines {
    /// Asks for the watch and returns when the API server has agreed.
    pub(super) async fn open(client: &Client, request: Request<Vec<u8>>) -> Result<Self, Failure> {
        let body = answer(client, request).await?.into_body();
        Ok(Self { body, buffer: BytesMut::new(), searched: 0 })
    }

    /// The next line, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST_LINE {
                return Err(Failure::TooLarge);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(|error| Failure::of_client(&error))?;
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
