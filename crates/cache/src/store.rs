//! What the cache holds: the latest revision of each RuleSet, with answers made ready before anybody asks. Pure: no IO, no
//! clock, no runtime.
//!
//! Readers take a snapshot through an [`ArcSwap`] and never wait; the one writer replaces the snapshot. Encoding happens when
//! a revision arrives, compression after that on another thread ([`Compressor`]), nothing at all when a request does.

mod compress;
mod entry;
mod json;
mod payload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};

use arc_swap::ArcSwap;
use coraza_ruleset::{CompiledRuleSet, Content, Digest, Revision, RuleSetKey};

pub use compress::Compressor;
pub use entry::{Entry, Pieces};
use payload::Payload;

/// Every RuleSet that the cache serves, as of one moment.
pub type Snapshot = HashMap<RuleSetKey, Arc<Entry>>;

/// The latest revision of each RuleSet. A clone is another handle on the same store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// Held by whoever changes the snapshot, never by a reader. A standard mutex is right: nothing awaits under it.
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// What is served now, by content: RuleSets of equal content share one encoding.
    payloads: HashMap<Digest, Weak<Payload>>,
    /// To the [`Compressor`].
    uncompressed: mpsc::Sender<Weak<Payload>>,
}

/// What the publisher can tell a store.
#[derive(Debug, Clone)]
pub enum StoreUpdate {
    /// Serve this revision from now on.
    Upsert(CompiledRuleSet),
    /// Forget the RuleSet.
    Remove(RuleSetKey),
}

/// What came of a [`StoreUpdate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The revision is served now.
    Served,
    /// It was served already.
    Unchanged,
    /// A later revision is served and stays.
    Stale {
        /// The later one.
        held: Revision,
    },
    /// The RuleSet is gone.
    Removed,
    /// It wasn't there.
    Absent,
}

/// The store's size, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// RuleSets.
    pub rulesets: usize,
    /// Bytes of rules and data files, counted once per RuleSet, as the Go operator counts them.
    pub content: usize,
    /// Bytes of ready-made bodies, identity and gzip, counted once per content: what they take in memory.
    pub bodies: usize,
}

impl Store {
    /// An empty store, and the compressor whose [`run`](Compressor::run) must be given a thread of its own if answers are to be
    /// compressed.
    #[must_use]
    pub fn new() -> (Self, Compressor) {
        let (uncompressed, queue) = mpsc::channel();
        let writer = Mutex::new(Writer {
            payloads: HashMap::new(),
            uncompressed,
        });
        let shared = Shared {
            snapshot: ArcSwap::default(),
            writer,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            Compressor::new(queue),
        )
    }

    /// Takes an update over. When this returns [`Applied::Served`], every later request is answered with the new revision.
    ///
    /// Encodes the content, which takes milliseconds for a Core Rule Set: async callers should not call it on a thread that
    /// serves requests.
    pub fn apply(&self, update: StoreUpdate) -> Applied {
        match update {
            StoreUpdate::Upsert(ruleset) => self.upsert(ruleset),
            StoreUpdate::Remove(key) => self.remove(&key),
        }
    }

    fn upsert(&self, ruleset: CompiledRuleSet) -> Applied {
        let CompiledRuleSet { key, revision, content } = ruleset;
        let mut writer = self.lock();
        let snapshot = self.shared.snapshot.load();
        let held = snapshot.get(&key);
        match held.map(|entry| *entry.revision()) {
            Some(held) if held == revision => return Applied::Unchanged,
            Some(held) if held.timestamp > revision.timestamp => return Applied::Stale { held },
            _ => {}
        }
        let payload = writer.payload(revision.digest, &content);
        let mut next = Snapshot::clone(&snapshot);
        next.insert(
            key.clone(),
            Arc::new(Entry::new(key, revision, &content.rules, payload)),
        );
        self.publish(next, held);
        Applied::Served
    }

    fn remove(&self, key: &RuleSetKey) -> Applied {
        let _writer = self.lock();
        let snapshot = self.shared.snapshot.load();
        let Some(held) = snapshot.get(key) else {
            return Applied::Absent;
        };
        let mut next = Snapshot::clone(&snapshot);
        next.remove(key);
        self.publish(next, Some(held));
        Applied::Removed
    }

    /// The new state first, then the news of it: who wakes must find what he was woken for.
    fn publish(&self, next: Snapshot, superseded: Option<&Arc<Entry>>) {
        self.shared.snapshot.store(Arc::new(next));
        if let Some(entry) = superseded {
            entry.supersede();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writer> {
        // What a panicking writer leaves behind is whole: each step replaces one value by another.
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a RuleSet. Takes no lock.
    #[must_use]
    pub fn get(&self, key: &RuleSetKey) -> Option<Arc<Entry>> {
        self.shared.snapshot.load().get(key).cloned()
    }

    /// What is held, in the order of the keys.
    #[must_use]
    pub fn holdings(&self) -> Vec<(RuleSetKey, Revision)> {
        let snapshot = self.shared.snapshot.load();
        let mut holdings: Vec<_> = snapshot
            .iter()
            .map(|(key, entry)| (key.clone(), *entry.revision()))
            .collect();
        holdings.sort_by(|(a, _), (b, _)| a.cmp(b));
        holdings
    }

    /// The content of the revision of `key` that has this digest, if it is the one held. It is decoded from the body that is
    /// served, so that no content is kept twice.
    #[must_use]
    pub fn recall(&self, key: &RuleSetKey, digest: &Digest) -> Option<CompiledRuleSet> {
        let entry = self.get(key).filter(|entry| entry.revision().digest == *digest)?;
        let content = entry.content()?;
        Some(CompiledRuleSet {
            key: key.clone(),
            revision: *entry.revision(),
            content,
        })
    }

    /// How much is held.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let snapshot = self.shared.snapshot.load();
        let distinct: HashMap<_, _> = snapshot
            .values()
            .map(|entry| (entry.revision().digest, entry.payload().encoded_len()))
            .collect();
        Usage {
            rulesets: snapshot.len(),
            content: snapshot.values().map(|entry| entry.payload().content_len()).sum(),
            bodies: distinct.values().sum(),
        }
    }
}

impl Writer {
    /// The encoding of a content: one that is served already, or a new one that is queued for compression.
    fn payload(&mut self, digest: Digest, content: &Content) -> Arc<Payload> {
        if let Some(payload) = self.payloads.get(&digest).and_then(Weak::upgrade) {
            return payload;
        }
        // Only here does the map grow, so only here need the contents go that nobody serves any more.
        self.payloads.retain(|_, payload| payload.strong_count() > 0);
        let payload = Arc::new(Payload::encode(content));
        self.payloads.insert(digest, Arc::downgrade(&payload));
        // Without a compressor the identity bodies are served.
        let _ = self.uncompressed.send(Arc::downgrade(&payload));
        payload
    }
}

#[cfg(test)]
mod tests;
