use std::time::Duration;

/// What one listener grants its clients. All durations are wall time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait in the kernel's backlog. At least 1.
    pub connections: u32,
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the end of the handshake to the first byte of a request.
    pub first_request: Duration,
    /// From the first byte of an HTTP/1.1 request head to its last.
    pub head: Duration,
    /// Without a request, after at least one. Longer than the 90 s after which the API server (client-go) closes an
    /// idle connection: the side that closes first must be the client's, or a POST sent at that moment is lost, and
    /// Argo fails the workflow's node.
    pub idle: Duration,
    /// From the end of the head to the start of the answer. The API server waits at most 30 s for a webhook.
    pub request: Duration,
    /// From the last moment at which an answer can have started until the client has taken all of it.
    pub answer: Duration,
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of all the bodies held at once, over all connections.
    pub bodies: usize,
    /// HTTP/2 streams open at once in one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            head: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            request: Duration::from_secs(30),
            answer: Duration::from_secs(10),
            body: 8 << 20,
            bodies: 128 << 20,
            streams: 128,
        }
    }
}

impl Limits {
    /// For the plain port: a kubelet's probes and a scraper or two, none of whom sends a body.
    pub(super) fn plain() -> Self {
        Self { connections: 64, request: Duration::from_secs(10), body: 4 << 10, bodies: 64 << 10, ..Self::default() }
    }
}
