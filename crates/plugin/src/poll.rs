//! `Poller`: when to ask the cache for what, and what its answers mean. Pure: a clock and answers in, requests and verdicts out.
//!
//! ```text
//! no rules yet: GET /rules/<key> ──▶ load
//! then:         GET /rules/<key>/latest, If-None-Match, Prefer: wait=N ──304─▶ again
//!                  └─200, another revision─▶ GET /rules/<key> ──▶ load
//! ```
//!
//! Times are nanoseconds since 1970, as the host has them. Every failure backs off; nothing makes two polls follow each other
//! closer than [`MIN_GAP`].

mod answer;
mod backoff;
mod body;

use std::time::Duration;

pub use answer::{Answer, Content, Failure, Received, SourceLines, decode, decode_stored};
use backoff::backoff;

use crate::revision::Revision;

/// The least time between two polls: a cache that answers at once all the time is asked ten times a second.
const MIN_GAP: u64 = 100 * MILLISECOND;
/// The longest wait that is asked for, as caches grant none longer by default.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long an answer may take beyond the wait; the Go plugin's time-out.
const PATIENCE: u64 = 2_000 * MILLISECOND;
/// How long a whole RuleSet may take: it can be megabytes.
const RULES_PATIENCE: u64 = 10_000 * MILLISECOND;
/// Past its time-out by so much, an answer won't come: hosts drop calls of contexts that they replaced without a word.
const LOST: u64 = 3_000 * MILLISECOND;
/// A wait that ends sooner was not one.
const SHORT: u64 = 1_000 * MILLISECOND;
/// So many waits in a row that something cut mean that something between here and the cache has its own idea of time.
const MAX_CUTS: u32 = 3;
/// How long no wait is asked for then.
const WITHOUT_WAITS: u64 = 600_000 * MILLISECOND;
/// The longest back-off before the first rules.
const MAX_BACKOFF: u64 = 5_000 * MILLISECOND;

const MILLISECOND: u64 = 1_000_000;
const NEVER: u64 = u64::MAX;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Which revision is the latest.
    Latest,
    /// The latest revision itself.
    Rules,
}

/// A request that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub want: Want,
    /// The entity tag of what is known.
    pub if_none_match: Option<String>,
    /// How many seconds the cache may wait for news.
    pub wait: Option<u64>,
    /// The call's time-out, in milliseconds.
    pub timeout: u32,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is none that is waited for.
    Unexpected,
    /// Nothing to do.
    Unchanged,
    /// The same rules became current anew.
    Renewed(Revision),
    /// There are others, which are asked for next.
    Changed,
    /// These are to be loaded.
    Load(Revision),
    /// A wait was cut; that is no failure.
    Cut,
    /// Nothing can be done with it.
    Failed(Failure),
}

/// The state between two polls.
#[derive(Debug)]
pub struct Poller {
    interval: Option<Duration>,
    /// What requests are inspected with.
    held: Option<Revision>,
    /// What is being loaded.
    loading: Option<Revision>,
    /// What couldn't be loaded: not to be tried again.
    refused: Option<Revision>,
    want: Want,
    due: u64,
    call: Option<InFlight>,
    failures: u32,
    cuts: u32,
    /// Until when no waits are asked for.
    plain_until: u64,
}

#[derive(Debug)]
struct InFlight {
    token: u32,
    sent: u64,
    lost: u64,
    request: Request,
}

