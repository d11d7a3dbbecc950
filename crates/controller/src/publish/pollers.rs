//! Which data planes poll, as the caches report it: for each the latest of what any cache saw. *Pure*: reports and a clock's value in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coraza_proto::limits::MAX_POLLERS;
use coraza_ruleset::{EngineKey, PollerId, Running};

/// A data plane that polls the caches for an Engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    /// Which of the Engine's data planes.
    pub id: PollerId,
    /// What it runs.
    pub running: Running,
    /// When it last polled, or held a waiting poll.
    pub seen: Instant,
}

/// How far the reports of two caches may disagree about when something was: what a report is on its way, and more.
const SAME_TIME: Duration = Duration::from_secs(1);
/// Which part of an Engine's data planes makes room for others.
const MAKE_ROOM: usize = 16;

/// The data planes of all Engines, [`MAX_POLLERS`] at most. When there are more, the Engine with the most loses those that were not
/// seen for the longest time: whoever invents names crowds out his own.
#[derive(Debug, Default)]
pub(super) struct Pollers {
    engines: BTreeMap<EngineKey, BTreeMap<PollerId, Seen>>,
    count: usize,
    /// Engines of whose data planes one came, went or runs something else since [`Pollers::take_changed`].
    changed: BTreeSet<EngineKey>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    running: Running,
    at: Instant,
}

impl Pollers {
    /// A cache saw these.
    pub(super) fn heard(&mut self, report: Vec<coraza_proto::Poller>, now: Instant) {
        for coraza_proto::Poller {
            engine,
            id,
            running,
            seen_ago,
        } in report
        {
            // Before the machine's clock began is as good as when it began: long ago.
            let Some(at) = now.checked_sub(seen_ago) else { continue };
            self.see(engine, id, Seen { running, at });
        }
    }

    fn see(&mut self, engine: EngineKey, id: PollerId, seen: Seen) {
        let known = self.engines.get_mut(&engine).and_then(|pollers| pollers.get_mut(&id));
        if let Some(known) = known {
            let before = known.running;
            known.merge(&id, seen);
            if known.running != before {
                self.changed.insert(engine);
            }
            return;
        }
        if self.count >= MAX_POLLERS {
            self.make_room();
        }
        self.changed.insert(engine.clone());
        self.engines.entry(engine).or_default().insert(id, seen);
        self.count += 1;
    }

    fn make_room(&mut self) {
        let most = self.engines.iter_mut().max_by_key(|(_, pollers)| pollers.len());
        let Some((engine, pollers)) = most else { return };
        let mut by_age: Vec<_> = pollers.iter().map(|(id, seen)| (seen.at, id.clone())).collect();
        by_age.sort_unstable();
        // Several at a time, or a flood of names would have all sorted for each of them.
        by_age.truncate(pollers.len().div_ceil(MAKE_ROOM));
        for (_, id) in by_age {
            self.count -= usize::from(pollers.remove(&id).is_some());
        }
        self.changed.insert(engine.clone());
    }

    /// The Engine is gone, or may read nothing.
    pub(super) fn forget(&mut self, engine: &EngineKey) {
        if let Some(pollers) = self.engines.remove(engine) {
            self.count -= pollers.len();
            self.changed.insert(engine.clone());
        }
    }

