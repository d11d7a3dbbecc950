//! The work queue of all controllers: [`schedule`] decides, this hands items to workers and waits. No other IO.

pub mod metrics;
pub mod schedule;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coraza_ruleset::RuleSetKey;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::queue::metrics::Metrics;
use crate::queue::schedule::{Outcome, Schedule};
use crate::watch::object::ObjectKey;

/// Something to reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// The RuleSet of this key, whether it exists or not.
    RuleSet(RuleSetKey),
    /// The RuleSource of this key.
    RuleSource(ObjectKey),
    /// The RuleData of this key.
    RuleData(ObjectKey),
    /// The Engine of this key.
    Engine(ObjectKey),
    /// What the mesh must know of the caches.
    Istio,
}

impl Item {
    /// The name of the controller that works on it, as metrics and logs have it.
    #[must_use]
    pub const fn controller(&self) -> &'static str {
        match self {
            Self::RuleSet(_) => "ruleset",
            Self::RuleSource(_) => "rulesource",
            Self::RuleData(_) => "ruledata",
            Self::Engine(_) => "engine",
            Self::Istio => "istio",
        }
    }
}

/// All names that [`Item::controller`] gives.
const CONTROLLERS: [&str; 5] = ["ruleset", "rulesource", "ruledata", "engine", "istio"];

impl schedule::Item for Item {
    fn namespace(&self) -> &str {
        match self {
            Self::RuleSet(key) => key.namespace(),
            Self::RuleSource(key) | Self::RuleData(key) | Self::Engine(key) => &key.namespace,
            // No namespace has this name: it takes turns with all of them.
            Self::Istio => "",
        }
    }
}

/// The work queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // A std mutex: nothing awaits under it.
    schedule: Mutex<Schedule<Item>>,
    /// One permit per chance that an item is ready.
    changed: Notify,
    /// The clock's zero.
    started: Instant,
    metrics: Metrics,
}

impl Queue {
    /// An empty queue for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let schedule = Mutex::new(Schedule::new(workers));
        Self {
            shared: Arc::new(Shared {
                schedule,
                changed: Notify::new(),
                started: Instant::now(),
                metrics: Metrics::default(),
            }),
        }
    }

    /// Adds the metrics of the work to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
        registry.register_collector(Box::new(metrics::Depth(self.clone())));
    }

    /// Something about these items changed.
    pub fn add(&self, items: impl IntoIterator<Item = Item>) {
        let mut schedule = self.schedule();
        items.into_iter().for_each(|item| schedule.add(item));
        drop(schedule);
        self.shared.changed.notify_one();
    }

    /// The next item to work on; [`finish`](Self::finish) must follow. Safe to cancel.
    pub async fn next(&self) -> Item {
        loop {
            let due = {
                let mut schedule = self.schedule();
                if let Some(item) = schedule.next(self.now()) {
                    // Whoever woke us said that something is ready, not how much.
                    self.shared.changed.notify_one();
                    return item;
                }
                schedule.next_due()
            };
            match due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(self.shared.started + due, self.shared.changed.notified()).await;
                }
                None => self.shared.changed.notified().await,
            }
        }
    }

    /// The work on an item took so long and ended so.
    pub fn finish(&self, item: Item, outcome: Outcome, took: Duration) {
        self.shared.metrics.reconciled(item.controller(), outcome, took);
        let mut schedule = self.schedule();
        schedule.finish(item, outcome, self.now(), coraza_runtime::backoff::random());
        drop(schedule);
        self.shared.changed.notify_one();
    }

    fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<Item>> {
        self.shared.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items of each controller wait.
    fn depths(&self) -> [(&'static str, usize); CONTROLLERS.len()] {
        let schedule = self.schedule();
        CONTROLLERS.map(|name| {
            (
                name,
                schedule.waiting().filter(|item| item.controller() == name).count(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Item {
        Item::RuleSet(RuleSetKey::new("default", name).expect("a key"))
    }

    #[tokio::test(start_paused = true)]
    async fn every_idle_worker_gets_one_of_the_items_added_together() {
        let queue = Queue::new(8);
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        queue.add(["a", "b", "c", "d"].map(item));
        for worker in workers {
            worker.await.expect("got an item");
        }
    }

    #[test]
    fn the_depth_is_known_per_controller() {
        let (queue, mut registry) = (Queue::new(1), Registry::default());
        queue.register(&mut registry);
        queue.add(["a", "b"].map(item));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        for line in [
            "workqueue_depth{name=\"ruleset\"} 2\n",
            "workqueue_depth{name=\"ruledata\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_item_returns_in_time_and_sooner_if_it_changes() {
        let queue = Queue::new(1);
        queue.add([item("a")]);
        let taken = queue.next().await;
        let started = Instant::now();
        queue.finish(taken, Outcome::Again(Duration::from_secs(5)), Duration::ZERO);
        let taken = queue.next().await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        queue.finish(taken, Outcome::Again(Duration::from_secs(5)), Duration::ZERO);
        queue.add([item("a")]);
        queue.next().await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }
}
