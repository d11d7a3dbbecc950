//! The part of the exchange that is about who may read, and who does. *Pure*.

use std::collections::BTreeSet;

use coraza_ruleset::{EngineKey, Grant, TokenDigest};

use super::super::pollers::Poller;
use super::{Exchange, Now, SessionId, Violation};

impl Exchange {
    pub(in crate::publish) fn grant(&mut self, grant: Grant, now: Now) {
        self.expire_grants(now);
        for token in self.snapshot.grants.grant(grant, now.wall) {
            self.touch_grant(token);
        }
    }

    pub(in crate::publish) fn revoke(&mut self, token: &TokenDigest, now: Now) {
        let withdrawn = self.snapshot.grants.revoke(token, now.wall);
        // A cache may hold it from before this process started.
        self.touch_grant(*token);
        for Grant { token, engine, .. } in withdrawn {
            self.touch_grant(token);
            if !self.snapshot.grants.has(&engine) {
                self.pollers.forget(&engine);
            }
        }
    }

    pub(in crate::publish) fn open_grants(&mut self, now: Now) {
        if self.snapshot.grants.is_open() {
            return;
        }
        self.snapshot.grants.open();
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.adopt_grants(id, now));
        self.sessions
            .values_mut()
            .for_each(|session| session.grants.touch_all());
    }

    /// Whether every cache that is subscribed lets the bearers of this token in, and there is one.
    pub(in crate::publish) fn is_granted(&self, token: &TokenDigest) -> bool {
        let Some(grant) = self.snapshot.grants.get(token) else {
            return false;
        };
        !self.sessions.is_empty() && self.sessions.values().all(|session| session.grants.has(grant))
    }

    /// Grants what a subscriber holds and should.
    pub(super) fn adopt_grants(&mut self, id: SessionId, now: Now) {
        let Some(session) = self.sessions.get(&id) else { return };
        for token in self.snapshot.grants.adopt(session.grants.iter(), now.wall) {
            self.touch_grant(token);
        }
    }

    pub(super) fn expire_grants(&mut self, now: Now) {
        self.sessions
            .values_mut()
            .for_each(|session| session.grants.expire(now.wall));
    }

    fn touch_grant(&mut self, token: TokenDigest) {
        self.sessions
            .values_mut()
            .for_each(|session| session.grants.touch(token));
    }

    pub(in crate::publish) fn reported(
        &mut self,
        id: SessionId,
        report: Vec<coraza_proto::Poller>,
        now: Now,
    ) -> Result<(), Violation> {
        self.session(id)?;
        self.pollers.heard(report, now.monotonic);
        Ok(())
    }

    pub(in crate::publish) fn pollers(&self, engine: &EngineKey) -> Vec<Poller> {
        self.pollers.of(engine)
    }

    pub(in crate::publish) fn all_pollers(&self) -> usize {
        self.pollers.len()
    }

    pub(in crate::publish) fn grants(&self) -> usize {
        self.snapshot.grants.len()
    }

    pub(in crate::publish) fn take_changed_pollers(&mut self) -> BTreeSet<EngineKey> {
        self.pollers.take_changed()
    }
}
