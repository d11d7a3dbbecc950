//! `Grants`: the tokens that the controller lets in. One hash look-up, and nobody is asked. Pure: the clock comes in as a value.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use coraza_proto::limits::MAX_GRANTS;
use coraza_ruleset::{Grant, RuleSetKey, TokenDigest};
use tokio_util::sync::CancellationToken;

use super::{Access, Refusal};

/// Every grant, as of one moment.
type Snapshot = HashMap<TokenDigest, Arc<Granted>>;

/// The tokens that are let in. A clone is another handle on the same ones.
#[derive(Debug, Clone)]
pub struct Grants {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Read by every request without a lock, copied to be changed.
    snapshot: ArcSwap<Snapshot>,
    /// Held by whoever changes the snapshot. A standard mutex is right: nothing awaits under it.
    writer: Mutex<()>,
    /// Present while nobody says what is granted: cancelled when somebody does.
    alone: Mutex<Option<CancellationToken>>,
}

#[derive(Debug)]
struct Granted {
    grant: Grant,
    /// Cancelled when the grant is taken away, or replaced by one that opens something else.
    revoked: CancellationToken,
}

/// There is no room for so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} grants would be held, and {MAX_GRANTS} is the most")]
pub struct TooMany {
    count: usize,
}

impl Default for Grants {
    /// No grants, and nobody who says whether there should be.
    fn default() -> Self {
        let alone = Mutex::new(Some(CancellationToken::new()));
        let shared = Shared {
            snapshot: ArcSwap::default(),
            writer: Mutex::default(),
            alone,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Grants {
    /// Lets the bearers of these tokens in: all of them, or none if there is no room. What expired makes room.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn grant(&self, grants: Vec<Grant>, now: SystemTime) -> Result<(), TooMany> {
        let _writer = self.lock();
        let mut next = Snapshot::clone(&self.shared.snapshot.load());
        next.retain(|_, granted| expiry(&granted.grant) > now);
        let mut replaced = Vec::new();
        for grant in grants {
            if next.get(&grant.token).is_some_and(|granted| granted.grant == grant) {
                continue;
            }
            let revoked = CancellationToken::new();
            let token = grant.token;
            replaced.extend(next.insert(token, Arc::new(Granted { grant, revoked })));
        }
        if next.len() > MAX_GRANTS {
            return Err(TooMany { count: next.len() });
        }
        self.publish(next, &replaced);
        Ok(())
    }

    /// Takes these tokens' grants away. Who waits with one of them learns it at once.
    pub fn revoke(&self, tokens: &[TokenDigest]) {
        let _writer = self.lock();
        let mut next = Snapshot::clone(&self.shared.snapshot.load());
        let gone: Vec<_> = tokens.iter().filter_map(|token| next.remove(token)).collect();
        if !gone.is_empty() {
            self.publish(next, &gone);
        }
    }

    /// The new state first, then the news of it: who wakes must find it.
    fn publish(&self, next: Snapshot, gone: &[Arc<Granted>]) {
        self.shared.snapshot.store(Arc::new(next));
        gone.iter().for_each(|granted| granted.revoked.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A controller has said all that is granted and says what changes: whoever is not granted is not let in.
    pub fn complete(&self) {
        if let Some(alone) = self.alone_slot().take() {
            alone.cancel();
        }
    }

    /// Nobody says any more what is granted.
    pub fn incomplete(&self) {
        self.alone_slot().get_or_insert_default();
    }

    /// While nobody says what is granted: what is cancelled when somebody does.
    pub(super) fn alone(&self) -> Option<CancellationToken> {
        self.alone_slot().clone()
    }

    fn alone_slot(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.shared.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token opens the RuleSet; nothing if it was never granted, or no longer is. Takes no lock.
    pub(super) fn check(
        &self,
        token: &TokenDigest,
        key: &RuleSetKey,
        now: SystemTime,
    ) -> Option<Result<Access, Refusal>> {
        let snapshot = self.shared.snapshot.load();
        let Granted { grant, revoked } = &**snapshot.get(token)?;
        let expires = expiry(grant);
        Some(if expires <= now {
            Err(Refusal::Expired)
        } else if grant.key != *key {
            Err(Refusal::OtherAudience)
        } else {
            Ok(Access {
                expires,
                revoked: Some(revoked.clone()),
                engine: Some(grant.engine.clone()),
            })
        })
    }

    /// What is held, for the controller.
    #[must_use]
    pub fn held(&self) -> Vec<Grant> {
        let snapshot = self.shared.snapshot.load();
        snapshot.values().map(|granted| granted.grant.clone()).collect()
    }

    /// How many tokens are let in, expired ones included until the next change.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.snapshot.load().len()
    }

    /// Whether nobody is let in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn expiry(grant: &Grant) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(grant.expires.unix_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    use coraza_ruleset::{EngineKey, Timestamp};

    fn key(name: &str) -> RuleSetKey {
        RuleSetKey::new("team", name).expect("a key")
    }

    fn grant(token: &str, name: &str, seconds: u64) -> Grant {
        Grant {
            token: TokenDigest::of(token),
            expires: Timestamp::from_unix_nanos(seconds * 1_000_000_000),
            key: key(name),
            engine: EngineKey::new("team", "waf", "1").expect("an engine"),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn check(grants: &Grants, token: &str, name: &str, now: SystemTime) -> Option<Result<(), Refusal>> {
        let checked = grants.check(&TokenDigest::of(token), &key(name), now);
        checked.map(|verdict| verdict.map(|_| ()))
    }

    #[test]
    fn a_token_opens_its_ruleset_until_it_expires() {
        let grants = Grants::default();
        grants.grant(vec![grant("a", "crs", 10)], at(0)).expect("room");
        for (token, name, now, expected) in [
            ("a", "crs", at(9), Some(Ok(()))),
            ("a", "crs", at(10), Some(Err(Refusal::Expired))),
            ("a", "other", at(9), Some(Err(Refusal::OtherAudience))),
            ("b", "crs", at(9), None),
        ] {
            assert_eq!(check(&grants, token, name, now), expected, "{token} {name} {now:?}");
        }
    }

    #[test]
    fn who_waits_learns_of_a_revocation_and_of_nothing_else() {
        let grants = Grants::default();
        let access = |token: &str| {
            let checked = grants.check(&TokenDigest::of(token), &key("crs"), at(0));
            checked
                .and_then(Result::ok)
                .and_then(|access| access.revoked)
                .expect("granted")
        };
        grants
            .grant(vec![grant("a", "crs", 10), grant("b", "crs", 10)], at(0))
            .expect("room");
        let (a, b) = (access("a"), access("b"));
        grants
            .grant(vec![grant("a", "crs", 10), grant("c", "crs", 10)], at(0))
            .expect("room");
        assert!(!a.is_cancelled());
        grants.revoke(&[TokenDigest::of("a"), TokenDigest::of("unknown")]);
        assert!(a.is_cancelled() && !b.is_cancelled());
        assert_eq!(check(&grants, "a", "crs", at(0)), None);
        grants.grant(vec![grant("b", "other", 10)], at(0)).expect("room");
        assert!(b.is_cancelled());
    }

    #[test]
    fn there_is_a_bound_and_what_expired_makes_room() {
        let grants = Grants::default();
        let many = |from: usize, count: usize, expires| -> Vec<_> {
            (from..from + count)
                .map(|number| grant(&number.to_string(), "crs", expires))
                .collect()
        };
        grants.grant(many(0, MAX_GRANTS, 10), at(0)).expect("room");
        let refused = grants.grant(many(MAX_GRANTS, 1, 20), at(0));
        assert_eq!(refused, Err(TooMany { count: MAX_GRANTS + 1 }));
        assert_eq!(check(&grants, &MAX_GRANTS.to_string(), "crs", at(0)), None);
        assert_eq!(check(&grants, "0", "crs", at(0)), Some(Ok(())));
        grants.grant(many(MAX_GRANTS, 1, 20), at(10)).expect("room");
        assert_eq!(grants.len(), 1);
    }
}
