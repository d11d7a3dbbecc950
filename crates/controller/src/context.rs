//! `Context`: what every reconciliation works with.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use coraza_compiler::{Compiler, Profile};
use coraza_ruleset::Limits;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::engine::enforce::Trackers;
use crate::engine::fail_reload::FailReload;
use crate::engine::module::Announced;
use crate::engine::settings::Settings;
use crate::engine::token::Tokens;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::queue::Queue;
use crate::ruleset::memory::Memory;
use crate::status::events::Recorder;
use crate::watch::Watched;

/// What every reconciliation works with.
#[derive(Clone)]
pub struct Context {
    /// For status writes.
    pub client: kube::Client,
    /// What exists.
    pub watched: Watched,
    /// Where more work goes.
    pub queue: Queue,
    /// Compiles, and remembers what it compiled.
    pub compiler: Arc<Compiler>,
    /// What runs the rules.
    pub profile: Profile,
    /// How large RuleSets may be.
    pub limits: Limits,
    /// Where good content goes.
    pub publisher: Publisher,
    /// What is measured of the objects.
    pub metrics: Metrics,
    /// For Events.
    pub recorder: Recorder,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// One permit per compilation at a time: as many as there are processors.
    pub processors: Arc<Semaphore>,
    /// Set once what exists was listed and counted: nothing is reconciled before.
    pub stock: Arc<OnceCell<()>>,
    /// The zero of the clock by which revisions age.
    pub started: Instant,
    /// What is remembered about RuleSets from one look to the next.
    // A std mutex: it is held for look-ups, and nothing awaits under it.
    pub memory: Arc<Mutex<Memory>>,
    /// What the flags say about Engines.
    pub settings: Arc<Settings>,
    /// Whether Istio has `FAIL_RELOAD`.
    pub fail_reload: Arc<FailReload>,
    /// What is remembered about Engines.
    pub engines: Arc<Engines>,
}

/// What is remembered about Engines from one look to the next.
// Std mutexes, as above.
#[derive(Debug, Default)]
pub struct Engines {
    tokens: Mutex<Tokens>,
    announced: Mutex<Announced>,
    istio_note: Mutex<Option<String>>,
    kubernetes_note: OnceLock<String>,
    trackers: Mutex<Trackers>,
}

impl Context {
    /// What is remembered about RuleSets. Not to be held for longer than look-ups take.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokens of Engines. Not to be held for longer than look-ups take, as the next.
    pub fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.engines.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The module that the caches serve.
    pub fn announced(&self) -> MutexGuard<'_, Announced> {
        self.engines.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Engines were seen to do.
    pub fn trackers(&self) -> MutexGuard<'_, Trackers> {
        self.engines.trackers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the mesh isn't told of the caches, if it isn't.
    #[must_use]
    pub fn istio_note(&self) -> Option<String> {
        let note = self.engines.istio_note.lock().unwrap_or_else(PoisonError::into_inner);
        note.clone()
    }

    /// What a person should know whose Engine is applied, though it keeps nothing from working.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let kubernetes = self.engines.kubernetes_note.get().cloned();
        kubernetes.into_iter().chain(self.istio_note()).collect()
    }

    /// What is the matter with this Kubernetes, found out once.
    pub fn set_kubernetes_note(&self, note: String) {
        let _ = self.engines.kubernetes_note.set(note);
    }

    /// Gives whether that is news.
    pub fn set_istio_note(&self, note: Option<String>) -> bool {
        let mut current = self.engines.istio_note.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *current != note;
        *current = note;
        news
    }

    /// Computes off the threads that wait for the network, as many computations at a time as there are processors.
    ///
    /// # Errors
    /// If the computation panicked.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        // Nobody closes it, so there is a permit.
        let permit = Arc::clone(&self.processors).acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use coraza_runtime::readiness::Readiness;

    use super::*;
    use crate::engine::settings::tests::settings;

    /// The context of a leader, over an API server that a test plays.
    pub(crate) fn leader(client: kube::Client) -> Context {
        let compiler = Arc::new(Compiler::new());
        let queue = Queue::new(4);
        let ready = Readiness::default().latch("watches");
        let metrics = crate::watch::metrics::Metrics::default();
        Context {
            recorder: Recorder::new(client.clone(), "pod-1"),
            client,
            watched: Watched::new(queue.clone(), Arc::clone(&compiler), metrics, ready),
            queue,
            compiler,
            profile: Profile::Native,
            limits: Limits::default(),
            publisher: Publisher::new(Duration::from_secs(15)),
            metrics: Metrics::default(),
            leadership: Leadership::unopposed(),
            processors: Arc::new(Semaphore::new(1)),
            stock: Arc::default(),
            started: Instant::now(),
            memory: Arc::new(Mutex::new(Memory::new(Limits::default()))),
            settings: Arc::new(settings()),
            fail_reload: Arc::new(FailReload::new(true)),
            engines: Arc::default(),
        }
    }
}
