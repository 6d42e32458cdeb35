use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits::Limits;
use super::metrics::Reason;

/// How long a connection that is closing waits for a request that may be on its way.
const PARTING: Duration = Duration::from_secs(1);

/// What one connection is doing, as far as its patience is concerned.
///
/// hyper's own header timeout also runs while a kept-alive connection is idle, and HTTP/2 has none at all, so the
/// connection keeps this clock itself: fed by its reads ([`Watched`]) and its requests ([`InFlight`]).
#[derive(Debug)]
pub(super) struct Activity {
    /// HTTP/2: requests end in other tasks, and bytes that arrive between requests (pings) mean nothing.
    multiplexed: bool,
    state: Mutex<State>,
    ended: AtomicWaker,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    served: bool,
    quiet_since: Instant,
    head_since: Option<Instant>,
}

/// When patience ends, and what to call it: `None` for an idle connection, which has done nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) reason: Option<Reason>,
}

impl Activity {
    pub(super) fn new(multiplexed: bool) -> Self {
        let state = State { in_flight: 0, served: false, quiet_since: Instant::now(), head_since: None };
        Self { multiplexed, state: Mutex::new(state), ended: AtomicWaker::new() }
    }

    /// A request's head has arrived; it is in flight until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.served = true;
        state.head_since = None;
        InFlight(Arc::clone(self))
    }

    /// `None` while a request is in flight, which has a time limit of its own. `closing` is since when the connection
    /// is on its way down: a request that was sent before the client knew has a moment still to arrive.
    pub(super) fn deadline(&self, limits: &Limits, closing: Option<Instant>) -> Option<Deadline> {
        let state = self.state();
        if state.in_flight > 0 {
            return None;
        }
        let (since, patience, reason) = match state.head_since {
            Some(since) => (since, limits.head, Some(Reason::HeadTimeout)),
            None if state.served => (state.quiet_since, limits.idle, None),
            None => (state.quiet_since, limits.first_request, Some(Reason::FirstRequestTimeout)),
        };
        let deadline = Deadline { at: since + patience, reason };
        let parting = closing.map(|closing| closing.max(state.quiet_since) + PARTING.min(limits.first_request));
        Some(match parting {
            Some(at) if at < deadline.at => Deadline { at, reason: None },
            _ => deadline,
        })
    }

    /// Wakes the connection's task when a request ends in another one.
    pub(super) fn register(&self, context: &Context<'_>) {
        if self.multiplexed {
            self.ended.register(context.waker());
        }
    }

    fn read_some(&self) {
        if self.multiplexed {
            return;
        }
        let mut state = self.state();
        if state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight: travels with its answer's body, for it ends when that is handed over.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
        drop(state);
        if self.0.multiplexed {
            self.0.ended.wake();
        }
    }
}

/// An answer's body, and the request that it ends.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _in_flight: InFlight,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads are activity.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read_some();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
