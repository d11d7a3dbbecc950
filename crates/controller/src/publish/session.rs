//! One subscriber, from its Hello on: what it holds, what was sent, what is due. *Pure*: messages and a clock's value in, messages out.
//!
//! Sending is pulled: [`Session::next`] decides when the stream can take a message, from what is current *then*. So a slow cache
//! skips revisions, and its memory here is keys, never contents.

mod grants;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use coraza_proto::{Body, Hello, Response, Welcome};
use coraza_ruleset::{Digest, Grant, Revision, RuleSetKey};

use super::snapshot::Snapshot;
use grants::HeldGrants;

/// How much a cache may have to acknowledge before more is sent, in bytes of payload: enough to keep a link busy while it answers
/// (five Core Rule Sets), little enough that what it has in flight is never long out of date. The last message may pass it.
const WINDOW_BYTES: u64 = 4 << 20;
/// The same in messages, for those that have no payload.
const WINDOW_MESSAGES: usize = 64;
/// How long a new cache waits for the last good content of keys that it lacks before it is told that its snapshot is complete.
pub(super) const RECALL_WAIT: Duration = Duration::from_secs(15);

/// A subscriber.
#[derive(Debug)]
pub(super) struct Session {
    hello: Hello,
    held: BTreeMap<RuleSetKey, Revision>,
    refused: BTreeMap<RuleSetKey, Refusal>,
    pub(super) grants: HeldGrants,
    phase: Phase,
    due: Due,
    in_flight: BTreeMap<u64, Sent>,
    in_flight_bytes: u64,
    last_nonce: u64,
    /// Keys whose delivery to this cache changed since [`Session::take_news`].
    news: BTreeSet<RuleSetKey>,
}

/// A revision that this cache doesn't serve, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) revision: Revision,
    pub(super) detail: String,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Welcome is due.
    Greeting,
    /// What differed at Hello is being sent.
    Snapshot { since: Instant },
    /// SnapshotComplete was sent: changes follow.
    Complete,
}

/// What has to be looked at, by key: what is sent for it is decided when it is sent.
#[derive(Debug, Default)]
struct Due {
    /// Contents to ask for.
    recalls: VecDeque<(RuleSetKey, Digest)>,
    /// Before SnapshotComplete: each key that the cache held, or the snapshot named, at Hello.
    initial: BTreeSet<RuleSetKey>,
    /// Before SnapshotComplete, but only for so long: the cache lacks them, and their content is yet to be recalled.
    awaited: BTreeSet<RuleSetKey>,
    /// After.
    changed: BTreeSet<RuleSetKey>,
}

/// A message that isn't acknowledged yet.
#[derive(Debug)]
enum Sent {
    Greeting,
    Upsert {
        key: RuleSetKey,
        revision: Revision,
        bytes: u64,
    },
    Remove {
        key: RuleSetKey,
    },
    Recall {
        key: RuleSetKey,
    },
    Grants(Vec<Grant>),
    Revoke,
    SnapshotComplete,
}

impl Sent {
    /// The key whose next message has to wait for this one's answer.
    fn blocks(&self) -> Option<&RuleSetKey> {
        match self {
            Self::Upsert { key, .. } | Self::Remove { key } => Some(key),
            Self::Greeting | Self::Recall { .. } | Self::Grants(_) | Self::Revoke | Self::SnapshotComplete => None,
        }
    }
}

/// What the stream is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this.
    Send(Response),
    /// Nothing to send before something changes, or before this time.
    Wait(Option<Instant>),
}

/// A nonce that was never sent: the peer doesn't speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nonce {nonce} was never sent; the last one is {last}")]
pub(super) struct UnknownNonce {
    nonce: u64,
    last: u64,
}

impl Session {
    pub(super) fn new(mut hello: Hello, snapshot: &Snapshot) -> Self {
        let held = std::mem::take(&mut hello.holdings);
        let grants = HeldGrants::new(std::mem::take(&mut hello.grants), &snapshot.grants);
        let initial = held.keys().chain(snapshot.keys()).cloned().collect();
        Self {
            hello,
            held,
            refused: BTreeMap::new(),
            grants,
            phase: Phase::Greeting,
            due: Due {
                initial,
                ..Due::default()
            },
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            last_nonce: 0,
            news: BTreeSet::new(),
        }
    }

