//! `Digest` and `Revision`: what a content is, and since when it is the current one.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::timestamp::Timestamp;

/// The SHA-256 of a content (see [`Content::digest`](crate::Content::digest)): equal content has an equal digest on every
/// replica and after every restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest of its 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identity that data planes compare: an RFC 9562 version 8 UUID of the first 128 bits.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.0;
        Uuid::new_v8([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = InvalidDigest;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidDigest> {
        bytes.try_into().map(Self).map_err(|_| InvalidDigest)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return Err(InvalidDigest);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidDigest)?;
            if pair.starts_with('+') {
                return Err(InvalidDigest);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

/// Bytes or a text that is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is a SHA-256: 32 bytes, or 64 hexadecimal digits")]
pub struct InvalidDigest;

/// A content and the time from which it is the current one of its key. The timestamp is the order: nobody replaces a
/// revision by one with an older timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Which content.
    pub digest: Digest,
    /// Since when it is current, *this time*: content that returns gets a new timestamp.
    pub timestamp: Timestamp,
}

impl Revision {
    /// The revision to be current after `previous`, given the clock's `now`.
    ///
    /// The same content stays the same revision. Other content is later than `previous` even if the clock went back.
    #[must_use]
    pub fn succeed(previous: Option<Self>, digest: Digest, now: Timestamp) -> Self {
        match previous {
            Some(previous) if previous.digest == digest => previous,
            Some(previous) => Self {
                digest,
                timestamp: now.max(previous.timestamp.next()),
            },
            None => Self { digest, timestamp: now },
        }
    }

    /// The identity that data planes compare.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.digest.uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(first: u8) -> Digest {
        let mut bytes = [0; 32];
        bytes[0] = first;
        Digest::new(bytes)
    }

    #[test]
    fn uuid_is_version_8_of_the_digest() {
        let uuid = Digest::new([0xff; 32]).uuid();
        assert_eq!(uuid.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(uuid.get_version_num(), 8);
    }

    #[test]
    fn digest_text_round_trips_and_others_are_refused() {
        assert_eq!(digest(0xa0).to_string().parse(), Ok(digest(0xa0)));
        for text in ["", "a0", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(InvalidDigest), "{text:?}");
        }
        assert_eq!(Digest::try_from(&[0_u8; 31][..]), Err(InvalidDigest));
    }

    #[test]
    fn returning_content_gets_a_new_timestamp() {
        let now = Timestamp::from_unix_nanos;
        let first = Revision::succeed(None, digest(1), now(10));
        let second = Revision::succeed(Some(first), digest(2), now(20));
        let third = Revision::succeed(Some(second), digest(1), now(30));
        assert_eq!(
            third,
            Revision {
                digest: digest(1),
                timestamp: now(30)
            }
        );
        assert_eq!(Revision::succeed(Some(third), digest(1), now(40)), third);
    }

    proptest! {
        #[test]
        fn timestamps_grow_whatever_the_clock_says(steps in prop::collection::vec((0_u8..3, 0_u64..100), 1..50)) {
            let mut current = None;
            for (content, clock) in steps {
                let next = Revision::succeed(current, digest(content), Timestamp::from_unix_nanos(clock));
                if let Some(current) = current {
                    prop_assert!(next == current || next.timestamp > current.timestamp);
                    prop_assert_eq!(next == current, next.digest == current.digest);
                }
                current = Some(next);
            }
        }
    }
}
