//! `Schedule`: which item is worked on next. Pure: the clock and randomness come in as values.
//!
//! An item is queued once however often it is added, is never worked on twice at the same time, and returns after a back-off when
//! its work failed. Namespaces take turns, and one namespace never holds more than half of the workers: a tenant with a thousand
//! slow RuleSets delays another tenant by one of them, not by all.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use coraza_runtime::backoff::Backoff;

/// The delay after a first failure; the Go operator's.
const MIN_RETRY: Duration = Duration::from_secs(1);
/// The longest delay between two tries of an item that keeps failing; the Go operator's.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// What is scheduled.
pub trait Item: Clone + Ord + Hash {
    /// Whose turn it takes.
    fn namespace(&self) -> &str;
}

/// How the work on an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until something changes.
    Done,
    /// It wants to be looked at again after this long, if nothing changes before.
    Again(Duration),
    /// It failed: it is tried again after its back-off.
    Failed,
}

/// The items to work on and those that are worked on.
#[derive(Debug)]
pub struct Schedule<I> {
    /// Items that are ready, in the order in which they came, by namespace. No queue is empty.
    ready: BTreeMap<String, VecDeque<I>>,
    /// Namespaces with a queue in `ready`, the next one to serve first.
    turns: VecDeque<String>,
    /// How many items of a namespace are worked on.
    busy: HashMap<String, usize>,
    /// Items that become ready at a time of the monotonic clock.
    later: BTreeSet<(Duration, I)>,
    known: HashMap<I, Progress>,
    workers_per_namespace: usize,
}

/// What the schedule knows about an item that is queued, delayed, worked on, or failed last time.
#[derive(Debug)]
struct Progress {
    queued: bool,
    running: bool,
    /// It was added while it was worked on: it must be worked on once more.
    stale: bool,
    due: Option<Duration>,
    backoff: Backoff,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            queued: false,
            running: false,
            stale: false,
            due: None,
            backoff: Backoff::new(MIN_RETRY, MAX_RETRY),
        }
    }
}

impl Progress {
    fn is_idle(&self) -> bool {
        !self.queued && !self.running && self.due.is_none() && self.backoff.failures() == 0
    }
}

