//! `Pollers`: which data planes poll this cache, and what they run: for the controller, which is told at a bounded rate. No IO; the
//! clock comes in as a value, but where a waiting poll is let go.
//!
//! A poll takes one of [`SHARDS`] locks for as long as a look-up takes. There is room for [`MAX_POLLERS`]. In a shard that is full the
//! Engine with the most pollers loses the one that was not seen for the longest time, so that whoever invents names crowds out his own.

mod shard;

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coraza_proto::Poller;
use coraza_proto::limits::MAX_POLLERS;
use coraza_ruleset::{EngineKey, Running};

use shard::Shard;

/// So many that two requests hardly ever meet at one, and so few that looking at all of them is nothing.
const SHARDS: usize = 16;
/// A quarter more than their share: hashing [`MAX_POLLERS`] identities into the shards gives none of them as many.
const MAX_PER_SHARD: usize = MAX_POLLERS / SHARDS * 5 / 4;
/// How often a report may be sent. A report of the size that one may have and this interval bring all of [`MAX_POLLERS`] to the
/// controller within [`shard::REFRESH`].
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The data planes that poll. A clone is another handle on the same ones.
#[derive(Debug, Clone, Default)]
pub struct Pollers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Where the next report begins, so that no shard waits for ever.
    next: AtomicUsize,
}

/// Who a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    /// The Pod that it names.
    Pod(&'a str),
    /// Its address, since it names none.
    Address(IpAddr),
}

/// A waiting poll: while it is held its poller is seen.
#[derive(Debug)]
pub struct HeldPoll<'a> {
    pollers: &'a Pollers,
    engine: &'a EngineKey,
    id: Identity<'a>,
}

impl Pollers {
    /// A poll for `engine` has come. `running` is what the poller says that it runs, or what it was served.
    pub fn saw(&self, engine: &EngineKey, id: Identity<'_>, running: Running, now: Instant) {
        self.lock(self.shard(engine, id)).saw(engine, id, running, now);
    }

