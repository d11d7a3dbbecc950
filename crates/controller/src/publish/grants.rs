//! Who may read which RuleSet, as the caches are to know it: the snapshot's other half. *Pure*: grants and a clock's value in.
//!
//! A grant goes by an explicit revocation, or when it expires; never because this process doesn't know it yet. One that only a cache
//! knows is *adopted* if its Engine still reads the same RuleSet: it is the token of before the last renewal, which data planes use
//! until Istio has brought them the new one. It stays for as long as the grant that it was adopted for: nobody else knows it, so nobody
//! would revoke it when the Engine goes or reads another RuleSet.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use coraza_ruleset::{EngineKey, Grant, RuleSetKey, Timestamp, TokenDigest};

/// How long a revoked token is remembered that nobody knew: as long as tokens live by default, so that no cache that was away brings
/// it back.
const UNKNOWN_LIFE_NANOS: u64 = 24 * 3_600 * 1_000_000_000;
/// The most revoked tokens that are remembered, the last to expire first.
const MAX_REVOKED: usize = 1 << 14;

/// Every grant.
#[derive(Debug, Default)]
pub(super) struct Grants {
    granted: BTreeMap<TokenDigest, Grant>,
    /// Those of them that only a cache knew.
    adopted: BTreeSet<TokenDigest>,
    /// Until when a revoked token would have been good: it is not to be adopted.
    revoked: BTreeMap<TokenDigest, Timestamp>,
    open: bool,
}

impl Grants {
    /// The bearers of this token are let in. Returns the tokens for which that is news: this one, and what was adopted for what it granted
    /// before.
    pub(super) fn grant(&mut self, grant: Grant, now: Timestamp) -> Vec<TokenDigest> {
        self.expire(now);
        let mut news = Vec::new();
        if grant.expires > now {
            let token = grant.token;
            self.revoked.remove(&token);
            self.adopted.remove(&token);
            if self.granted.insert(token, grant.clone()) != Some(grant) {
                news.push(token);
            }
        }
        news.extend(self.withdraw_orphans().iter().map(|orphan| orphan.token));
        news
    }

    /// Nobody with this token is let in any more, nor with what was adopted for it. Returns all that was granted and is no longer.
    pub(super) fn revoke(&mut self, token: &TokenDigest, now: Timestamp) -> Vec<Grant> {
        let granted = self.granted.remove(token);
        self.adopted.remove(token);
        let unknown = Timestamp::from_unix_nanos(now.unix_nanos().saturating_add(UNKNOWN_LIFE_NANOS));
        self.remember_revoked(*token, granted.as_ref().map_or(unknown, |grant| grant.expires));
        self.expire(now);
        granted.into_iter().chain(self.withdraw_orphans()).collect()
    }

    /// Takes away what was adopted for grants that are no more.
    fn withdraw_orphans(&mut self) -> Vec<Grant> {
        if self.adopted.is_empty() {
            return Vec::new();
        }
        let (adopted, said): (Vec<_>, Vec<_>) = self
            .granted
            .values()
            .partition(|grant| self.adopted.contains(&grant.token));
        let readers: HashSet<_> = said.into_iter().map(reader).collect();
        let orphans = adopted.into_iter().filter(|grant| !readers.contains(&reader(grant)));
        let orphans: Vec<_> = orphans.cloned().collect();
        for orphan in &orphans {
            self.granted.remove(&orphan.token);
            self.adopted.remove(&orphan.token);
            self.remember_revoked(orphan.token, orphan.expires);
        }
        orphans
    }

    fn remember_revoked(&mut self, token: TokenDigest, expires: Timestamp) {
        self.revoked.insert(token, expires);
        if self.revoked.len() > MAX_REVOKED {
            let first = self.revoked.iter().min_by_key(|(_, expires)| **expires);
            if let Some(first) = first.map(|(token, _)| *token) {
                self.revoked.remove(&first);
            }
        }
    }

    /// All grants that data planes use have been said once: what is still unknown may be withdrawn.
    pub(super) fn open(&mut self) {
        self.open = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// A cache holds these. Returns the tokens that are granted from now on for that. Before all grants were said, none are.
    pub(super) fn adopt<'a>(&mut self, held: impl IntoIterator<Item = &'a Grant>, now: Timestamp) -> Vec<TokenDigest> {
        if !self.open {
            return Vec::new();
        }
        let unknown =
            |grant: &&Grant| !self.granted.contains_key(&grant.token) && !self.revoked.contains_key(&grant.token);
        let unknown: Vec<_> = held
            .into_iter()
            .filter(|grant| grant.expires > now)
            .filter(unknown)
            .collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        let readers: HashSet<_> = self.granted.values().map(reader).collect();
        let adopted: Vec<_> = unknown
            .into_iter()
            .filter(|grant| readers.contains(&reader(grant)))
            .collect();
        for grant in &adopted {
            self.granted.insert(grant.token, Grant::clone(grant));
            self.adopted.insert(grant.token);
        }
        adopted.iter().map(|grant| grant.token).collect()
    }

    pub(super) fn get(&self, token: &TokenDigest) -> Option<&Grant> {
        self.granted.get(token)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = &TokenDigest> {
        self.granted.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.granted.len()
    }

    /// Whether any token of this Engine is granted.
    pub(super) fn has(&self, engine: &EngineKey) -> bool {
        self.granted.values().any(|grant| grant.engine == *engine)
    }

    fn expire(&mut self, now: Timestamp) {
        self.granted.retain(|_, grant| grant.expires > now);
        self.adopted.retain(|token| self.granted.contains_key(token));
        self.revoked.retain(|_, expires| *expires > now);
    }
}

fn reader(grant: &Grant) -> (&EngineKey, &RuleSetKey) {
    (&grant.engine, &grant.key)
}
