//! `Poller`: a data plane that polls a cache, and which revision it runs.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::revision::Revision;
use crate::timestamp::Timestamp;

/// Which data plane, of those that poll for one Engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PollerId {
    /// It says in which Pod it is. A hint: any bearer of the Engine's token can say so.
    Pod(Arc<str>),
    /// It says nothing, as the Go plugin does: known by the address that it polls from.
    Address(IpAddr),
}

/// What a data plane runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Running {
    /// It doesn't say, and nobody saw it fetch.
    Unknown,
    /// It says that one of its workers has no rules.
    Nothing,
    /// This revision: the oldest among its workers if it says so, else the one that it fetched last.
    Revision(RevisionTag),
}

/// What names a revision to a data plane: its text is the inside of the `ETag`, `<nanoseconds>-<uuid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionTag {
    /// When it became current. First, since it is the order.
    pub timestamp: Timestamp,
    /// Which content.
    pub uuid: Uuid,
}

impl From<Revision> for RevisionTag {
    fn from(revision: Revision) -> Self {
        Self {
            timestamp: revision.timestamp,
            uuid: revision.uuid(),
        }
    }
}

impl fmt::Display for RevisionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.timestamp.unix_nanos(), self.uuid)
    }
}

impl FromStr for RevisionTag {
    type Err = InvalidRevisionTag;

    fn from_str(text: &str) -> Result<Self, InvalidRevisionTag> {
        let (nanos, uuid) = text.split_once('-').ok_or(InvalidRevisionTag)?;
        // `parse` alone would take a sign, and the UUID forms that no cache writes.
        if uuid.len() != 36 || !nanos.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRevisionTag);
        }
        Ok(Self {
            timestamp: Timestamp::from_unix_nanos(nanos.parse().map_err(|_| InvalidRevisionTag)?),
            uuid: Uuid::try_parse(uuid).map_err(|_| InvalidRevisionTag)?,
        })
    }
}

/// A text that names no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a revision is named by its nanoseconds since 1970, a dash and its UUID")]
pub struct InvalidRevisionTag;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Digest;

    #[test]
    fn a_tag_is_the_inside_of_the_etag() {
        let revision = Revision {
            digest: Digest::new([7; 32]),
            timestamp: Timestamp::from_unix_nanos(1_777_629_600_123_456_789),
        };
        let tag = RevisionTag::from(revision);
        assert_eq!(
            tag.to_string(),
            "1777629600123456789-07070707-0707-8707-8707-070707070707"
        );
        assert_eq!(tag.to_string().parse(), Ok(tag));
    }

    #[test]
    fn other_texts_are_refused() {
        let uuid = Uuid::from_u128(1);
        for text in [
            String::new(),
            "none".into(),
            uuid.to_string(),
            format!("+1-{uuid}"),
            format!("-{uuid}"),
            format!("99999999999999999999-{uuid}"),
            format!("1-{}", uuid.simple()),
            format!("1-{uuid}0"),
            format!("1-{}", "g".repeat(36)),
        ] {
            assert_eq!(text.parse::<RevisionTag>(), Err(InvalidRevisionTag), "{text:?}");
        }
    }
}