    pub(super) fn of(&self, engine: &EngineKey) -> Vec<Poller> {
        let pollers = self.engines.get(engine).into_iter().flatten();
        let poller = |(id, seen): (&PollerId, &Seen)| Poller {
            id: id.clone(),
            running: seen.running,
            seen: seen.at,
        };
        pollers.map(poller).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<EngineKey> {
        std::mem::take(&mut self.changed)
    }
}

impl Seen {
    /// Takes over what another cache saw, or the same one later.
    fn merge(&mut self, id: &PollerId, other: Self) {
        let later = other.at > self.at;
        let apart = other.at.max(self.at).saturating_duration_since(other.at.min(self.at));
        self.running = match (id, self.running, other.running) {
            // Each cache knows only what it served itself: the latest of these was fetched last.
            (PollerId::Address(_), Running::Revision(own), Running::Revision(theirs)) => {
                Running::Revision(own.max(theirs))
            }
            (PollerId::Address(_), known @ Running::Revision(_), _) => known,
            (PollerId::Address(_), _, theirs) => theirs,
            // One cache saw the end of a wait and another the next poll: of what a Pod says at about the same time, the later revision is
            // what it said later.
            (PollerId::Pod(_), Running::Revision(own), Running::Revision(theirs)) if apart < SAME_TIME => {
                Running::Revision(own.max(theirs))
            }
            (PollerId::Pod(_), _, theirs) if later => theirs,
            (PollerId::Pod(_), own, _) => own,
        };
        self.at = self.at.max(other.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use coraza_ruleset::{Digest, Revision, RevisionTag, Timestamp};

    fn engine(name: &str) -> EngineKey {
        EngineKey::new("team", name, "1").expect("an engine")
    }

    fn revision(nanos: u64) -> Running {
        let digest = Digest::new([1; 32]);
        let timestamp = Timestamp::from_unix_nanos(nanos);
        Running::Revision(RevisionTag::from(Revision { digest, timestamp }))
    }

    fn pod(name: &str) -> PollerId {
        PollerId::Pod(name.into())
    }

    fn poller(engine_name: &str, id: PollerId, running: Running, seconds_ago: u64) -> coraza_proto::Poller {
        coraza_proto::Poller {
            engine: engine(engine_name),
            id,
            running,
            seen_ago: Duration::from_secs(seconds_ago),
        }
    }

    fn start() -> Instant {
        Instant::now() + Duration::from_secs(1_000_000)
    }

    #[test]
    fn what_was_seen_last_counts_whichever_cache_saw_it() {
        let now = start();
        let mut pollers = Pollers::default();
        for (running, seconds_ago, expected) in [
            (revision(1), 5, revision(1)),
            (revision(2), 1, revision(2)),
            // Another cache, late with what it saw before.
            (revision(1), 9, revision(2)),
            // At the same time, as far as clocks tell.
            (revision(3), 1, revision(3)),
            (revision(1), 1, revision(3)),
            // The Pod began anew.
            (Running::Nothing, 0, Running::Nothing),
        ] {
            pollers.heard(vec![poller("waf", pod("a"), running, seconds_ago)], now);
            assert_eq!(pollers.of(&engine("waf"))[0].running, expected);
        }
        assert_eq!(pollers.of(&engine("waf"))[0].seen, now);
        assert_eq!(pollers.of(&engine("other")), []);
    }

    #[test]
    fn of_what_was_served_to_an_address_the_latest_counts() {
        let (now, address) = (start(), PollerId::Address([10, 0, 0, 1].into()));
        let mut pollers = Pollers::default();
        for (running, seconds_ago, expected) in [
            (Running::Unknown, 9, Running::Unknown),
            (revision(2), 8, revision(2)),
            (Running::Unknown, 1, revision(2)),
            (revision(1), 0, revision(2)),
        ] {
            pollers.heard(vec![poller("waf", address.clone(), running, seconds_ago)], now);
            assert_eq!(pollers.of(&engine("waf"))[0].running, expected);
        }
    }

    #[test]
    fn polling_again_is_no_news() {
        let now = start();
        let mut pollers = Pollers::default();
        let mut changed = |report, now| {
            pollers.heard(vec![report], now);
            pollers.take_changed().len()
        };
        assert_eq!(changed(poller("waf", pod("a"), revision(1), 0), now), 1);
        assert_eq!(
            changed(poller("waf", pod("a"), revision(1), 0), now + Duration::from_secs(5)),
            0
        );
        assert_eq!(
            changed(poller("waf", pod("a"), revision(2), 0), now + Duration::from_secs(6)),
            1
        );
        assert_eq!(changed(poller("waf", pod("b"), revision(2), 0), now), 1);
    }

    #[test]
    fn ten_thousand_are_kept_and_whoever_has_the_most_makes_room() {
        let now = start();
        let mut pollers = Pollers::default();
        let few = |count: usize| (0..count).map(|number| poller("few", pod(&number.to_string()), revision(1), 99));
        pollers.heard(few(10).collect(), now);
        let many = (0..2 * MAX_POLLERS).map(|number| {
            let seconds_ago = u64::try_from(2 * MAX_POLLERS - number).expect("small");
            poller("many", pod(&number.to_string()), revision(1), seconds_ago)
        });
        pollers.heard(many.collect(), now);
        assert!((MAX_POLLERS - MAX_POLLERS / MAKE_ROOM..=MAX_POLLERS).contains(&pollers.len()));
        assert_eq!(pollers.of(&engine("few")).len(), 10);
        let last = PollerId::Pod((2 * MAX_POLLERS - 1).to_string().into());
        assert!(pollers.of(&engine("many")).iter().any(|poller| poller.id == last));
        pollers.forget(&engine("many"));
        assert_eq!(pollers.len(), 10, "the count is that of the names");
    }
}
