//! `Entry`: one revision of one RuleSet with its answers made ready. Pure.
//!
//! An answer is sent as [`Pieces`]: what names the revision and its sources, which is this RuleSet's own, then the content's members, which
//! RuleSets of equal content share. That holds for gzip too: the head is a stored deflate block, the members are a deflate
//! stream that stands alone, and the checksum of the whole follows from those of the parts.

use std::sync::Arc;

use bytes::Bytes;
use coraza_ruleset::{Content, Revision, RuleSetKey, RulesText};
use flate2::Crc;
use http::HeaderValue;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::json;
use super::payload::Payload;

/// A gzip member of deflate data: no name, no time, no system (RFC 1952), so that equal content has equal bytes.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The most bytes of a deflate block that holds them as they are. A head has a hundred, and up to 300 more for each source.
const STORED: usize = u16::MAX as usize;

/// A body as the pieces that make it up, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces(pub [Bytes; 3]);

impl Pieces {
    /// The body's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Pieces {
    fn from(whole: Bytes) -> Self {
        Self([whole, Bytes::new(), Bytes::new()])
    }
}

/// One revision of one RuleSet, ready to be sent.
#[derive(Debug)]
pub struct Entry {
    key: RuleSetKey,
    revision: Revision,
    etag: HeaderValue,
    latest: Bytes,
    head: Bytes,
    gzip_head: Bytes,
    gzip_trailer: Bytes,
    payload: Arc<Payload>,
    superseded: CancellationToken,
}

impl Entry {
    pub(super) fn new(key: RuleSetKey, revision: Revision, rules: &RulesText, payload: Arc<Payload>) -> Self {
        let head = json::head(&revision, rules);
        let mut checksum = Crc::new();
        checksum.update(&head);
        checksum.combine(payload.checksum());
        Self {
            etag: etag(&revision),
            latest: json::latest(&revision),
            gzip_head: [&GZIP_HEADER[..], &stored_blocks(&head)].concat().into(),
            gzip_trailer: [checksum.sum().to_le_bytes(), checksum.amount().to_le_bytes()]
                .concat()
                .into(),
            head,
            key,
            revision,
            payload,
            superseded: CancellationToken::new(),
        }
    }

    /// Which RuleSet.
    #[must_use]
    pub const fn key(&self) -> &RuleSetKey {
        &self.key
    }

    /// Which revision of it.
    #[must_use]
    pub const fn revision(&self) -> &Revision {
        &self.revision
    }

    /// `W/"<timestamp in ns>-<uuid>"`: weak, since identity and gzip share it.
    #[must_use]
    pub const fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// The body of `/latest`.
    #[must_use]
    pub fn latest(&self) -> Pieces {
        self.latest.clone().into()
    }

    /// The full body.
    #[must_use]
    pub fn identity(&self) -> Pieces {
        Pieces([self.head.clone(), self.payload.members(), Bytes::new()])
    }

    /// The full body in one gzip member, once it has been made.
    #[must_use]
    pub fn gzip(&self) -> Option<Pieces> {
        Some(Pieces([
            self.gzip_head.clone(),
            self.payload.deflated()?,
            self.gzip_trailer.clone(),
        ]))
    }

    /// What the full body was made of.
    pub(super) fn content(&self) -> Option<Content> {
        json::decode(&[&self.head[..], &self.payload.members()].concat())
    }

    /// Bytes of rules and data files.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.payload.content_len()
    }

    /// Ends when the store no longer serves this entry: a look at the store then finds another one, or none.
    pub fn superseded(&self) -> WaitForCancellationFuture<'_> {
        self.superseded.cancelled()
    }

    /// Whether the store serves another entry by now, or none.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.superseded.is_cancelled()
    }

    pub(super) fn supersede(&self) {
        self.superseded.cancel();
    }

    pub(super) const fn payload(&self) -> &Arc<Payload> {
        &self.payload
    }
}

fn etag(revision: &Revision) -> HeaderValue {
    let text = format!("W/\"{}-{}\"", revision.timestamp.unix_nanos(), revision.uuid());
    // Digits, hexadecimal digits, quotes and dashes are all fit for a header.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

/// Deflate blocks that aren't the last and hold the bytes as they are (RFC 1951, 3.2.4). They end on a byte boundary, so any
/// deflate stream may follow.
fn stored_blocks(bytes: &[u8]) -> Vec<u8> {
    let block = |bytes: &[u8]| {
        let [low, high, ..] = bytes.len().to_le_bytes();
        [&[0, low, high, !low, !high], bytes].concat()
    };
    bytes.chunks(STORED).flat_map(block).collect()
}
