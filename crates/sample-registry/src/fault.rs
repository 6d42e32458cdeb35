use std::time::Duration;

/// What a fault hook sees of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without the question mark, empty where there is none.
    pub query: String,
    /// The `Authorization` header as sent.
    pub authorization: Option<String>,
}

/// A way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this and nothing of its own.
    Answer {
        /// HTTP status.
        status: u16,
        /// Headers; `Content-Length` is added.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Waits, then answers as usual.
    Delay(Duration),
    /// Takes the request and never answers.
    Stall,
    /// Sends the right answer a byte at a time, waiting this long before each.
    Drip(Duration),
    /// Promises the whole body and hangs up in the middle.
    Truncate,
    /// Sends other bytes of the right length under the right headers.
    WrongBytes,
    /// Says another `Docker-Content-Digest`.
    WrongDigest,
    /// Says this `Content-Length` over the right body.
    WrongLength(u64),
    /// Sends this many bytes of body under no `Content-Length`; `u64::MAX` is without end.
    Huge(u64),
}

pub(crate) type FaultHook = Box<dyn Fn(&RequestHead) -> Option<Fault> + Send + Sync>;

impl Fault {
    /// A status without headers or body.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same with this body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }

    /// A 307 to another URL.
    pub fn redirect(location: &str) -> Self {
        Self::status(307).header("location", location)
    }
}
