//! The snapshot and its subscribers together: who may subscribe, what each is due, which of them is asked for a last good content.
//! *Pure*: no sockets, no tasks, and the clock's values come in.

mod grants;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coraza_proto::{Hello, Welcome};
use coraza_ruleset::{CompiledRuleSet, Content, Digest, Revision, RuleSetKey, Timestamp};

use super::delivery::{CacheState, Counters, Delivery, Nack};
use super::pollers::Pollers;
use super::session::{Session, Step, UnknownNonce};
use super::snapshot::{Entry, Snapshot};

/// How many caches may be subscribed: more than any cluster runs, and a bound on what their holdings cost.
pub(super) const MAX_SESSIONS: usize = 256;

/// A subscription, for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionId(u64);

/// Both clocks, read once per event: what is published is ordered by the first, waits are measured by the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Instant,
}

/// Why a cache can't subscribe, or no longer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unavailable {
    /// Another controller holds the Lease.
    #[error("not the leader")]
    NotLeader,
    /// This process is about to end.
    #[error("shutting down")]
    Draining,
    /// There are too many subscriptions.
    #[error("{MAX_SESSIONS} caches are subscribed, and that is the most")]
    Full,
    /// The same cache process subscribed again.
    #[error("replaced by a newer subscription of the same process")]
    Replaced,
}

/// A message of a cache that ends its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// The subscription is gone already.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It answered what was never said.
    #[error(transparent)]
    Nonce(#[from] UnknownNonce),
}

/// Everything that publishing knows.
#[derive(Debug)]
pub(super) struct Exchange {
    snapshot: Snapshot,
    sessions: BTreeMap<SessionId, Session>,
    last_session: u64,
    /// Which cache was asked for which content, one at a time per key.
    recalls: BTreeMap<RuleSetKey, Recall>,
    /// What a cache was asked for in vain: asking again would be in vain again.
    failed_recalls: BTreeSet<(SessionId, RuleSetKey, Digest)>,
    epoch: Option<u64>,
    open: bool,
    draining: bool,
    ever_connected: bool,
    lease_duration: Duration,
    counters: Counters,
    /// Keys whose revision or delivery changed since [`Exchange::take_changed`].
    changed: BTreeSet<RuleSetKey>,
    pollers: Pollers,
}

#[derive(Debug, Clone, Copy)]
struct Recall {
    from: SessionId,
    digest: Digest,
}

impl Exchange {
    pub(super) fn new(lease_duration: Duration) -> Self {
        Self {
            snapshot: Snapshot::default(),
            sessions: BTreeMap::new(),
            last_session: 0,
            recalls: BTreeMap::new(),
            failed_recalls: BTreeSet::new(),
            epoch: None,
            open: false,
            draining: false,
            ever_connected: false,
            lease_duration,
            counters: Counters::default(),
            changed: BTreeSet::new(),
            pollers: Pollers::default(),
        }
    }

    // What the controller says.

    pub(super) fn serve(
        &mut self,
        key: &RuleSetKey,
        content: (Content, Digest),
        known: Option<Revision>,
        now: Now,
    ) -> Revision {
        let outside = outside(&self.sessions, key).chain(known);
        let (revision, changed) = self.snapshot.serve(key, content, outside, now.wall);
        self.recalls.remove(key);
        if changed {
            self.touch(key);
        }
        revision
    }

    pub(super) fn retain(&mut self, key: &RuleSetKey, wanted: Option<Revision>, now: Now) {
        let outside = outside(&self.sessions, key);
        if self.snapshot.retain(key, wanted, outside, now.wall) {
            self.touch(key);
        }
        self.seek(key, now);
    }

    pub(super) fn forget(&mut self, key: &RuleSetKey) {
        self.recalls.remove(key);
        if self.snapshot.forget(key) {
            self.touch(key);
        } else {
            // Nothing was served, but a cache may hold the key from before this process started.
            self.sessions.values_mut().for_each(|session| session.touch(key));
        }
    }

    pub(super) fn open(&mut self) {
        self.open = true;
    }

    pub(super) fn lead(&mut self, epoch: Option<u64>) {
        if self.epoch != epoch {
            self.end_all();
            self.epoch = epoch;
        }
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.end_all();
    }

    // What caches say.

    /// Whether a cache may subscribe; asked once before its Hello is awaited, too.
    pub(super) fn available(&self) -> Result<(), Unavailable> {
        if self.draining {
            Err(Unavailable::Draining)
        } else if self.epoch.is_none() {
            Err(Unavailable::NotLeader)
        } else if self.sessions.len() >= MAX_SESSIONS {
            Err(Unavailable::Full)
        } else {
            Ok(())
        }
    }

