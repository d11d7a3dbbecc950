//! `Grant`: who may read which RuleSet, and until when. A token is known by its digest, never by itself.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::key::{InvalidKey, RuleSetKey};
use crate::timestamp::Timestamp;

/// The longest UID: as long as a Kubernetes label's value. API servers make UUIDs, but promise nothing.
const MAX_UID: usize = 63;

/// The SHA-256 of a bearer token: what caches keep in its place, so that no token is ever at rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// A digest of its 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of a token's bytes.
    #[must_use]
    pub fn of(token: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Not a secret, but the name of one: eight digits are enough to follow it through a log.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenDigest({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Which Engine. One that is made again under the same name has another UID, and is another Engine. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EngineKey {
    namespace: Arc<str>,
    name: Arc<str>,
    uid: Arc<str>,
}

impl EngineKey {
    /// A key of a namespace, a name and a UID that the Kubernetes API would give a custom resource.
    ///
    /// # Errors
    /// [`InvalidEngine`] if one of them is empty, too long or has a character that it can't have.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Result<Self, InvalidEngine> {
        // The names of all custom resources have the same form.
        RuleSetKey::new(namespace, name).map_err(|error| match error {
            InvalidKey::Namespace | InvalidKey::Form => InvalidEngine::Namespace,
            InvalidKey::Name => InvalidEngine::Name,
        })?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=MAX_UID).contains(&uid.len()) || !uid.bytes().all(allowed) {
            return Err(InvalidEngine::Uid);
        }
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
        })
    }

    /// The namespace that the Engine is in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Engine's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Engine's UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

/// Without the UID: as people name it.
impl fmt::Display for EngineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for EngineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineKey({self} {})", self.uid)
    }
}

/// Why namespace, name and UID are no Engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEngine {
    /// The namespace isn't an RFC 1123 label.
    #[error("the namespace must be an RFC 1123 label")]
    Namespace,
    /// The name isn't an RFC 1123 subdomain.
    #[error("the name must be an RFC 1123 subdomain")]
    Name,
    /// The UID isn't one.
    #[error("the UID must be 1 to {MAX_UID} of the characters -._a-zA-Z0-9")]
    Uid,
}

/// The right of whoever bears a token to read one RuleSet: what a cache needs to let an Engine's data planes in without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which token.
    pub token: TokenDigest,
    /// When the token expires.
    pub expires: Timestamp,
    /// The RuleSet that it opens.
    pub key: RuleSetKey,
    /// The Engine that it was issued for.
    pub engine: EngineKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_shows_its_beginning_only() {
        let digest = TokenDigest::of("secret");
        assert_eq!(digest, TokenDigest::of(b"secret"));
        assert_eq!(format!("{digest:?}"), "TokenDigest(2bb80d53…)");
    }

    #[test]
    fn an_engine_made_again_is_another() {
        let [first, second] = ["1", "2"].map(|uid| EngineKey::new("team", "waf", uid).expect("a key"));
        assert_ne!(first, second);
        assert_eq!(first.to_string(), second.to_string());
    }

    #[test]
    fn what_no_engine_can_have_is_refused() {
        let long = "u".repeat(64);
        for (namespace, name, uid, error) in [
            ("", "waf", "1", InvalidEngine::Namespace),
            ("a.b", "waf", "1", InvalidEngine::Namespace),
            ("team", "", "1", InvalidEngine::Name),
            ("team", "a/b", "1", InvalidEngine::Name),
            ("team", "waf", "", InvalidEngine::Uid),
            ("team", "waf", "a b", InvalidEngine::Uid),
            ("team", "waf", &*long, InvalidEngine::Uid),
        ] {
            assert_eq!(
                EngineKey::new(namespace, name, uid),
                Err(error),
                "{namespace:?} {name:?} {uid:?}"
            );
        }
    }
}