    /// A poll of a poller that was seen begins to wait.
    pub fn hold<'a>(&'a self, engine: &'a EngineKey, id: Identity<'a>) -> HeldPoll<'a> {
        self.lock(self.shard(engine, id)).hold(engine, id);
        HeldPoll {
            pollers: self,
            engine,
            id,
        }
    }

    /// What the controller doesn't know yet, `limit` pollers at most: whoever runs something else than when it was last told, or polled
    /// since and was last told of [`shard::REFRESH`] ago. It is known from now on.
    #[must_use]
    pub fn due(&self, limit: usize, now: Instant) -> Vec<Poller> {
        let first = self.shared.next.load(Ordering::Relaxed);
        let mut due = Vec::new();
        for number in (first..first + SHARDS).map(|number| number % SHARDS) {
            self.shared.next.store(number, Ordering::Relaxed);
            self.lock(number).take_due(&mut due, limit, now);
            if due.len() >= limit {
                break;
            }
        }
        due
    }

    /// A new stream: whoever hears the next report knows nobody.
    pub fn report_anew(&self) {
        (0..SHARDS).for_each(|number| self.lock(number).report_anew());
    }

    /// How many pollers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|number| self.lock(number).len()).sum()
    }

    /// Whether nobody polls.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, engine: &EngineKey, id: Identity<'_>) -> usize {
        let hash = match id {
            Identity::Pod(name) => self.shared.hasher.hash_one((engine.uid(), name)),
            Identity::Address(address) => self.shared.hasher.hash_one((engine.uid(), address)),
        };
        usize::try_from(hash % SHARDS as u64).unwrap_or_default()
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shared.shards;
        let shard = self.shared.shards.get(shard).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HeldPoll<'_> {
    fn drop(&mut self) {
        let shard = self.pollers.shard(self.engine, self.id);
        self.pollers.lock(shard).release(self.engine, self.id, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use coraza_ruleset::{PollerId, RevisionTag, Timestamp};

    use super::shard::REFRESH;
    use coraza_proto::limits::MAX_POLLERS_PER_REPORT;

    fn engine(name: &str) -> EngineKey {
        EngineKey::new("team", name, name).expect("an engine")
    }

    fn revision(nanos: u64) -> Running {
        Running::Revision(RevisionTag {
            timestamp: Timestamp::from_unix_nanos(nanos),
            uuid: uuid::Uuid::from_u128(1),
        })
    }

    fn all(pollers: &Pollers, now: Instant) -> Vec<Poller> {
        pollers.due(usize::MAX, now)
    }

    #[test]
    fn the_controller_is_told_what_changed_at_once_and_the_rest_at_times() {
        let (pollers, start, waf) = (Pollers::default(), Instant::now(), engine("waf"));
        let at = |seconds| start + Duration::from_secs(seconds);
        let pod = Identity::Pod("gateway-0");
        pollers.saw(&waf, pod, revision(1), at(0));
        let expected = |running, seen_ago| Poller {
            engine: waf.clone(),
            id: PollerId::Pod("gateway-0".into()),
            running,
            seen_ago: Duration::from_secs(seen_ago),
        };
        assert_eq!(all(&pollers, at(1)), [expected(revision(1), 1)]);
        assert_eq!(all(&pollers, at(9)), []);
        pollers.saw(&waf, pod, revision(1), at(10));
        pollers.saw(&waf, pod, revision(1), at(12));
        assert_eq!(all(&pollers, at(13)), [expected(revision(1), 1)]);
        pollers.saw(&waf, pod, revision(2), at(14));
        assert_eq!(all(&pollers, at(14)), [expected(revision(2), 0)]);
        pollers.saw(&waf, pod, revision(2), at(15));
        assert_eq!(all(&pollers, at(16)), []);
        assert_eq!(all(&pollers, at(14) + REFRESH), [expected(revision(2), 4)]);
        pollers.report_anew();
        assert_eq!(all(&pollers, at(20)), [expected(revision(2), 5)]);
    }

    #[test]
    fn who_holds_a_poll_is_seen_all_the_time() {
        let (pollers, start, waf) = (Pollers::default(), Instant::now(), engine("waf"));
        let pod = Identity::Pod("gateway-0");
        pollers.saw(&waf, pod, revision(1), start);
        let held = pollers.hold(&waf, pod);
        for round in 1..4 {
            let told = all(&pollers, start + round * REFRESH);
            assert_eq!(told[0].seen_ago, Duration::ZERO);
        }
        drop(held);
        // Let go by the machine's clock, long before this test's: that it was seen until then is known.
        assert_eq!(all(&pollers, start + 9 * REFRESH), []);
    }

    #[test]
    fn what_an_address_was_served_stays_until_it_is_served_something_later() {
        let (pollers, now, waf) = (Pollers::default(), Instant::now(), engine("waf"));
        let address = Identity::Address([10, 0, 0, 1].into());
        for (running, expected) in [
            (Running::Unknown, Running::Unknown),
            (revision(2), revision(2)),
            (Running::Unknown, revision(2)),
        ] {
            pollers.saw(&waf, address, running, now);
            pollers.report_anew();
            assert_eq!(all(&pollers, now)[0].running, expected);
        }
    }

    #[test]
    fn whoever_invents_names_crowds_out_his_own() {
        let (pollers, start) = (Pollers::default(), Instant::now());
        let honest = (engine("honest"), Identity::Pod("gateway-0"));
        pollers.saw(&honest.0, honest.1, revision(1), start);
        for number in 0..3 * MAX_POLLERS {
            let later = start + Duration::from_millis(u64::try_from(number).expect("small"));
            pollers.saw(&engine("flood"), Identity::Pod(&number.to_string()), revision(1), later);
        }
        assert!(pollers.len() <= MAX_PER_SHARD * SHARDS);
        let told = all(&pollers, start + Duration::from_secs(60));
        assert_eq!(told.len(), pollers.len());
        assert_eq!(told.iter().filter(|poller| poller.engine == honest.0).count(), 1);
    }

    #[test]
    fn ten_thousand_pollers_are_all_told_of_within_the_refresh() {
        let (pollers, start) = (Pollers::default(), Instant::now());
        let names: Vec<_> = (0..MAX_POLLERS).map(|number| format!("gateway-{number}")).collect();
        let mut now = start;
        for round in 0..3 {
            for (number, name) in names.iter().enumerate() {
                pollers.saw(
                    &engine(&format!("waf-{}", number % 100)),
                    Identity::Pod(name),
                    revision(round),
                    now,
                );
            }
            let mut told = 0;
            for _ in 0..REFRESH.as_secs() {
                now += REPORT_INTERVAL;
                let report = pollers.due(MAX_POLLERS_PER_REPORT, now);
                assert!(report.len() <= MAX_POLLERS_PER_REPORT);
                told += report.len();
            }
            assert_eq!(told, MAX_POLLERS, "round {round}");
        }
        assert_eq!(pollers.len(), MAX_POLLERS);
        assert_eq!(all(&pollers, now + Duration::from_secs(5 * 3_600)), []);
        assert!(pollers.is_empty(), "who is gone is forgotten");
    }
}
