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
    /// When the last request began or ended; before the first, when the connection was made.
    since: Instant,
    /// When the first byte of a head came that has not ended yet. HTTP/1.1 only.
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
        let state = State { in_flight: 0, served: false, since: Instant::now(), head_since: None };
        Self { multiplexed, state: Mutex::new(state), ended: AtomicWaker::new() }
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// A request's head has arrived; it is in flight until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.served = true;
        state.since = Instant::now();
        state.head_since = None;
        InFlight(Arc::clone(self))
    }

    /// When to lose patience if nothing more happens. `closing` is since when the connection is on its way down: a
    /// request that was sent before the client knew has a moment still to arrive.
    pub(super) fn deadline(&self, limits: &Limits, closing: Option<Instant>) -> Deadline {
        let state = self.state();
        let (since, patience, reason) = match state.head_since {
            // The request is answered within its limit; a client may still not take the answer.
            _ if state.in_flight > 0 => (state.since, limits.request + limits.answer, Some(Reason::AnswerTimeout)),
            Some(since) => (since, limits.head, Some(Reason::HeadTimeout)),
            None if state.served => (state.since, limits.idle, None),
            None => (state.since, limits.first_request, Some(Reason::FirstRequestTimeout)),
        };
        let deadline = Deadline { at: since + patience, reason };
        match closing {
            Some(closing) if state.in_flight == 0 => {
                let parting = closing.max(state.since) + PARTING.min(limits.first_request);
                if parting < deadline.at { Deadline { at: parting, reason: None } } else { deadline }
            }
            _ => deadline,
        }
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
        state.since = Instant::now();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Activity, Deadline};
    use crate::server::Limits;
    use crate::server::metrics::Reason;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[track_caller]
    fn assert_deadline(deadline: Deadline, patience: Duration, reason: Option<Reason>) {
        let left = deadline.at - Instant::now();
        assert!(left <= patience && left + seconds(1) > patience, "{left:?} of {patience:?}");
        assert_eq!(deadline.reason, reason);
    }

    #[test]
    fn patience_depends_on_what_the_client_does() {
        let limits = Limits {
            first_request: seconds(10),
            head: seconds(20),
            idle: seconds(30),
            request: seconds(40),
            answer: seconds(50),
            ..Limits::default()
        };
        let activity = Arc::new(Activity::new(false));
        assert_deadline(activity.deadline(&limits, None), limits.first_request, Some(Reason::FirstRequestTimeout));
        activity.read_some();
        assert_deadline(activity.deadline(&limits, None), limits.head, Some(Reason::HeadTimeout));
        let in_flight = activity.begin();
        activity.read_some();
        let patience = limits.request + limits.answer;
        assert_deadline(activity.deadline(&limits, None), patience, Some(Reason::AnswerTimeout));
        assert_deadline(activity.deadline(&limits, Some(Instant::now())), patience, Some(Reason::AnswerTimeout));
        drop(in_flight);
        assert_deadline(activity.deadline(&limits, None), limits.idle, None);
        assert_deadline(activity.deadline(&limits, Some(Instant::now())), super::PARTING, None);
    }

    #[test]
    fn bytes_between_http_2_requests_are_no_head() {
        let activity = Arc::new(Activity::new(true));
        drop(activity.begin());
        activity.read_some();
        assert_deadline(activity.deadline(&Limits::default(), None), Limits::default().idle, None);
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An HTTP/2 request ends in a task of its own, perhaps after the connection was last polled.
    #[test]
    fn the_end_of_an_http_2_request_wakes_its_connection() {
        let wakes = Arc::new(Wakes::default());
        let activity = Arc::new(Activity::new(true));
        activity.register(&Context::from_waker(&Waker::from(Arc::clone(&wakes))));
        drop(activity.begin());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }
}
