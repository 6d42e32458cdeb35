use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

const CHUNK: usize = 64 << 10;

/// A response's body, well or ill behaved.
pub(crate) enum Reply {
    /// The bytes, at once.
    Whole(Bytes),
    /// The bytes, then, when they have had time to leave, a broken connection.
    Truncated { rest: Bytes, pause: Pin<Box<Sleep>> },
    /// A byte at a time.
    Dripping { rest: Bytes, every: Duration, pause: Pin<Box<Sleep>> },
    /// So many bytes more.
    Huge(u64),
}

impl Reply {
    pub(crate) fn truncated(rest: Bytes) -> Self {
        Self::Truncated { rest, pause: Box::pin(sleep(Duration::from_millis(20))) }
    }

    pub(crate) fn dripping(rest: Bytes, every: Duration) -> Self {
        Self::Dripping { rest, every, pause: Box::pin(sleep(every)) }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => frame(std::mem::take(bytes)),
            Self::Truncated { rest, pause } if rest.is_empty() => {
                pause.as_mut().poll(context).map(|()| Some(Err(io::Error::other("cut off on purpose"))))
            }
            Self::Truncated { rest, .. } => frame(std::mem::take(rest)),
            Self::Dripping { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Dripping { rest, every, pause } => match pause.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    *pause = Box::pin(sleep(*every));
                    frame(rest.split_to(1))
                }
            },
            Self::Huge(0) => Poll::Ready(None),
            Self::Huge(left) => {
                static BLANKS: [u8; CHUNK] = [b' '; CHUNK];
                let now = (*left).min(CHUNK as u64);
                *left -= now;
                frame(Bytes::from_static(&BLANKS[..usize::try_from(now).unwrap_or(CHUNK)]))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
