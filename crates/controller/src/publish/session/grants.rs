//! The grants of one subscriber: what it holds, what is due. *Pure*.

use std::collections::{BTreeMap, BTreeSet};

use coraza_proto::Body;
use coraza_proto::limits::MAX_GRANTS_PER_MESSAGE;
use coraza_ruleset::{Grant, Timestamp, TokenDigest};

use super::super::grants::Grants;
use super::Sent;

/// What one cache knows of the grants.
#[derive(Debug)]
pub(in crate::publish) struct HeldGrants {
    /// What it holds once it has heard all that was sent: the order of a stream is the stream's.
    held: BTreeMap<TokenDigest, Held>,
    /// What it refused. Tried again when grants change: there may be room.
    refused: BTreeMap<TokenDigest, Grant>,
    /// What has to be looked at.
    due: BTreeSet<TokenDigest>,
}

#[derive(Debug)]
struct Held {
    grant: Grant,
    acked: bool,
}

impl HeldGrants {
    pub(super) fn new(held: BTreeMap<TokenDigest, Grant>, grants: &Grants) -> Self {
        let due = held.keys().chain(grants.tokens()).copied().collect();
        let held = held
            .into_iter()
            .map(|(token, grant)| (token, Held { grant, acked: true }));
        Self {
            held: held.collect(),
            refused: BTreeMap::new(),
            due,
        }
    }

    /// The token's grant changed.
    pub(in crate::publish) fn touch(&mut self, token: TokenDigest) {
        self.due.insert(token);
        self.due.extend(std::mem::take(&mut self.refused).into_keys());
    }

    /// Everything that the cache holds has to be looked at.
    pub(in crate::publish) fn touch_all(&mut self) {
        self.due.extend(self.held.keys());
    }

    pub(in crate::publish) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.held.values().map(|held| &held.grant)
    }

    /// Whether the cache said that it lets the bearers of this token in.
    pub(in crate::publish) fn has(&self, grant: &Grant) -> bool {
        self.held
            .get(&grant.token)
            .is_some_and(|held| held.acked && held.grant == *grant)
    }

    pub(in crate::publish) fn acked(&self) -> usize {
        self.held.values().filter(|held| held.acked).count()
    }

    /// The cache has forgotten what expired.
    pub(in crate::publish) fn expire(&mut self, now: Timestamp) {
        self.held.retain(|_, held| held.grant.expires > now);
        self.refused.retain(|_, grant| grant.expires > now);
    }

    /// The message that brings the cache nearer to what is granted. Revocations go first.
    pub(super) fn next(&mut self, grants: &Grants) -> Option<(Body, Sent)> {
        let (mut revoked, mut granted) = (Vec::new(), Vec::new());
        while revoked.len() < MAX_GRANTS_PER_MESSAGE && granted.len() < MAX_GRANTS_PER_MESSAGE {
            let Some(token) = self.due.pop_first() else { break };
            match grants.get(&token) {
                Some(grant) if self.lacks(grant) => granted.push(grant.clone()),
                None if grants.is_open() && self.held.contains_key(&token) => revoked.push(token),
                _ => {}
            }
        }
        if !revoked.is_empty() {
            self.due.extend(granted.iter().map(|grant| grant.token));
            for token in &revoked {
                self.held.remove(token);
            }
            return Some((Body::Revoke(revoked), Sent::Revoke));
        }
        if granted.is_empty() {
            return None;
        }
        for grant in &granted {
            let held = Held {
                grant: grant.clone(),
                acked: false,
            };
            self.held.insert(grant.token, held);
        }
        Some((Body::Grants(granted.clone()), Sent::Grants(granted)))
    }

    fn lacks(&self, grant: &Grant) -> bool {
        let held = self.held.get(&grant.token).map(|held| &held.grant);
        held != Some(grant) && self.refused.get(&grant.token) != Some(grant)
    }

    pub(super) fn acknowledged(&mut self, granted: &[Grant]) {
        for grant in granted {
            if let Some(held) = self.held.get_mut(&grant.token).filter(|held| held.grant == *grant) {
                held.acked = true;
            }
        }
    }

    pub(super) fn refuse(&mut self, granted: Vec<Grant>) {
        for grant in granted {
            if self.held.get(&grant.token).is_some_and(|held| held.grant == grant) {
                self.held.remove(&grant.token);
                self.refused.insert(grant.token, grant);
            }
        }
    }
}
