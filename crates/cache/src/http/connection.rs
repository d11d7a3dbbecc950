//! One connection: hyper behind a socket that knows what the connection is doing, and a timer that closes it in time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::phase::Phases;

/// A socket that reports to [`Phases`] what goes through it.
#[derive(Debug)]
pub(super) struct Observed<Io> {
    io: Io,
    phases: Arc<Phases>,
}

impl<Io> Observed<Io> {
    pub(super) const fn new(io: Io, phases: Arc<Phases>) -> Self {
        Self { io, phases }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(_)) => self.phases.bytes_written(Instant::now()),
            Poll::Pending => self.phases.write_blocked(Instant::now()),
            Poll::Ready(Err(_)) => {}
        }
        result
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Observed<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.phases.bytes_read(Instant::now());
        }
        Poll::Ready(result)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Observed<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buffer);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, buffers);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.io).poll_flush(cx));
        self.phases.flushed(Instant::now());
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Ends with `connection`, or when the phase that it is in has lasted too long.
///
/// The timer is set when a deadline comes *nearer*, and looked at again when it fires: requests on a busy connection, each of
/// which moves the deadline away, don't touch it.
pub(super) struct Deadlined<C> {
    connection: Pin<Box<C>>,
    phases: Arc<Phases>,
    timer: Pin<Box<Sleep>>,
}

/// The connection was closed because its peer took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer took too long")]
pub(super) struct TimedOut;

impl<C> Deadlined<C> {
    pub(super) fn new(connection: C, phases: Arc<Phases>) -> Self {
        let first = phases.deadline().unwrap_or_else(Instant::now);
        Self {
            connection: Box::pin(connection),
            phases,
            timer: Box::pin(tokio::time::sleep_until(first.into())),
        }
    }

    /// The connection itself.
    pub(super) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future> Future for Deadlined<C> {
    type Output = Result<C::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.connection.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        // Without a deadline there is nothing to watch for: when one is set, it is by a poll that comes through here.
        let Some(deadline) = self.phases.deadline() else {
            return Poll::Pending;
        };
        if tokio::time::Instant::from(deadline) < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline.into());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(TimedOut));
            }
            self.timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}
