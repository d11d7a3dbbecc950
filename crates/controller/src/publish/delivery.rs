//! How far revisions got, as plain values: for conditions, events, metrics and `/debug/caches`.

use coraza_ruleset::{Revision, RuleSetKey};
use uuid::Uuid;

use super::session::Session;

/// How far the current revision of a key got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which revision.
    pub revision: Revision,
    /// Its size in bytes of payload.
    pub bytes: u64,
    /// How many caches are subscribed.
    pub connected: usize,
    /// How many of them serve it.
    pub acked: usize,
    /// Which of them refused it.
    pub nacked: Vec<Nack>,
    /// Whether a cache was ever subscribed to this process.
    pub ever_connected: bool,
}

impl Delivery {
    /// Whether every cache that is subscribed answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.acked.saturating_add(self.nacked.len()) >= self.connected
    }
}

/// A cache's refusal of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// The replica's name.
    pub replica: String,
    /// Why, for a person.
    pub detail: String,
}

/// A cache that is subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheState {
    /// The replica's name.
    pub replica: String,
    /// Made when its process started.
    pub process_id: Uuid,
    /// Whether it was told that its snapshot is complete.
    pub complete: bool,
    /// What it serves, key by key.
    pub held: Vec<(RuleSetKey, Revision)>,
    /// What it refused, and why.
    pub refused: Vec<(RuleSetKey, String)>,
    /// The keys whose last good content it is waiting for.
    pub awaited: Vec<RuleSetKey>,
    /// How many grants it holds.
    pub grants: usize,
    /// How many messages it hasn't answered.
    pub in_flight: usize,
}

impl CacheState {
    pub(super) fn of(session: &Session) -> Self {
        let refused = session.refused().iter();
        Self {
            replica: session.hello().replica.clone(),
            process_id: session.hello().process_id,
            complete: session.is_complete(),
            held: session
                .held()
                .iter()
                .map(|(key, revision)| (key.clone(), *revision))
                .collect(),
            refused: refused
                .map(|(key, refusal)| (key.clone(), refusal.detail.clone()))
                .collect(),
            awaited: session.awaited().iter().cloned().collect(),
            grants: session.grants.acked(),
            in_flight: session.in_flight(),
        }
    }
}

/// What happened since the process started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Messages that a cache refused.
    pub nacks: u64,
    /// Revisions that weren't sent to a cache because it takes no RuleSet of that size.
    pub oversized: u64,
    /// Last good contents that a cache sent back.
    pub recalls: u64,
    /// Caches that were told that their snapshot is complete although they lack a last good content.
    pub incomplete_snapshots: u64,
}