    pub(super) fn subscribe(&mut self, hello: Hello, now: Now) -> Result<SessionId, Unavailable> {
        let replaced = |session: &Session| session.hello().process_id == hello.process_id;
        let replaced: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, old)| replaced(old))
            .map(|(id, _)| *id)
            .collect();
        replaced.into_iter().for_each(|id| self.unsubscribe(id, now));
        self.available()?;
        for (key, revision) in &hello.holdings {
            if self.snapshot.offered(key, *revision, now.wall) {
                touch(&mut self.sessions, &mut self.changed, key);
            }
        }
        let offered: Vec<_> = hello.holdings.keys().cloned().collect();
        self.last_session += 1;
        let id = SessionId(self.last_session);
        self.sessions.insert(id, Session::new(hello, &self.snapshot));
        self.expire_grants(now);
        self.adopt_grants(id, now);
        self.ever_connected = true;
        self.changed.extend(self.snapshot.keys().cloned());
        offered.iter().for_each(|key| self.seek(key, now));
        Ok(id)
    }

    pub(super) fn unsubscribe(&mut self, id: SessionId, now: Now) {
        if self.sessions.remove(&id).is_none() {
            return;
        }
        self.failed_recalls.retain(|(session, ..)| *session != id);
        let asked = |recall: &Recall| recall.from == id;
        let unanswered: Vec<_> = self
            .recalls
            .iter()
            .filter(|(_, asked_of)| asked(asked_of))
            .map(|(key, _)| key.clone())
            .collect();
        for key in unanswered {
            self.recalls.remove(&key);
            self.seek(&key, now);
        }
        self.changed.extend(self.snapshot.keys().cloned());
    }

    pub(super) fn acknowledged(&mut self, id: SessionId, nonce: u64) -> Result<(), Violation> {
        let session = self.session(id)?;
        session.acknowledged(nonce)?;
        let mut news = session.take_news();
        self.changed.append(&mut news);
        Ok(())
    }

    pub(super) fn refused(&mut self, id: SessionId, nonce: u64, detail: String, now: Now) -> Result<(), Violation> {
        let session = self.session(id)?;
        let recall = session.refused_message(nonce, detail)?;
        let mut news = session.take_news();
        self.changed.append(&mut news);
        self.counters.nacks += 1;
        if let Some(key) = recall {
            self.recall_failed(id, &key, now);
        }
        Ok(())
    }

    /// A cache sent a content back, checked against its digest by whoever decoded it.
    pub(super) fn recalled(
        &mut self,
        id: SessionId,
        key: &RuleSetKey,
        ruleset: Option<CompiledRuleSet>,
        now: Now,
    ) -> Result<(), Violation> {
        self.session(id)?;
        let Some(asked) = self.recalls.get(key).copied().filter(|asked| asked.from == id) else {
            return Ok(());
        };
        match ruleset.filter(|ruleset| ruleset.key == *key && ruleset.revision.digest == asked.digest) {
            None => self.recall_failed(id, key, now),
            Some(ruleset) => {
                self.recalls.remove(key);
                if self.snapshot.restore(ruleset) {
                    self.counters.recalls += 1;
                    self.touch(key);
                }
                self.seek(key, now);
            }
        }
        Ok(())
    }

    /// A cache can't send what it was asked for: another one is asked.
    pub(super) fn recall_failed(&mut self, id: SessionId, key: &RuleSetKey, now: Now) {
        if let Some(asked) = self.recalls.get(key).copied().filter(|asked| asked.from == id) {
            self.recalls.remove(key);
            self.failed_recalls.insert((id, key.clone(), asked.digest));
            self.seek(key, now);
        }
    }

    /// What a subscription's stream is to do now.
    pub(super) fn next(&mut self, id: SessionId, now: Now) -> Result<Step, Unavailable> {
        let (epoch, lease_duration) = (self.epoch.unwrap_or_default(), self.lease_duration);
        let ended = self.ended();
        let session = self.sessions.get_mut(&id).ok_or(ended)?;
        if !self.open {
            return Ok(Step::Wait(None));
        }
        let was_complete = session.is_complete();
        let step = session.next(&mut self.snapshot, Welcome { epoch, lease_duration }, now.monotonic);
        if session.is_complete() && !was_complete && !session.awaited().is_empty() {
            self.counters.incomplete_snapshots += 1;
        }
        let mut oversized = session.take_news();
        self.counters.oversized += u64::try_from(oversized.len()).unwrap_or(u64::MAX);
        self.changed.append(&mut oversized);
        Ok(step)
    }

    // What others ask.

    pub(super) fn delivery(&self, key: &RuleSetKey) -> Option<Delivery> {
        let entry = self.snapshot.get(key)?;
        let revision = entry.revision()?;
        let acked = self
            .sessions
            .values()
            .filter(|session| session.held().get(key) == Some(&revision))
            .count();
        let nacked = self.sessions.values().filter_map(|session| {
            let refusal = session
                .refused()
                .get(key)
                .filter(|refusal| refusal.revision == revision)?;
            Some(Nack {
                replica: session.hello().replica.clone(),
                detail: refusal.detail.clone(),
            })
        });
        Some(Delivery {
            revision,
            bytes: entry.bytes(),
            connected: self.sessions.len(),
            acked,
            nacked: nacked.collect(),
            ever_connected: self.ever_connected,
        })
    }

    pub(super) fn caches(&self) -> Vec<CacheState> {
        self.sessions.values().map(CacheState::of).collect()
    }

    /// How many of the subscribers serve each plugin.
    pub(super) fn plugins(&self) -> BTreeMap<Digest, usize> {
        let mut plugins = BTreeMap::new();
        for digest in self
            .sessions
            .values()
            .filter_map(|session| session.hello().plugin_digest)
        {
            *plugins.entry(Digest::new(digest)).or_default() += 1;
        }
        plugins
    }

    /// A cache's replica name, and the keys whose last good content it still lacks.
    pub(super) fn lacking(&self, id: SessionId) -> Option<(String, Vec<RuleSetKey>)> {
        let session = self.sessions.get(&id)?;
        Some((
            session.hello().replica.clone(),
            session.awaited().iter().cloned().collect(),
        ))
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn connected(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<RuleSetKey> {
        std::mem::take(&mut self.changed)
    }

    fn session(&mut self, id: SessionId) -> Result<&mut Session, Unavailable> {
        let ended = self.ended();
        self.sessions.get_mut(&id).ok_or(ended)
    }

    /// Why a subscription that is gone is gone.
    fn ended(&self) -> Unavailable {
        self.available().err().unwrap_or(Unavailable::Replaced)
    }

    fn end_all(&mut self) {
        self.sessions.clear();
        self.recalls.clear();
        self.failed_recalls.clear();
        self.changed.extend(self.snapshot.keys().cloned());
    }

    fn touch(&mut self, key: &RuleSetKey) {
        touch(&mut self.sessions, &mut self.changed, key);
    }

    /// Sees to it that a retained key has the best content that can be had: the wanted one from whoever has it, else the newest that
    /// anybody has. Asks a cache for it; if there is nothing better to ask for, what there is becomes the one to serve.
    fn seek(&mut self, key: &RuleSetKey, now: Now) {
        let awaits = self.snapshot.get(key).is_some_and(Entry::awaits_recall);
        if !awaits || self.recalls.contains_key(key) {
            return;
        }
        if let Some((from, digest)) = self.better_offer(key) {
            if let Some(session) = self.sessions.get_mut(&from) {
                session.recall(key.clone(), digest);
                self.recalls.insert(key.clone(), Recall { from, digest });
            }
        } else if self.snapshot.settle(key, now.wall) {
            self.touch(key);
        }
    }

    /// Which cache has a better content of a retained key than the one that is there.
    fn better_offer(&self, key: &RuleSetKey) -> Option<(SessionId, Digest)> {
        let entry = self.snapshot.get(key)?;
        let rank = |revision: Revision| (Some(revision.digest) == entry.wanted(), revision.timestamp);
        let offers = self
            .sessions
            .iter()
            .filter_map(|(id, session)| Some((*id, *session.held().get(key)?)));
        let untried = offers.filter(|(id, offer)| !self.failed_recalls.contains(&(*id, key.clone(), offer.digest)));
        let (from, best) = untried.max_by_key(|(_, offer)| rank(*offer))?;
        let better = |current: Revision| current.digest != best.digest && rank(current) < rank(best);
        entry.recalled().is_none_or(better).then_some((from, best.digest))
    }
}

/// The revisions of a key that the subscribers have, or are about to have.
fn outside(sessions: &BTreeMap<SessionId, Session>, key: &RuleSetKey) -> impl Iterator<Item = Revision> {
    sessions.values().flat_map(move |session| session.revisions(key))
}

fn touch(sessions: &mut BTreeMap<SessionId, Session>, changed: &mut BTreeSet<RuleSetKey>, key: &RuleSetKey) {
    sessions.values_mut().for_each(|session| session.touch(key));
    changed.insert(key.clone());
}

#[cfg(test)]
mod tests;
