//! Publishing: what the caches are to serve goes in, by key; one gRPC stream per cache brings each of them to it.
//!
//! [`Publisher`] is the handle. It keeps the one state ([`exchange`]) under a mutex that nobody holds for longer than a look at a few
//! maps, and wakes the streams; each stream takes from the state what its cache is due at that moment ([`session`]). Contents are
//! encoded one at a time, when a stream can take them.

mod changes;
mod delivery;
mod exchange;
mod grants;
mod pollers;
mod serve;
mod service;
mod session;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use coraza_proto::Interner;
use coraza_ruleset::{Content, Digest, EngineKey, Grant, Revision, RuleSetKey, Timestamp, TokenDigest};
use futures::Stream;
use tokio::sync::watch;

use changes::Listeners;
use exchange::{Exchange, Now, SessionId, Unavailable, Violation};
use session::Step;

pub use delivery::{CacheState, Counters, Delivery, Nack};
pub use pollers::Poller;
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
    keys: Listeners<RuleSetKey>,
    engines: Listeners<EngineKey>,
    /// Of what caches send back: tenants that share a Core Rule Set share it after a restart, too.
    interner: Interner,
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
                keys: Listeners::default(),
                engines: Listeners::default(),
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
        self.shared.keys.listen()
    }

    /// Lets whoever bears this token read its RuleSet, in place of what was granted to the token before. Saying it again changes nothing;
    /// the grant ends when it expires, or by [`Publisher::revoke`].
    pub fn grant(&self, grant: Grant) {
        self.update(|exchange, now| exchange.grant(grant, now));
    }

    /// Takes a token's grant away, within a second at every cache that is subscribed, and from any other when it comes back.
    pub fn revoke(&self, token: &TokenDigest) {
        self.update(|exchange, now| exchange.revoke(token, now));
    }

    /// Every token that data planes use has been granted once: to be called when the WasmPlugins were listed *and* what they carry was
    /// granted, or when there can be none. Before, no cache is told that its snapshot is complete, and none loses a grant.
    ///
    /// From then on a grant that only a cache knows is withdrawn, unless its Engine (by UID) has another grant for the same RuleSet: then
    /// it is the token of before a renewal, and stays until it expires or the last such grant is gone.
    pub fn open_grants(&self) {
        self.update(Exchange::open_grants);
    }

    /// Whether every subscribed cache says within `patience` that it lets the bearers of this token in, and there is a cache.
    pub async fn acknowledged(&self, token: &TokenDigest, patience: Duration) -> bool {
        // Before the first look, so that no answer after it goes unseen.
        let mut wake = self.shared.wake.subscribe();
        let granted = async {
            while !self.read(|exchange| exchange.is_granted(token)) {
                // The sender lives in `self`.
                let _ = wake.changed().await;
            }
        };
        tokio::time::timeout(patience, granted).await.is_ok()
    }

    /// The data planes that polled for an Engine, as the caches report them.
    #[must_use]
    pub fn pollers(&self, engine: &EngineKey) -> Vec<Poller> {
        self.read(|exchange| exchange.pollers(engine))
    }

    /// The Engines of which a data plane comes, goes or runs another revision from now on. That one polled again is no news, nor that it
    /// no longer polls: see [`Poller::seen`].
    pub fn poller_changes(&self) -> impl Stream<Item = EngineKey> + Send + use<> {
        self.shared.engines.listen()
    }

    /// How many caches are subscribed.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.read(Exchange::connected)
    }

    /// How many tokens are granted.
    #[must_use]
    pub fn grants(&self) -> usize {
        self.read(Exchange::grants)
    }

    /// How many data planes are known, of all Engines.
    #[must_use]
    pub fn all_pollers(&self) -> usize {
        self.read(Exchange::all_pollers)
    }

    /// The caches that are subscribed.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheState> {
        self.read(Exchange::caches)
    }

    /// How many of the caches that are subscribed serve each plugin.
    #[must_use]
    pub fn plugins(&self) -> BTreeMap<Digest, usize> {
        self.read(Exchange::plugins)
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
        self.shared.keys.tell(&changed);
        step
    }

    /// What a cache saw. Like a step it wakes nobody.
    fn reported(&self, id: SessionId, pollers: Vec<coraza_proto::Poller>) -> Result<(), Violation> {
        let mut exchange = self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = exchange.reported(id, pollers, now());
        let changed = exchange.take_changed_pollers();
        drop(exchange);
        self.shared.engines.tell(&changed);
        heard
    }

    fn read<T>(&self, read: impl FnOnce(&Exchange) -> T) -> T {
        read(&self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update<T>(&self, update: impl FnOnce(&mut Exchange, Now) -> T) -> T {
        let mut exchange = self.shared.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = update(&mut exchange, now());
        let (keys, engines) = (exchange.take_changed(), exchange.take_changed_pollers());
        drop(exchange);
        self.shared.wake.send_replace(());
        self.shared.keys.tell(&keys);
        self.shared.engines.tell(&engines);
        outcome
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
