//! Tables for one candidate, and two candidates on a bad network with bad clocks.

use super::*;
use proptest::prelude::*;

const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, renewed: &str) -> Record {
    Record {
        holder: Some(holder.into()),
        duration: at(15),
        renewed: Some(renewed.into()),
    }
}

#[test]
fn a_free_lease_is_taken_and_renewed_within_the_same_epoch() {
    let mut elector = Elector::new("a".into(), TIMINGS);
    assert_eq!(elector.observe(at(0), None), Step::Acquire);
    elector.wrote(at(0), 7);
    assert_eq!(elector.observe(at(2), Some(&record("a", "0"))), Step::Renew);
    elector.wrote(at(2), 9);
    assert_eq!(
        elector.term(at(11)),
        Some(Term {
            epoch: 7,
            until: at(12)
        })
    );
    let released = Record {
        holder: None,
        duration: at(1),
        renewed: None,
    };
    assert_eq!(
        Elector::new("b".into(), TIMINGS).observe(at(0), Some(&released)),
        Step::Acquire
    );
}

#[test]
fn anothers_lease_expires_a_duration_after_its_last_change_that_we_saw() {
    let mut elector = Elector::new("b".into(), TIMINGS);
    assert_eq!(elector.observe(at(100), Some(&record("a", "0"))), Step::Wait);
    assert_eq!(elector.observe(at(114), Some(&record("a", "0"))), Step::Wait);
    assert_eq!(elector.observe(at(114), Some(&record("a", "2"))), Step::Wait, "renewed");
    assert_eq!(elector.observe(at(128), Some(&record("a", "2"))), Step::Wait);
    assert_eq!(elector.observe(at(129), Some(&record("a", "2"))), Step::Acquire);
    assert_eq!(elector.term(at(129)), None, "not before the write");
}

#[test]
fn a_leader_that_wakes_after_its_deadline_has_deposed_itself() {
    let mut elector = Elector::new("a".into(), TIMINGS);
    elector.wrote(at(0), 1);
    assert!(elector.term(at(9)).is_some());
    assert_eq!(elector.term(at(10)), None);
    // Nobody took it meanwhile: it is a new term, with a new epoch.
    assert_eq!(elector.observe(at(60), Some(&record("a", "0"))), Step::Acquire);
    elector.wrote(at(60), 5);
    assert_eq!(elector.term(at(60)).map(|term| term.epoch), Some(5));
}

#[test]
fn a_leader_that_sees_another_holder_stops_at_once() {
    let mut elector = Elector::new("a".into(), TIMINGS);
    elector.wrote(at(0), 1);
    assert_eq!(elector.observe(at(1), Some(&record("b", "x"))), Step::Wait);
    assert_eq!(elector.term(at(1)), None);
}

#[test]
fn timings_that_allow_two_leaders_are_refused() {
    let seconds = |lease, renew, retry| Timings {
        lease_duration: at(lease),
        renew_deadline: at(renew),
        retry_period: at(retry),
    };
    for (timings, result) in [
        (seconds(15, 10, 2), None),
        (seconds(0, 0, 0), Some(InvalidTimings::LeaseDuration)),
        (
            Timings {
                lease_duration: Duration::from_millis(1500),
                ..TIMINGS
            },
            Some(InvalidTimings::LeaseDuration),
        ),
        (seconds(10, 10, 2), Some(InvalidTimings::RenewDeadline)),
        (seconds(15, 10, 6), Some(InvalidTimings::RetryPeriod)),
        (seconds(15, 10, 0), Some(InvalidTimings::RetryPeriod)),
    ] {
        assert_eq!(timings.checked().err(), result, "{timings:?}");
    }
}

/// The API server's Lease: optimistic concurrency, nothing more.
#[derive(Default)]
struct Server {
    version: u64,
    record: Option<Record>,
}

impl Server {
    fn write(&mut self, precondition: u64, record: Record) -> Option<u64> {
        (self.version == precondition).then(|| {
            self.version += 1;
            self.record = Some(record);
            self.version
        })
    }
}

/// A candidate as the simulation drives it: its clock runs at `rate`, and one request at a time is under way.
struct Candidate {
    elector: Elector,
    rate: f64,
    /// The process is frozen until then; the network is not.
    frozen_until: u64,
    next_look: u64,
    under_way: Option<UnderWay>,
    writes: u64,
}

