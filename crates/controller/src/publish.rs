//! Publishing: what the caches are to serve goes in, by key; one gRPC stream per cache brings each of them to it.
//!
//! [`Publisher`] is the handle. It keeps the one state ([`exchange`]) under a mutex that nobody holds for longer than a look at a few
//! maps, and wakes the streams; each stream takes from the state what its cache is due at that moment ([`session`]). Contents are
//! encoded one at a time, when a stream can take them.

mod delivery;
mod exchange;
mod serve;
mod service;
mod session;
mod snapshot;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use coraza_proto::Interner;
use coraza_ruleset::{Content, Digest, Revision, RuleSetKey, Timestamp};
use futures::Stream;
use tokio::sync::{Notify, watch};

use exchange::{Exchange, Now, SessionId, Unavailable};
use session::Step;

pub use delivery::{CacheState, Counters, Delivery, Nack};
pub use serve::serve;

/// Publishes RuleSets to the caches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // A std mutex: whoever holds it does a bounded amount of work and never awaits.
    exchange: Mutex<Exchange>,
    /// Ticks when a stream may have something new to send.
    wake: watch::Sender<()>,
    listeners: Mutex<Vec<Weak<Changed>>>,
    /// Of what caches send back: tenants that share a Core Rule Set share it after a restart, too.
    interner: Interner,
}

/// Keys that changed and that a listener hasn't taken yet: each once, however often it changed.
#[derive(Debug, Default)]
struct Changed {
    keys: Mutex<BTreeSet<RuleSetKey>>,
    notify: Notify,
}

impl Publisher {
    /// A publisher that publishes nothing before it leads and is open. `lease_duration` is the Lease's: caches obey a leader with a
    /// lower epoch only after that long without this one.
    #[must_use]
    pub fn new(lease_duration: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                exchange: Mutex::new(Exchange::new(lease_duration)),
                wake: watch::Sender::new(()),
                listeners: Mutex::default(),
                interner: Interner::default(),
            }),
        }
    }

    /// Serve this content from now on. `digest` is [`Content::digest`] of it; `known` is the revision in the RuleSet's status.
    ///
    /// Returns the revision that it has: the known one, or the one that caches hold, as long as the content is the same; later than
    /// each of them otherwise. It may still change when a cache connects that holds a later one ([`Publisher::changes`]).
    pub fn serve(&self, key: &RuleSetKey, content: Content, digest: Digest, known: Option<Revision>) -> Revision {
        self.update(|exchange, now| exchange.serve(key, (content, digest), known, now))
    }

    /// The key is named, and there is no content for it that compiles: what is served stays. If this process has none, `wanted` is
    /// had back from a cache, or else the newest that any cache holds.
    pub fn retain(&self, key: &RuleSetKey, wanted: Option<Revision>) {
        self.update(|exchange, now| exchange.retain(key, wanted, now));
    }

    /// Neither a RuleSet nor an Engine names the key any more: the caches remove it.
    pub fn forget(&self, key: &RuleSetKey) {
        self.update(|exchange, _| exchange.forget(key));
    }

    /// All that is named has been said once: publishing may begin. Before, nothing is sent, for what isn't named yet would be removed.
    pub fn open(&self) {
        self.update(|exchange, _| exchange.open());
    }

    /// The Lease was gained (by the write that returned this resourceVersion) or lost. All streams of before end.
    pub fn lead(&self, epoch: Option<u64>) {
        self.update(|exchange, _| exchange.lead(epoch));
    }

    /// How far the current revision of a key got; nothing if it has none.
    #[must_use]
    pub fn delivery(&self, key: &RuleSetKey) -> Option<Delivery> {
        self.read(|exchange| exchange.delivery(key))
    }

    /// The keys whose revision or delivery changes from now on. A key that changes again before it was taken comes once.
    pub fn changes(&self) -> impl Stream<Item = RuleSetKey> + Send + use<> {
        let changed = Arc::new(Changed::default());
        let mut listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&changed));
        futures::stream::unfold(changed, |changed| async move {
            loop {
                if let Some(key) = changed.take() {
                    return Some((key, changed));
                }
                changed.notify.notified().await;
            }
        })
    }

    /// The caches that are subscribed.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheState> {
        self.read(Exchange::caches)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.read(Exchange::counters)
    }

    /// What a subscription's stream is to do now. Unlike an update it wakes nobody: it changes nothing that another stream sends.
    fn step(&self, id: SessionId) -> Result<Step, Unavailable> {
        let mut exchange = self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let incomplete = exchange.counters().incomplete_snapshots;
        let step = exchange.next(id, now());
        let lacking = (exchange.counters().incomplete_snapshots > incomplete).then(|| exchange.lacking(id));
        let changed = exchange.take_changed();
        drop(exchange);
        if let Some((replica, keys)) = lacking.flatten() {
            tracing::warn!(
                replica,
                ?keys,
                "snapshot complete without last good contents: no cache has sent them back"
            );
        }
        self.tell(&changed);
        step
    }

    fn read<T>(&self, read: impl FnOnce(&Exchange) -> T) -> T {
        read(&self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update<T>(&self, update: impl FnOnce(&mut Exchange, Now) -> T) -> T {
        let mut exchange = self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = update(&mut exchange, now());
        let changed = exchange.take_changed();
        drop(exchange);
        self.shared.wake.send_replace(());
        self.tell(&changed);
        outcome
    }

    fn tell(&self, changed: &BTreeSet<RuleSetKey>) {
        if changed.is_empty() {
            return;
        }
        let listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|listener| listener.add(changed));
    }
}

impl Changed {
    fn add(&self, keys: &BTreeSet<RuleSetKey>) {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(keys.iter().cloned());
        self.notify.notify_one();
    }

    fn take(&self) -> Option<RuleSetKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

fn now() -> Now {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    Now {
        wall: Timestamp::from_unix_nanos(nanos),
        monotonic: Instant::now(),
    }
}

#[cfg(test)]
mod tests;
