//! `Context`: what every reconciliation works with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coraza_compiler::{Compiler, Profile};
use coraza_ruleset::Limits;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinError;
use tokio::time::Instant;

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
}

impl Context {
    /// What is remembered about RuleSets. Not to be held for longer than look-ups take.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
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
