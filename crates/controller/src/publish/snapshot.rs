//! What is to be served, key by key, and since when. *Pure*: contents, revisions and a clock's value in, revisions out.

use std::collections::BTreeMap;

use coraza_proto::limits::LATEST_TIMESTAMP;
use coraza_ruleset::{CompiledRuleSet, Content, Digest, Revision, RuleSetKey, Timestamp};

use super::grants::Grants;

/// The keys that a RuleSet or an Engine names. A key that isn't here is to be removed from the caches.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    entries: BTreeMap<RuleSetKey, Entry>,
    /// The latest timestamp of any key that was forgotten: one that comes back must not begin before it, and one number for
    /// all of them doesn't grow with the keys that come and go.
    forgotten: Option<Timestamp>,
    /// Who may read them.
    pub(super) grants: Grants,
}

/// A key that is named.
#[derive(Debug, Default)]
pub(super) struct Entry {
    current: Option<Current>,
    /// Present: the key is named, but what it names doesn't compile, and what is current is its last good content.
    retained: Option<Retained>,
    floor: Floor,
}

/// The content of a key and its revision.
#[derive(Debug)]
struct Current {
    content: Content,
    revision: Revision,
    bytes: u64,
    origin: Origin,
}

/// Where a content came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This process compiled it: nothing that a cache offers is better.
    Compiled,
    /// A cache sent it back, and had it under this timestamp: one that is wanted more, or newer, may still turn up.
    Recalled(Timestamp),
}

#[derive(Debug)]
struct Retained {
    wanted: Option<Digest>,
}

/// The latest revision of a key that anybody outside this process may know: from a status, a cache's offer, or because it was sent.
#[derive(Debug, Default, Clone, Copy)]
struct Floor {
    timestamp: Option<Timestamp>,
    /// Absent if two contents claim that timestamp: then none of them may keep it.
    digest: Option<Digest>,
}

impl Floor {
    fn raise(&mut self, revision: Revision) {
        // A timestamp at the end of time would leave no later one: it is as if it had not been seen.
        if revision.timestamp > LATEST_TIMESTAMP {
            return;
        }
        if self.timestamp < Some(revision.timestamp) {
            self.timestamp = Some(revision.timestamp);
            self.digest = Some(revision.digest);
        } else if self.timestamp == Some(revision.timestamp) && self.digest != Some(revision.digest) {
            self.digest = None;
        }
    }

    /// The revision that a content has above this floor. `own` is the timestamp that this process gave it before, which is kept while
    /// it can be: only what somebody outside knows has to stay, or to be passed.
    fn settle(&self, digest: Digest, own: Option<Timestamp>, now: Timestamp) -> Revision {
        let timestamp = match self.timestamp {
            Some(floor) if self.digest == Some(digest) => floor,
            Some(floor) => own.filter(|own| *own > floor).unwrap_or_else(|| now.max(floor.next())),
            None => own.unwrap_or(now),
        };
        Revision { digest, timestamp }
    }
}

impl Snapshot {
    /// The key's content is this from now on. `outside` are revisions of the key that somebody else may know.
    ///
    /// Returns its revision, and whether that differs from before.
    pub(super) fn serve(
        &mut self,
        key: &RuleSetKey,
        (content, digest): (Content, Digest),
        outside: impl IntoIterator<Item = Revision>,
        now: Timestamp,
    ) -> (Revision, bool) {
        let now = self.after_forgotten(now);
        let entry = self.entries.entry(key.clone()).or_default();
        outside.into_iter().for_each(|revision| entry.floor.raise(revision));
        entry.retained = None;
        entry.compiled((content, digest), now)
    }

    /// The key is named, and has no content that compiles. Its last good content stays, if this process has it.
    ///
    /// Returns whether that is news.
    pub(super) fn retain(
        &mut self,
        key: &RuleSetKey,
        wanted: Option<Revision>,
        outside: impl IntoIterator<Item = Revision>,
        now: Timestamp,
    ) -> bool {
        let entry = self.entries.entry(key.clone()).or_default();
        outside
            .into_iter()
            .chain(wanted)
            .for_each(|revision| entry.floor.raise(revision));
        let wanted = wanted.map(|wanted| wanted.digest);
        let news = entry.retained.as_ref().is_none_or(|retained| retained.wanted != wanted);
        entry.retained = Some(Retained { wanted });
        let moved = !entry.awaits_recall() && entry.settle(now);
        news || moved
    }

    /// Nothing names the key any more. Returns whether anything did.
    pub(super) fn forget(&mut self, key: &RuleSetKey) -> bool {
        let Some(entry) = self.entries.remove(key) else {
            return false;
        };
        let current = entry.current.map(|current| current.revision.timestamp);
        self.forgotten = self.forgotten.max(entry.floor.timestamp).max(current);
        true
    }