struct UnderWay {
    sent: Duration,
    precondition: u64,
    arrives: u64,
    /// When the answer comes, and the version that was written; none if it was refused or the answer got lost.
    answer: Option<(u64, Option<u64>)>,
}

impl Candidate {
    fn new(name: &str, rate: f64) -> Self {
        let elector = Elector::new(name.into(), TIMINGS);
        Self {
            elector,
            rate,
            frozen_until: 0,
            next_look: 0,
            under_way: None,
            writes: 0,
        }
    }

    fn clock(&self, tick: u64) -> Duration {
        Duration::from_secs(1000) + Duration::from_millis(tick * TICK).mul_f64(self.rate)
    }

    fn tick(&mut self, tick: u64, server: &mut Server, chance: &mut impl FnMut(u64) -> u64) {
        self.deliver(tick, server, chance);
        // About once in twenty seconds the process freezes, for up to a minute.
        if chance(200) == 0 {
            self.frozen_until = self.frozen_until.max(tick + chance(600));
        }
        if tick < self.frozen_until {
            return;
        }
        match &self.under_way {
            Some(UnderWay {
                answer: Some((answered, version)),
                sent,
                ..
            }) if tick >= *answered => {
                if let Some(version) = version {
                    self.elector.wrote(*sent, *version);
                }
                self.under_way = None;
            }
            None if tick >= self.next_look => self.look(tick, server, chance),
            _ => {}
        }
    }

    /// The network's part: a request arrives, whether its sender is frozen or not.
    fn deliver(&mut self, tick: u64, server: &mut Server, chance: &mut impl FnMut(u64) -> u64) {
        let Some(write) = self
            .under_way
            .as_mut()
            .filter(|write| write.answer.is_none() && tick >= write.arrives)
        else {
            return;
        };
        self.writes += 1;
        let renewed = Some(self.writes.to_string());
        let record = Record {
            holder: Some(self.elector.identity().into()),
            duration: at(15),
            renewed,
        };
        let lost = chance(5) == 0;
        let version = server.write(write.precondition, record).filter(|_| !lost);
        write.answer = Some((tick + delay(chance), version));
    }

    fn look(&mut self, tick: u64, server: &Server, chance: &mut impl FnMut(u64) -> u64) {
        let now = self.clock(tick);
        self.next_look = tick + 20;
        if self.elector.observe(now, server.record.as_ref()) != Step::Wait {
            let arrives = tick + delay(chance);
            self.under_way = Some(UnderWay {
                sent: now,
                precondition: server.version,
                arrives,
                answer: None,
            });
        }
    }
}

/// A request or an answer takes no time mostly, and up to five seconds in one case of four.
fn delay(chance: &mut impl FnMut(u64) -> u64) -> u64 {
    if chance(4) == 0 { chance(50) } else { 0 }
}

/// Milliseconds of real time between two steps of the simulation.
const TICK: u64 = 100;

proptest! {
    /// Clocks run between 10 % slow and 10 % fast, requests take seconds, answers get lost, processes freeze for a minute.
    #[test]
    fn two_candidates_never_lead_at_once(seed in any::<u64>(), rates in (0.9..1.1_f64, 0.9..1.1_f64)) {
        let mut state = seed | 1;
        let mut chance = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % bound
        };
        let mut server = Server::default();
        let (mut a, mut b) = (Candidate::new("a", rates.0), Candidate::new("b", rates.1));
        let mut epochs = Vec::new();
        for tick in 0..6_000 {
            a.tick(tick, &mut server, &mut chance);
            b.tick(tick, &mut server, &mut chance);
            let terms = [&a, &b].map(|candidate| candidate.elector.term(candidate.clock(tick)));
            prop_assert!(terms.iter().flatten().count() <= 1, "both lead at {tick}: {terms:?}");
            if let Some(term) = terms.into_iter().flatten().next() && epochs.last() != Some(&term.epoch) {
                epochs.push(term.epoch);
            }
        }
        prop_assert!(!epochs.is_empty(), "nobody ever led");
        prop_assert!(epochs.is_sorted(), "an epoch came back: {epochs:?}");
    }
}
