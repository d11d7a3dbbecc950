//! Between the wire and the domain, both ways. Nothing that comes from a peer is believed: every field is checked, and an error names
//! the field and what was in it.

mod grant;
mod report;
mod request;
mod response;
mod ruleset;

use coraza_ruleset::{Digest, InvalidDigest, InvalidEngine, InvalidKey, RuleSetKey, Timestamp, TokenDigest};

use crate::limits::{LATEST_TIMESTAMP, truncated};
use crate::v1alpha1;

pub use request::{InvalidRequest, decode_request};
pub use response::{InvalidBody, InvalidResponse, decode_response};
pub use ruleset::{InvalidRuleSet, decode_ruleset};

/// How much of a bad value an error shows, in bytes: the longest key that could have been good.
const SHOWN: usize = 320;

/// A field whose value can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// It has to be there.
    #[error("{field} is missing")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// It is no key of a RuleSet.
    #[error("{field} is {value:?}")]
    Key {
        /// Which field.
        field: &'static str,
        /// What it had, cut short.
        value: String,
        /// What is wrong with it.
        source: InvalidKey,
    },
    /// It is no Engine.
    #[error("{field} is {value:?}")]
    Engine {
        /// Which field.
        field: &'static str,
        /// What it had, cut short.
        value: String,
        /// What is wrong with it.
        source: InvalidEngine,
    },
    /// It is no IP address.
    #[error("{field} has {length} bytes, and an IP address has 4 or 16")]
    Address {
        /// Which field.
        field: &'static str,
        /// How many bytes it had.
        length: usize,
    },
    /// It is no SHA-256.
    #[error("{field} has {length} bytes")]
    Digest {
        /// Which field.
        field: &'static str,
        /// How many bytes it had.
        length: usize,
        /// What is wrong with it.
        source: InvalidDigest,
    },
    /// It is later than any timestamp that is believed.
    #[error("{field} is {value} ns since 1970, and later than {LATEST_TIMESTAMP} is not believed")]
    Timestamp {
        /// Which field.
        field: &'static str,
        /// What it had.
        value: u64,
    },
    /// It is no name.
    #[error("{field} is {value:?}, and a name has 1 to 253 of the characters -._a-zA-Z0-9")]
    Name {
        /// Which field.
        field: &'static str,
        /// What it had, cut short.
        value: String,
    },
    /// It is no UUID.
    #[error("{field} is {value:?}, which is no UUID")]
    Uuid {
        /// Which field.
        field: &'static str,
        /// What it had, cut short.
        value: String,
    },
    /// It repeats more often than it may.
    #[error("{field} repeats {count} times, and {limit} is the most")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many there were.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// It has the same key twice.
    #[error("{field} has {key} twice")]
    Duplicate {
        /// Which field.
        field: &'static str,
        /// Which key.
        key: RuleSetKey,
    },
    /// It has the same token twice.
    #[error("{field} has {token:?} twice")]
    DuplicateToken {
        /// Which field.
        field: &'static str,
        /// Which token.
        token: TokenDigest,
    },
}

impl From<&RuleSetKey> for v1alpha1::Key {
    fn from(key: &RuleSetKey) -> Self {
        Self {
            namespace: key.namespace().to_owned(),
            name: key.name().to_owned(),
        }
    }
}

fn key(field: &'static str, key: Option<&v1alpha1::Key>) -> Result<RuleSetKey, InvalidField> {
    let v1alpha1::Key { namespace, name } = key.ok_or(InvalidField::Missing { field })?;
    RuleSetKey::new(namespace, name).map_err(|source| InvalidField::Key {
        field,
        value: shown(&format!("{namespace}/{name}")),
        source,
    })
}

fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, InvalidField> {
    let length = bytes.len();
    Digest::try_from(bytes).map_err(|source| InvalidField::Digest { field, length, source })
}

fn token(field: &'static str, bytes: &[u8]) -> Result<TokenDigest, InvalidField> {
    digest(field, bytes).map(|digest| TokenDigest::new(*digest.as_bytes()))
}

fn timestamp(field: &'static str, value: u64) -> Result<Timestamp, InvalidField> {
    let timestamp = Timestamp::from_unix_nanos(value);
    if timestamp > LATEST_TIMESTAMP {
        return Err(InvalidField::Timestamp { field, value });
    }
    Ok(timestamp)
}

fn bounded(field: &'static str, count: usize, limit: usize) -> Result<(), InvalidField> {
    if count > limit {
        return Err(InvalidField::TooMany { field, count, limit });
    }
    Ok(())
}

fn shown(value: &str) -> String {
    truncated(value, SHOWN).to_owned()
}

#[cfg(test)]
mod tests;