    /// Who subscribed, without what it holds.
    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What the cache serves, as far as it said.
    pub(super) fn held(&self) -> &BTreeMap<RuleSetKey, Revision> {
        &self.held
    }

    /// What the cache doesn't serve, and why.
    pub(super) fn refused(&self) -> &BTreeMap<RuleSetKey, Refusal> {
        &self.refused
    }

    pub(super) fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The revisions of a key that this cache has, or is about to have.
    pub(super) fn revisions(&self, key: &RuleSetKey) -> impl Iterator<Item = Revision> {
        let sent = self.in_flight.values().filter_map(move |sent| match sent {
            Sent::Upsert {
                key: sent, revision, ..
            } if sent == key => Some(*revision),
            _ => None,
        });
        self.held.get(key).copied().into_iter().chain(sent)
    }

    /// The keys whose delivery changed since this was called last.
    pub(super) fn take_news(&mut self) -> BTreeSet<RuleSetKey> {
        std::mem::take(&mut self.news)
    }

    /// The key's entry in the snapshot changed.
    pub(super) fn touch(&mut self, key: &RuleSetKey) {
        // What is named before the snapshot begins is part of it: a cache must not be complete without it.
        if self.due.awaited.remove(key) || self.phase == Phase::Greeting {
            self.due.initial.insert(key.clone());
        } else if !self.due.initial.contains(key) {
            self.due.changed.insert(key.clone());
        }
    }

    /// Ask this cache for a content.
    pub(super) fn recall(&mut self, key: RuleSetKey, digest: Digest) {
        self.due.recalls.push_back((key, digest));
    }

    /// The keys that the cache lacks while it waits for SnapshotComplete.
    pub(super) fn awaited(&self) -> &BTreeSet<RuleSetKey> {
        &self.due.awaited
    }

    /// What to do now.
    pub(super) fn next(&mut self, snapshot: &mut Snapshot, welcome: Welcome, now: Instant) -> Step {
        if self.phase == Phase::Greeting {
            self.phase = Phase::Snapshot { since: now };
            return self.send(Body::Welcome(welcome), Sent::Greeting);
        }
        if self.in_flight.len() >= WINDOW_MESSAGES {
            return Step::Wait(None);
        }
        // Small, and data planes wait for them: they don't queue behind RuleSets.
        if let Some((body, sent)) = self.grants.next(&snapshot.grants) {
            return self.send(body, sent);
        }
        if self.in_flight_bytes >= WINDOW_BYTES {
            return Step::Wait(None);
        }
        if let Some((key, digest)) = self.due.recalls.pop_front() {
            return self.send(
                Body::Recall {
                    key: key.clone(),
                    digest,
                },
                Sent::Recall { key },
            );
        }
        while let Some(key) = self.due.initial.pop_first() {
            if let Some((body, sent)) = self.difference(key, snapshot) {
                return self.send(body, sent);
            }
        }
        if let Phase::Snapshot { since } = self.phase {
            let until = since + RECALL_WAIT;
            // A cache that is complete lets no plugin in whose token isn't granted: all grants must be known by then.
            let known = snapshot.grants.is_open();
            if known && (self.due.awaited.is_empty() || now >= until) {
                self.phase = Phase::Complete;
                return self.send(Body::SnapshotComplete, Sent::SnapshotComplete);
            }
        }
        while let Some(key) = self.due.changed.pop_first() {
            if let Some((body, sent)) = self.difference(key, snapshot) {
                return self.send(body, sent);
            }
        }
        Step::Wait(match self.phase {
            Phase::Snapshot { since } if snapshot.grants.is_open() => Some(since + RECALL_WAIT),
            Phase::Snapshot { .. } | Phase::Greeting | Phase::Complete => None,
        })
    }