impl<I: Item> Schedule<I> {
    /// An empty schedule for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            ready: BTreeMap::new(),
            turns: VecDeque::new(),
            busy: HashMap::new(),
            later: BTreeSet::new(),
            known: HashMap::new(),
            workers_per_namespace: workers.div_ceil(2).max(1),
        }
    }

    /// Something about the item changed: it is ready now, or again after the work on it that is under way.
    pub fn add(&mut self, item: I) {
        let progress = self.known.entry(item.clone()).or_default();
        if let Some(due) = progress.due.take() {
            self.later.remove(&(due, item.clone()));
        }
        if progress.running {
            progress.stale = true;
        } else if !progress.queued {
            progress.queued = true;
            self.enqueue(item);
        }
    }

    /// The next item to work on, if one is ready and its namespace may have another worker.
    pub fn next(&mut self, now: Duration) -> Option<I> {
        self.wake(now);
        let turn = self.turns.iter().position(|namespace| self.may_work(namespace))?;
        let namespace = self.turns.remove(turn)?;
        let queue = self.ready.get_mut(&namespace)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.ready.remove(&namespace);
        } else {
            self.turns.push_back(namespace.clone());
        }
        *self.busy.entry(namespace).or_default() += 1;
        let progress = self.known.entry(item.clone()).or_default();
        progress.queued = false;
        progress.running = true;
        Some(item)
    }

    /// The work on an item ended. `random`, between 0 and 1, is the jitter of its back-off.
    pub fn finish(&mut self, item: I, outcome: Outcome, now: Duration, random: f64) {
        self.release_worker(item.namespace());
        let progress = self.known.entry(item.clone()).or_default();
        progress.running = false;
        let delay = match outcome {
            Outcome::Failed => Some(progress.backoff.next(random)),
            Outcome::Again(delay) => {
                progress.backoff.reset();
                Some(delay)
            }
            Outcome::Done => {
                progress.backoff.reset();
                None
            }
        };
        if std::mem::take(&mut progress.stale) {
            progress.queued = true;
            self.enqueue(item);
        } else if let Some(delay) = delay {
            let due = now.saturating_add(delay);
            progress.due = Some(due);
            self.later.insert((due, item));
        } else if progress.is_idle() {
            self.known.remove(&item);
        }
    }

    /// When the next delayed item becomes ready.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.later.first().map(|(due, _)| *due)
    }

    /// The items that are ready and wait for a worker.
    pub fn waiting(&self) -> impl Iterator<Item = &I> {
        self.ready.values().flatten()
    }

    fn wake(&mut self, now: Duration) {
        while let Some((due, _)) = self.later.first()
            && *due <= now
        {
            let Some((_, item)) = self.later.pop_first() else {
                return;
            };
            self.add(item);
        }
    }

    fn enqueue(&mut self, item: I) {
        let namespace = item.namespace().to_owned();
        let queue = self.ready.entry(namespace.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(namespace);
        }
        queue.push_back(item);
    }

    fn may_work(&self, namespace: &str) -> bool {
        self.busy
            .get(namespace)
            .is_none_or(|busy| *busy < self.workers_per_namespace)
    }

    fn release_worker(&mut self, namespace: &str) {
        if let Some(busy) = self.busy.get_mut(namespace) {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                self.busy.remove(namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Item for (&'static str, u32) {
        fn namespace(&self) -> &str {
            self.0
        }
    }

    const NOW: Duration = Duration::from_secs(1000);

    fn later(millis: u64) -> Duration {
        NOW + Duration::from_millis(millis)
    }

    fn drain(schedule: &mut Schedule<(&'static str, u32)>) -> Vec<(&'static str, u32)> {
        std::iter::from_fn(|| {
            let item = schedule.next(NOW)?;
            schedule.finish(item, Outcome::Done, NOW, 0.0);
            Some(item)
        })
        .collect()
    }

    #[test]
    fn namespaces_take_turns() {
        let mut schedule = Schedule::new(4);
        (0..4).for_each(|number| schedule.add(("loud", number)));
        schedule.add(("calm", 0));
        schedule.add(("loud", 0));
        assert_eq!(schedule.waiting().count(), 5);
        assert_eq!(
            drain(&mut schedule),
            [("loud", 0), ("calm", 0), ("loud", 1), ("loud", 2), ("loud", 3)]
        );
        assert!(
            schedule.known.is_empty(),
            "nothing is remembered about an item that is done"
        );
    }

    #[test]
    fn one_namespace_never_holds_every_worker() {
        let mut schedule = Schedule::new(4);
        (0..9).for_each(|number| schedule.add(("loud", number)));
        assert_eq!(
            (schedule.next(NOW), schedule.next(NOW)),
            (Some(("loud", 0)), Some(("loud", 1)))
        );
        assert_eq!(schedule.next(NOW), None, "half of four");
        schedule.add(("calm", 0));
        assert_eq!(schedule.next(NOW), Some(("calm", 0)));
        schedule.finish(("loud", 0), Outcome::Done, NOW, 0.0);
        assert_eq!(schedule.next(NOW), Some(("loud", 2)));
    }

    #[test]
    fn an_item_that_changes_while_it_is_worked_on_is_worked_on_again() {
        let mut schedule = Schedule::new(2);
        schedule.add(("a", 0));
        let item = schedule.next(NOW).expect("ready");
        schedule.add(item);
        schedule.add(item);
        assert_eq!(schedule.next(NOW), None, "never twice at the same time");
        schedule.finish(item, Outcome::Again(Duration::from_secs(5)), NOW, 0.0);
        assert_eq!(drain(&mut schedule), [item]);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn failures_back_off_and_success_forgets_them() {
        let mut schedule = Schedule::new(2);
        schedule.add(("a", 0));
        for seconds in [1, 2, 4] {
            let item = schedule.next(NOW).expect("ready");
            schedule.finish(item, Outcome::Failed, NOW, 0.0);
            assert_eq!(schedule.next_due(), Some(NOW + Duration::from_secs(seconds)));
            assert_eq!(schedule.next(NOW), None);
            schedule.add(item);
        }
        assert_eq!(schedule.next_due(), None, "a change does not wait for the back-off");
        let item = schedule.next(NOW).expect("ready");
        schedule.finish(item, Outcome::Again(Duration::from_millis(10)), NOW, 0.0);
        assert_eq!(schedule.next(later(9)), None);
        assert_eq!(schedule.next(later(10)), Some(item));
        schedule.finish(item, Outcome::Failed, NOW, 0.0);
        assert_eq!(schedule.next_due(), Some(NOW + Duration::from_secs(1)));
    }

    proptest! {
        /// Whatever happens, an item that was added is worked on after that, and never by two workers.
        #[test]
        fn no_change_is_lost(steps in prop::collection::vec((0_u8..3, 0_u32..4, any::<bool>()), 0..200)) {
            let mut schedule = Schedule::new(3);
            let mut running: Vec<(&'static str, u32)> = Vec::new();
            let mut unseen: BTreeSet<(&'static str, u32)> = BTreeSet::new();
            for (action, number, namespace) in steps {
                let item = (if namespace { "a" } else { "b" }, number);
                match action {
                    0 => {
                        schedule.add(item);
                        unseen.insert(item);
                    }
                    1 => if let Some(item) = schedule.next(NOW) {
                        prop_assert!(!running.contains(&item));
                        unseen.remove(&item);
                        running.push(item);
                    },
                    _ => if let Some(item) = running.pop() {
                        schedule.finish(item, Outcome::Done, NOW, 0.0);
                    },
                }
            }
            for item in running.drain(..) {
                schedule.finish(item, Outcome::Done, NOW, 0.0);
            }
            let drained: BTreeSet<_> = drain(&mut schedule).into_iter().collect();
            prop_assert_eq!(drained, unseen);
        }
    }
}
