//! One watch per kind, into an [`Index`] of our own; what changed goes to the work queue.
//!
//! A watch that fails, or whose kind isn't installed, is logged, counted and tried again: it deletes nothing and doesn't hold up
//! the others. Once all kinds of our own were listed completely, and never before, the rest of the controller may draw conclusions from
//! what is *not* there.

pub mod foreign;
pub mod index;
pub mod metrics;
pub mod object;
pub mod pod;
pub mod references;
pub mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coraza_compiler::Compiler;
use coraza_runtime::backoff::{Backoff, random};
use coraza_runtime::log::chain;
use coraza_runtime::readiness::Latch;
use futures::{Stream, StreamExt};
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher;
use tokio::sync::watch;

use crate::queue::Queue;
use crate::watch::index::{Index, Indexed};
use crate::watch::metrics::Metrics;
use crate::watch::object::decode;
use crate::watch::store::{Event, Object};

/// How many objects a page of a list has: a hundred of the largest RuleSources are 150 MiB for as long as a page is decoded.
const PAGE: u32 = 100;
/// The first delay after a failure: an API server that was restarted is back within a second.
const MIN_RETRY: Duration = Duration::from_millis(250);
/// The longest delay between two tries.
const MAX_RETRY: Duration = Duration::from_secs(15);

/// What the watches know, shared by all tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watched {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // A std mutex: it is held for look-ups, and nothing awaits under it.
    index: Mutex<Index>,
    compiler: Arc<Compiler>,
    queue: Queue,
    metrics: Metrics,
    synced: watch::Sender<bool>,
    /// Whether it is known which tokens are in use.
    tokens: watch::Sender<bool>,
    ready: Latch,
}

/// Which objects of a kind are watched.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All.
    Cluster,
    /// Those of one namespace.
    Namespace(String),
    /// Those that have this label, of all namespaces.
    Labelled(&'static str),
    /// The one of this namespace and name.
    Object(String, String),
}

impl Watched {
    /// Watches that have seen nothing yet. Texts are interned by the compiler, which parses each once; `ready` is set once all of them were complete.
    #[must_use]
    pub fn new(queue: Queue, compiler: Arc<Compiler>, metrics: Metrics, ready: Latch) -> Self {
        let (synced, _) = watch::channel(false);
        let shared = Shared {
            index: Mutex::default(),
            compiler,
            queue,
            metrics,
            synced,
            tokens: watch::channel(false).0,
            ready,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The objects. Not to be held for longer than look-ups take.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when every kind of our own was listed completely once.
    pub async fn synced(&self) {
        // The sender is alive as long as we are.
        let _ = self.shared.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Returns when it is known which tokens are in use.
    pub async fn tokens_known(&self) {
        // As above.
        let _ = self.shared.tokens.subscribe().wait_for(|known| *known).await;
    }

    /// Watches a kind for as long as the process runs.
    pub async fn pump<V: Indexed>(&self, client: kube::Client, scope: Scope) {
        let config = watcher::Config::default().page_size(PAGE);
        let (api, config) = match scope {
            Scope::Cluster => (Api::all_with(client, &V::resource()), config),
            Scope::Labelled(label) => (Api::all_with(client, &V::resource()), config.labels(label)),
            Scope::Namespace(namespace) => (Api::namespaced_with(client, &namespace, &V::resource()), config),
            Scope::Object(namespace, name) => {
                let api = Api::namespaced_with(client, &namespace, &V::resource());
                (api, config.fields(&format!("metadata.name={name}")))
            }
        };
        loop {
            let events = watcher::<DynamicObject>(api.clone(), config.clone());
            self.follow::<V>(events).await;
        }
    }

    /// Takes in an object as a write of ours returned it, so that the next look at it sees that write.
    pub fn written<V: Indexed>(&self, object: DynamicObject) {
        if let Some((key, object)) = decode::<V>(object, &self.shared.compiler) {
            self.apply(Event::Apply(key, object));
        }
    }

    /// Takes in the events of a watch. The stream goes on after an error, so the pause after it is ours to make. Returns if the kind was
    /// uninstalled: the stream would wait for it without listing what there is of it then.
    async fn follow<V: Indexed>(&self, events: impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>>) {
        let mut backoff = Backoff::new(MIN_RETRY, MAX_RETRY);
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // The begin of a list says only that it will be asked for.
                    if backoff.failures() > 0 && !matches!(event, watcher::Event::Init) {
                        tracing::info!(kind = V::KIND, "watching again");
                        self.shared.metrics.up(V::KIND, true);
                        backoff.reset();
                    }
                    if let Some(event) = self.decoded::<V>(event) {
                        self.apply(event);
                    }
                }
                Err(error) => {
                    let delay = backoff.next(random());
                    self.failed::<V>(&error, backoff.failures());
                    tokio::time::sleep(delay).await;
                    if matches!(&error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 404)
                    {
                        return;
                    }
                }
            }
        }
    }

    fn decoded<V: Indexed>(&self, event: watcher::Event<DynamicObject>) -> Option<Event<V>> {
        let view = |object| {
            let (key, object) = decode::<V>(object, &self.shared.compiler)?;
            if let Object::Unknown(unreadable) = &object {
                tracing::warn!(kind = V::KIND, object = %key, error = unreadable.why, "failed to decode an object");
                self.shared.metrics.undecodable(V::KIND);
            }
            Some((key, object))
        };
        Some(match event {
            watcher::Event::Init => Event::Init,
            watcher::Event::InitDone => Event::InitDone,
            watcher::Event::InitApply(object) => view(object).map(|(key, object)| Event::InitApply(key, object))?,
            watcher::Event::Apply(object) => view(object).map(|(key, object)| Event::Apply(key, object))?,
            watcher::Event::Delete(object) => {
                decode::<V>(object, &self.shared.compiler).map(|(key, _)| Event::Delete(key))?
            }
        })
    }

    fn apply<V: Indexed>(&self, event: Event<V>) {
        let listed = matches!(event, Event::InitDone);
        let (items, synced, tokens) = {
            let mut index = self.index();
            let items = index.apply(event);
            (items, listed && index.is_synced(), listed && index.knows_tokens())
        };
        if listed {
            self.shared.metrics.up(V::KIND, true);
            tracing::debug!(kind = V::KIND, "listed");
        }
        if !items.is_empty() {
            self.shared.queue.add(items);
        }
        if synced && !self.shared.synced.send_replace(true) {
            tracing::info!("all kinds listed");
            self.shared.ready.set();
        }
        if tokens {
            self.shared.tokens.send_replace(true);
        }
    }

    fn failed<V: Indexed>(&self, error: &watcher::Error, failures: u32) {
        let kind = V::KIND;
        self.shared.metrics.up(kind, false);
        self.shared.metrics.failed(kind);
        // The API server says it of a group that it doesn't know in plain text, without the reason that `is_not_found` looks for.
        let absent = matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404);
        if absent {
            let (items, tokens) = {
                let mut index = self.index();
                (index.absent::<V>(), index.knows_tokens())
            };
            self.shared.queue.add(items);
            if tokens {
                self.shared.tokens.send_replace(true);
            }
        }
        let error = chain(error);
        match (failures, absent) {
            (1, true) => tracing::warn!(
                kind,
                error,
                "the kind is not installed, apply its custom resource definition"
            ),
            (1, false) => tracing::warn!(kind, error, "failed to watch"),
            _ => tracing::debug!(kind, failures, error, "failed to watch again"),
        }
    }
}

#[cfg(test)]
mod tests;
