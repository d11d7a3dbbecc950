//! `Payload`: the part of an answer that depends on the content alone, encoded once however many RuleSets have it. Pure.

use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use coraza_ruleset::Content;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::json;

/// A content as JSON and, once that is done, deflated.
#[derive(Debug)]
pub(super) struct Payload {
    /// The content as a JSON object of its own, line feed included.
    object: Bytes,
    /// Of the members, which are what answers are made of.
    checksum: Crc,
    /// The members as a deflate stream that stands alone. Set once, in the background.
    deflated: OnceLock<Bytes>,
    /// Bytes of rules and data files.
    content_len: usize,
}

impl Payload {
    pub(super) fn encode(content: &Content) -> Self {
        let object = json::encode(content);
        let mut checksum = Crc::new();
        checksum.update(&members(&object));
        Self {
            object,
            checksum,
            deflated: OnceLock::new(),
            content_len: content.size(),
        }
    }

    /// The object without its opening brace, to go behind the members that name the revision.
    pub(super) fn members(&self) -> Bytes {
        members(&self.object)
    }

    /// CRC-32 and length of [`members`](Self::members).
    pub(super) const fn checksum(&self) -> &Crc {
        &self.checksum
    }

    /// The members as a complete deflate stream, if it is made already.
    pub(super) fn deflated(&self) -> Option<Bytes> {
        self.deflated.get().cloned()
    }

    /// Makes the deflate stream. Takes tens of milliseconds for a Core Rule Set.
    pub(super) fn deflate(&self) {
        self.deflated.get_or_init(|| {
            // A quarter is what rules shrink to at worst; the buffer is cut to size afterwards.
            let buffer = Vec::with_capacity(self.object.len() / 4);
            let mut encoder = DeflateEncoder::new(buffer, Compression::best());
            // A vector takes every write.
            let _ = encoder.write_all(&self.members());
            encoder.finish().unwrap_or_default().into_boxed_slice().into()
        });
    }

    /// Bytes of rules and data files.
    pub(super) const fn content_len(&self) -> usize {
        self.content_len
    }

    /// Bytes that the encodings take.
    pub(super) fn encoded_len(&self) -> usize {
        self.object
            .len()
            .saturating_add(self.deflated.get().map_or(0, Bytes::len))
    }
}

fn members(object: &Bytes) -> Bytes {
    // JSON objects have their opening brace, so there is always a byte to leave out.
    object.slice(1.min(object.len())..)
}