impl Poller {
    /// One that is due at once.
    #[must_use]
    pub const fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            held: None,
            loading: None,
            refused: None,
            want: Want::Rules,
            due: 0,
            call: None,
            failures: 0,
            cuts: 0,
            plain_until: 0,
        }
    }

    /// Begins anew with another configuration: what is known stays known, what is under way is forgotten.
    pub fn reconfigure(&mut self, interval: Option<Duration>) {
        let known = Self {
            held: self.held.take(),
            loading: self.loading.take(),
            refused: self.refused.take(),
            ..Self::new(interval)
        };
        *self = known;
        self.ask_latest(0);
    }

    /// When the next poll is due; [`u64::MAX`] if none is, or one is under way.
    #[must_use]
    pub fn due(&self) -> u64 {
        if self.call.is_some() { NEVER } else { self.due }
    }

    /// The request to send now, if one is due.
    #[must_use]
    pub fn next(&self, now: u64) -> Option<Request> {
        if self.call.is_some() || now < self.due {
            return None;
        }
        if self.want == Want::Rules {
            let (if_none_match, wait) = (None, None);
            return Some(Request {
                want: Want::Rules,
                if_none_match,
                wait,
                timeout: milliseconds(RULES_PATIENCE),
            });
        }
        let known = self.known();
        let wait = self
            .interval
            .map_or(MAX_WAIT, |interval| interval.min(MAX_WAIT))
            .as_secs();
        let wait = (known.is_some() && now >= self.plain_until).then_some(wait);
        let patience = PATIENCE.saturating_add(wait.unwrap_or_default().saturating_mul(1_000 * MILLISECOND));
        Some(Request {
            want: Want::Latest,
            if_none_match: known.map(Revision::etag),
            wait,
            timeout: milliseconds(patience),
        })
    }

    /// The request was sent; its answer will have this number.
    pub fn sent(&mut self, now: u64, token: u32, request: Request) {
        let lost = now
            .saturating_add(u64::from(request.timeout) * MILLISECOND)
            .saturating_add(LOST);
        self.call = Some(InFlight {
            token,
            sent: now,
            lost,
            request,
        });
    }

    /// The host refused to send it.
    pub fn refused_to_send(&mut self, now: u64, random: u64) {
        self.back_off(now, random);
    }

    /// Gives up on an answer that should have come long ago; whether there was one.
    pub fn give_up(&mut self, now: u64, random: u64) -> bool {
        let lost = self.call.as_ref().is_some_and(|call| now > call.lost);
        if lost {
            self.call = None;
            self.back_off(now, random);
        }
        lost
    }

    /// What the answer with this number is to.
    #[must_use]
    pub fn expects(&self, token: u32) -> Option<Want> {
        self.call
            .as_ref()
            .filter(|call| call.token == token)
            .map(|call| call.request.want)
    }

    /// An answer.
    pub fn answered(&mut self, now: u64, token: u32, answer: &Answer, random: u64) -> Verdict {
        let Some(call) = self.call.take_if(|call| call.token == token) else {
            return Verdict::Unexpected;
        };
        let elapsed = now.saturating_sub(call.sent);
        if let Answer::Failed(failure) = answer {
            return self.failed(now, &call, elapsed, failure, random);
        }
        self.cuts = 0;
        match answer {
            Answer::NotModified { waited } => {
                self.unchanged(now, &call, *waited, random);
                Verdict::Unchanged
            }
            Answer::Latest(revision) => self.latest(now, &call, revision, random),
            Answer::Rules(revision) => self.rules(now, revision, random),
            Answer::Failed(_) => Verdict::Unexpected,
        }
    }

    /// The revision is what requests are inspected with now: it was loaded here, or comes from another worker.
    pub fn hold(&mut self, revision: Revision, now: u64) {
        self.loading.take_if(|loading| loading.uuid == revision.uuid);
        self.refused = None;
        self.held = Some(revision);
        if self.call.is_none() && self.loading.is_none() {
            self.ask_latest(now.saturating_add(MIN_GAP));
        }
    }

    /// The revision can't be loaded.
    pub fn refuse(&mut self, revision: Revision) {
        self.loading.take_if(|loading| loading.uuid == revision.uuid);
        self.refused = Some(revision);
    }

    /// Whether a revision is worth loading: another one, not older, not one that was refused.
    #[must_use]
    pub fn wants(&self, revision: &Revision) -> bool {
        let is = |other: &Option<Revision>| other.as_ref().is_some_and(|other| other.uuid == revision.uuid);
        !is(&self.held) && !is(&self.refused) && !is(&self.loading) && !self.is_stale(revision)
    }

    /// The revision that others gave us is being loaded.
    pub fn load(&mut self, revision: Revision) {
        self.loading = Some(revision);
    }

    fn is_stale(&self, revision: &Revision) -> bool {
        [&self.held, &self.loading]
            .into_iter()
            .flatten()
            .any(|known| revision.is_older_than(known))
    }

    /// The latest revision that is known, good or bad.
    fn known(&self) -> Option<&Revision> {
        [&self.held, &self.refused, &self.loading]
            .into_iter()
            .flatten()
            .max_by_key(|known| known.timestamp)
    }

    fn ask_latest(&mut self, due: u64) {
        self.want = if self.known().is_some() {
            Want::Latest
        } else {
            Want::Rules
        };
        self.due = match (self.interval, &self.held) {
            // Polling is off: only the first rules are asked for.
            (None, Some(_)) => NEVER,
            _ => due,
        };
    }

    fn unchanged(&mut self, now: u64, call: &InFlight, waited: bool, random: u64) {
        let at_the_interval = call.sent.saturating_add(self.interval_nanos());
        if !waited || call.request.wait.is_none() {
            self.failures = 0;
            self.ask_latest(at_the_interval.max(now.saturating_add(MIN_GAP)));
        } else if now.saturating_sub(call.sent) < SHORT {
            // A cache that drains answers its waits, and one that lies answers anyhow.
            self.back_off(now, random);
        } else {
            self.failures = 0;
            self.ask_latest(now.saturating_add(MIN_GAP));
        }
    }

    fn latest(&mut self, now: u64, call: &InFlight, revision: &Revision, random: u64) -> Verdict {
        if self.is_stale(revision) {
            self.back_off(now, random);
            return Verdict::Failed(Failure::Stale);
        }
        if let Some(held) = self.held.as_mut().filter(|held| held.uuid == revision.uuid) {
            let renewed = held.is_older_than(revision);
            held.timestamp = held.timestamp.max(revision.timestamp);
            self.refused = None;
            self.unchanged(now, call, renewed, random);
            return if renewed {
                Verdict::Renewed(revision.clone())
            } else {
                Verdict::Unchanged
            };
        }
        if !self.wants(revision) {
            self.unchanged(now, call, false, random);
            return Verdict::Unchanged;
        }
        self.want = Want::Rules;
        self.due = now.max(call.sent.saturating_add(MIN_GAP));
        Verdict::Changed
    }

    fn rules(&mut self, now: u64, revision: &Revision, random: u64) -> Verdict {
        if self.is_stale(revision) {
            self.back_off(now, random);
            return Verdict::Failed(Failure::Stale);
        }
        if !self.wants(revision) {
            // What `/latest` announced isn't what is here: a replica that lags, or a cache that lies.
            self.back_off(now, random);
            return Verdict::Unchanged;
        }
        self.failures = 0;
        self.loading = Some(revision.clone());
        self.ask_latest(now.saturating_add(MIN_GAP));
        Verdict::Load(revision.clone())
    }

    fn failed(&mut self, now: u64, call: &InFlight, elapsed: u64, failure: &Failure, random: u64) -> Verdict {
        if call.request.wait.is_some() && elapsed >= SHORT && failure.may_be_a_cut() {
            self.cuts += 1;
            if self.cuts >= MAX_CUTS {
                self.cuts = 0;
                self.plain_until = now.saturating_add(WITHOUT_WAITS);
            }
            self.failures = 0;
            self.back_off(now, random);
            return Verdict::Cut;
        }
        self.back_off(now, random);
        Verdict::Failed(failure.clone())
    }

    fn back_off(&mut self, now: u64, random: u64) {
        self.failures = self.failures.saturating_add(1);
        let most = if self.held.is_some() {
            self.interval_nanos().max(MAX_BACKOFF)
        } else {
            MAX_BACKOFF
        };
        let delay = backoff(self.failures, MIN_GAP, most, random);
        self.ask_latest(now.saturating_add(delay));
    }

    fn interval_nanos(&self) -> u64 {
        self.interval.map_or(MAX_BACKOFF, |interval| {
            u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)
        })
    }
}

fn milliseconds(nanos: u64) -> u32 {
    u32::try_from(nanos / MILLISECOND).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
