//! `SendBody`: ready-made pieces as the body of an answer. No IO: hyper sends it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::phase::Phases;
use crate::store::Pieces;

/// A body that is in memory already. Sending it copies nothing.
#[derive(Debug)]
pub(super) struct SendBody {
    pieces: std::array::IntoIter<Bytes, 3>,
    remaining: u64,
    /// Learns that the body has been handed over: hyper drops it then.
    phases: Arc<Phases>,
}

impl SendBody {
    pub(super) fn new(pieces: Pieces, phases: Arc<Phases>) -> Self {
        let remaining = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
        Self {
            pieces: pieces.0.into_iter(),
            remaining,
            phases,
        }
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.find(|piece| !piece.is_empty());
        let sent = piece.as_ref().map_or(0, Bytes::len);
        self.remaining = self.remaining.saturating_sub(u64::try_from(sent).unwrap_or(u64::MAX));
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl Drop for SendBody {
    fn drop(&mut self) {
        self.phases.body_taken();
    }
}