    /// A cache has this revision. Returns whether the key's own revision changed for it. What came from a cache doesn't move before it
    /// is certain that no better content can be had: see [`Snapshot::settle`].
    pub(super) fn offered(&mut self, key: &RuleSetKey, revision: Revision, now: Timestamp) -> bool {
        self.entries.get_mut(key).is_some_and(|entry| {
            entry.floor.raise(revision);
            !entry.awaits_recall() && entry.settle(now)
        })
    }

    /// A cache sent the content of a retained key back. It is not sent to others before [`Snapshot::settle`]. Returns whether it was of
    /// use.
    pub(super) fn restore(&mut self, ruleset: CompiledRuleSet) -> bool {
        let CompiledRuleSet { key, revision, content } = ruleset;
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.awaits_recall()) else {
            return false;
        };
        entry.floor.raise(revision);
        let bytes = u64::try_from(content.size()).unwrap_or(u64::MAX);
        let origin = Origin::Recalled(revision.timestamp);
        entry.current = Some(Current {
            content,
            revision,
            bytes,
            origin,
        });
        true
    }

    /// The key's content is the best that can be had: it becomes later than all that is known of it. Returns whether its revision
    /// changed for that.
    pub(super) fn settle(&mut self, key: &RuleSetKey, now: Timestamp) -> bool {
        self.entries.get_mut(key).is_some_and(|entry| entry.settle(now))
    }

    /// This revision is being sent to a cache: from now on somebody outside knows it.
    pub(super) fn published(&mut self, key: &RuleSetKey, revision: Revision) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.floor.raise(revision);
        }
    }

    pub(super) fn get(&self, key: &RuleSetKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &RuleSetKey> {
        self.entries.keys()
    }

    fn after_forgotten(&self, now: Timestamp) -> Timestamp {
        self.forgotten.map_or(now, |forgotten| now.max(forgotten.next()))
    }
}

impl Entry {
    /// The revision that is to be served, if there is one.
    pub(super) fn revision(&self) -> Option<Revision> {
        self.current.as_ref().map(|current| current.revision)
    }

    /// The revision that may be sent: none while a later one is known whose content may yet come back.
    pub(super) fn due(&self) -> Option<Revision> {
        let settled = |revision: &Revision| self.floor.timestamp.is_none_or(|floor| floor <= revision.timestamp);
        self.revision()
            .filter(|revision| !self.awaits_recall() || settled(revision))
    }

    /// The revision as which a cache had the content, if that is where it came from.
    pub(super) fn recalled(&self) -> Option<Revision> {
        self.current.as_ref().and_then(|current| match current.origin {
            Origin::Recalled(timestamp) => Some(Revision {
                timestamp,
                ..current.revision
            }),
            Origin::Compiled => None,
        })
    }

    /// The size of the content in bytes of payload; 0 without one.
    pub(super) fn bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.bytes)
    }

    /// What to send. Cheap: texts and files are shared.
    pub(super) fn ruleset(&self, key: &RuleSetKey) -> Option<CompiledRuleSet> {
        self.current.as_ref().map(|current| CompiledRuleSet {
            key: key.clone(),
            revision: current.revision,
            content: current.content.clone(),
        })
    }

    /// Whether the key's last good content may have to come from a cache: this process compiled none.
    pub(super) fn awaits_recall(&self) -> bool {
        let compiled = |current: &Current| current.origin == Origin::Compiled;
        self.retained.is_some() && !self.current.as_ref().is_some_and(compiled)
    }

    /// Whether a last good content is known to have existed: there is something to wait for.
    pub(super) fn may_be_recalled(&self) -> bool {
        self.awaits_recall() && self.floor.timestamp.is_some()
    }

    /// The content that is to be had back, if a status names one.
    pub(super) fn wanted(&self) -> Option<Digest> {
        self.retained.as_ref().and_then(|retained| retained.wanted)
    }

    fn compiled(&mut self, (content, digest): (Content, Digest), now: Timestamp) -> (Revision, bool) {
        let before = self.revision();
        let own = before
            .filter(|before| before.digest == digest)
            .map(|before| before.timestamp);
        let revision = self.floor.settle(digest, own, now);
        let bytes = u64::try_from(content.size()).unwrap_or(u64::MAX);
        let origin = Origin::Compiled;
        self.current = Some(Current {
            content,
            revision,
            bytes,
            origin,
        });
        (revision, before != Some(revision))
    }

    fn settle(&mut self, now: Timestamp) -> bool {
        let Some(current) = &mut self.current else {
            return false;
        };
        let Revision { digest, timestamp } = current.revision;
        let before = std::mem::replace(&mut current.revision, self.floor.settle(digest, Some(timestamp), now));
        before != current.revision
    }
}