    fn send(&mut self, body: Body, sent: Sent) -> Step {
        self.last_nonce += 1;
        if let Sent::Upsert { bytes, .. } = &sent {
            self.in_flight_bytes = self.in_flight_bytes.saturating_add(*bytes);
        }
        self.in_flight.insert(self.last_nonce, sent);
        Step::Send(Response {
            nonce: self.last_nonce,
            body,
        })
    }

    /// The message that brings the cache from what it holds of a key to what the snapshot says.
    fn difference(&mut self, key: RuleSetKey, snapshot: &mut Snapshot) -> Option<(Body, Sent)> {
        if self.in_flight.values().any(|sent| sent.blocks() == Some(&key)) {
            // The answer makes the key due again.
            return None;
        }
        let held = self.held.get(&key);
        let Some(entry) = snapshot.get(&key) else {
            self.refused.remove(&key);
            return held
                .is_some()
                .then(|| (Body::Remove(key.clone()), Sent::Remove { key }));
        };
        let Some(revision) = entry.due() else {
            if held.is_none() && entry.may_be_recalled() && self.phase != Phase::Complete {
                self.due.awaited.insert(key);
            }
            return None;
        };
        let refused = self
            .refused
            .get(&key)
            .is_some_and(|refusal| refusal.revision == revision);
        if held == Some(&revision) || refused {
            return None;
        }
        let (bytes, limit) = (entry.bytes(), self.hello.max_ruleset_bytes);
        if bytes > limit {
            let detail = format!("ruleset has {bytes} bytes, and this cache takes {limit} (--max-ruleset-bytes)");
            self.refuse(key, revision, detail);
            return None;
        }
        let ruleset = entry.ruleset(&key)?;
        snapshot.published(&key, revision);
        Some((Body::Upsert(ruleset), Sent::Upsert { key, revision, bytes }))
    }

    /// The cache applied everything up to and including `nonce`.
    pub(super) fn acknowledged(&mut self, nonce: u64) -> Result<(), UnknownNonce> {
        self.known(nonce)?;
        let later = self.in_flight.split_off(&nonce.saturating_add(1));
        for sent in std::mem::replace(&mut self.in_flight, later).into_values() {
            self.answered(&sent);
            match sent {
                Sent::Upsert { key, revision, .. } => {
                    self.refused.remove(&key);
                    self.held.insert(key.clone(), revision);
                    self.news.insert(key);
                }
                Sent::Remove { key } => {
                    self.held.remove(&key);
                }
                Sent::Grants(granted) => self.grants.acknowledged(&granted),
                Sent::Greeting | Sent::Recall { .. } | Sent::Revoke | Sent::SnapshotComplete => {}
            }
        }
        Ok(())
    }

    /// The cache refused one message. Returns the key whose recall it refused by that.
    pub(super) fn refused_message(&mut self, nonce: u64, detail: String) -> Result<Option<RuleSetKey>, UnknownNonce> {
        self.known(nonce)?;
        let Some(sent) = self.in_flight.remove(&nonce) else {
            return Ok(None);
        };
        self.answered(&sent);
        match sent {
            Sent::Upsert { key, revision, .. } => self.refuse(key, revision, detail),
            Sent::Recall { key } => return Ok(Some(key)),
            // Nothing follows from the refusal of a Remove but that asking again would loop.
            Sent::Remove { key } => {
                self.held.remove(&key);
            }
            Sent::Grants(granted) => self.grants.refuse(granted),
            Sent::Greeting | Sent::Revoke | Sent::SnapshotComplete => {}
        }
        Ok(None)
    }

    fn known(&self, nonce: u64) -> Result<(), UnknownNonce> {
        let last = self.last_nonce;
        if nonce > last {
            Err(UnknownNonce { nonce, last })
        } else {
            Ok(())
        }
    }

    /// Gives the window back, and lets the key's next message go.
    fn answered(&mut self, sent: &Sent) {
        if let Sent::Upsert { bytes, .. } = sent {
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(*bytes);
        }
        if let Some(key) = sent.blocks() {
            self.touch(key);
        }
    }

    fn refuse(&mut self, key: RuleSetKey, revision: Revision, detail: String) {
        self.news.insert(key.clone());
        self.refused.insert(key, Refusal { revision, detail });
    }
}
