//! `Compressor`: compresses what the store serves, one content after another, on a thread of its own. No IO.

use std::sync::{Weak, mpsc};

use super::payload::Payload;

/// The store's queue of contents that are served uncompressed so far.
#[derive(Debug)]
pub struct Compressor {
    /// Weak, so that a revision which is replaced before its turn comes is neither kept nor compressed.
    queue: mpsc::Receiver<Weak<Payload>>,
}

impl Compressor {
    pub(super) const fn new(queue: mpsc::Receiver<Weak<Payload>>) -> Self {
        Self { queue }
    }

    /// Compresses what there is and what comes, until the last handle on the store is gone.
    pub fn run(self) {
        self.queue
            .iter()
            .filter_map(|payload| payload.upgrade())
            .for_each(|payload| payload.deflate());
    }

    /// Compresses what there is now.
    pub fn run_once(&self) {
        self.queue
            .try_iter()
            .filter_map(|payload| payload.upgrade())
            .for_each(|payload| payload.deflate());
    }
}
