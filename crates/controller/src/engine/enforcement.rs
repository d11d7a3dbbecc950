//! What the gateways enforce: their ready pods, what the data planes report, and the revision that they should run, by a clock. *Pure*.
//!
//! A pod that isn't current is *late* once it had a window's time (three poll intervals) to be: since it was ready, since the revision was
//! wanted, since this process leads and hears of data planes. Before, nothing is concluded, and what was said last is held: a restart, a
//! new revision and a pod that starts are no news.

mod status;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coraza_ruleset::{PollerId, RevisionTag, Running};
use uuid::Uuid;

use crate::publish::Poller;

pub use status::{Said, say};

/// The shortest window: caches report a data plane that goes on as it was every 5 s.
const MIN_WINDOW: Duration = Duration::from_secs(15);
/// How long a pod may be silent, at least, before Istio is made to push to it once more: a module takes a while to pull.
const MIN_PATIENCE: Duration = Duration::from_secs(60);
/// The longest time from one push to the next.
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);
/// How many pods a message names.
const NAMED: usize = 5;

/// A gateway pod that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What there is to see of an Engine.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The ready pods of its gateway.
    pub pods: &'a [Pod],
    /// The data planes that polled for it.
    pub pollers: &'a [Poller],
    /// What they should run.
    pub desired: Option<RevisionTag>,
    /// How often they should poll.
    pub interval: Duration,
    /// How many caches report.
    pub caches: usize,
    /// The time.
    pub now: Instant,
}

/// What is remembered of an Engine from one look to the next.
#[derive(Debug, Clone)]
pub struct Tracker {
    desired: Option<(Uuid, Instant)>,
    /// The ready pods.
    pods: BTreeMap<Arc<str>, Since>,
    /// Since when caches report without a break, or now if none does.
    heard_since: Instant,
    /// Since when no cache reports.
    deaf_since: Option<Instant>,
    pushes: Pushes,
    /// When the status was last to be written for its counts.
    counted: Instant,
}

/// Since when a pod is what it is.
#[derive(Debug, Clone, Copy)]
struct Since {
    ready: Instant,
    /// Since when it polls and isn't current, if it is so: whoever changes what he says faster than a window turns no condition.
    behind: Option<Instant>,
}

/// How often Istio was made to push in vain, and when it may be again.
#[derive(Debug, Clone, Copy)]
struct Pushes {
    vain: u32,
    not_before: Instant,
}

/// What follows from what is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Whether the pods enforce what they should.
    pub verdict: Verdict,
    /// How many pods should.
    pub expected: u32,
    /// How many do.
    pub current: u32,
    /// How many run something else.
    pub stale: u32,
    /// Whether Istio is to be made to push once more.
    pub redrive: bool,
    /// When something else may follow although nothing happens.
    pub again: Option<Duration>,
}

/// Whether the pods of an Engine enforce what they should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of them.
    Enforced,
    /// These don't, although they had the time.
    Late(Vec<Late>),
    /// There are none.
    NoPods,
    /// There is nothing that they could enforce.
    NoRevision,
    /// No cache says what they do.
    NoReports,
    /// All that could be are; of the others nobody knows what they run, as of the Go plugin after the caches were restarted.
    Unsaid,
    /// They may yet: what was said before is held.
    Pending,
}

/// A pod that had the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Which.
    pub pod: Arc<str>,
    /// What it runs instead; nothing if it doesn't poll.
    pub runs: Option<Running>,
}

/// What a pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Current,
    Stale(Running),
    Unsaid,
    Silent,
}

/// What a pod does, and since when it might do better.
struct Judged {
    evidence: Evidence,
    /// From when it had the time.
    late_from: Instant,
    /// From when its evidence is none any more.
    fades: Option<Instant>,
    /// Since when it says nothing.
    silent_since: Instant,
}

/// How long a pod may take to become current, or be silent while it is.
#[must_use]
pub fn window(interval: Duration) -> Duration {
    interval.saturating_mul(3).max(MIN_WINDOW)
}

/// How long a pod may be silent before Istio is made to push.
fn patience(interval: Duration) -> Duration {
    interval.saturating_mul(3).max(MIN_PATIENCE)
}

impl Tracker {
    /// An Engine that is looked at for the first time: since this process leads, or since there is the Engine.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            desired: None,
            pods: BTreeMap::new(),
            heard_since: now,
            deaf_since: None,
            pushes: Pushes {
                vain: 0,
                not_before: now,
            },
            counted: now,
        }
    }

    /// Looks at an Engine.
    pub fn assess(&mut self, observed: &Observed<'_>) -> Assessment {
        self.follow(observed);
        let judged = self.judge(observed);
        let count = |wanted: fn(&Evidence) -> bool| {
            let count = judged.iter().filter(|(_, judged)| wanted(&judged.evidence)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let verdict = self.verdict(&judged, observed);
        let redrive = self.redrive(&judged, observed);
        Assessment {
            verdict,
            expected: count(|_| true),
            current: count(|evidence| *evidence == Evidence::Current),
            stale: count(|evidence| matches!(evidence, Evidence::Stale(_))),
            redrive,
            again: self.again(&judged, observed),
        }
    }

    /// Takes in what changed since the last look.
    fn follow(&mut self, observed: &Observed<'_>) {
        let now = observed.now;
        let desired = observed.desired.map(|desired| desired.uuid);
        if self.desired.map(|(uuid, _)| uuid) != desired {
            self.desired = desired.map(|uuid| (uuid, now));
        }
        let before = std::mem::take(&mut self.pods);
        let new = Since {
            ready: now,
            behind: None,
        };
        let since = |pod: &Pod| before.get(&pod.name).copied().unwrap_or(new);
        self.pods = observed
            .pods
            .iter()
            .map(|pod| (Arc::clone(&pod.name), since(pod)))
            .collect();
        if observed.caches == 0 {
            self.deaf_since.get_or_insert(now);
        }
        if self.deaf_since.is_some() {
            self.heard_since = now;
        }
        if observed.caches > 0 {
            self.deaf_since = None;
        }
    }

    fn judge<'a>(&mut self, observed: &Observed<'a>) -> Vec<(&'a Pod, Judged)> {
        let window = window(observed.interval);
        let pollers: HashMap<&PollerId, &Poller> = observed.pollers.iter().map(|poller| (&poller.id, poller)).collect();
        let wanted_since = self.desired.map_or(observed.now, |(_, since)| since);
        let heard_since = self.heard_since;
        let judge = |pod: &'a Pod| {
            let since = self.pods.get_mut(&pod.name)?;
            let ready_since = since.ready;
            let named = pollers.get(&PollerId::Pod(Arc::clone(&pod.name)));
            let addresses = pod.addresses.iter();
            let polled = addresses.filter_map(|address| pollers.get(&PollerId::Address(*address)));
            let last = polled.chain(named).max_by_key(|poller| poller.seen);
            let fades = last.map(|last| last.seen + window);
            let fresh = last.filter(|last| observed.now < last.seen + window);
            let evidence = evidence(fresh.map(|last| last.running), observed.desired);
            let behind_since = match evidence {
                Evidence::Current => {
                    since.behind = None;
                    observed.now
                }
                // From when it was last seen on.
                Evidence::Silent => last.map_or(ready_since, |last| last.seen),
                Evidence::Stale(_) | Evidence::Unsaid => *since.behind.get_or_insert(observed.now),
            };
            let judged = Judged {
                evidence,
                late_from: ready_since.max(wanted_since).max(heard_since).max(behind_since) + window,
                fades: fades.filter(|fades| observed.now < *fades),
                silent_since: last
                    .map_or(ready_since, |last| last.seen.max(ready_since))
                    .max(heard_since),
            };
            Some((pod, judged))
        };
        observed.pods.iter().filter_map(judge).collect()
    }

    fn verdict(&self, judged: &[(&Pod, Judged)], observed: &Observed<'_>) -> Verdict {
        if judged.is_empty() {
            return Verdict::NoPods;
        }
        if observed.desired.is_none() {
            return Verdict::NoRevision;
        }
        let behind = || judged.iter().filter(|(_, judged)| judged.evidence != Evidence::Current);
        if behind().next().is_none() {
            return Verdict::Enforced;
        }
        if let Some(since) = self.deaf_since {
            let long = observed.now >= since + window(observed.interval);
            return if long { Verdict::NoReports } else { Verdict::Pending };
        }
        let late = behind().filter(|(_, judged)| observed.now >= judged.late_from);
        let late: Vec<_> = late
            .filter_map(|(pod, judged)| Late::of(pod, judged.evidence))
            .collect();
        if !late.is_empty() {
            return Verdict::Late(late);
        }
        if behind().any(|(_, judged)| observed.now < judged.late_from) {
            return Verdict::Pending;
        }
        Verdict::Unsaid
    }

    /// Whether Istio is to push once more: it retries a module that it failed to load only then.
    fn redrive(&mut self, judged: &[(&Pod, Judged)], observed: &Observed<'_>) -> bool {
        let silent = || judged.iter().filter(|(_, judged)| judged.evidence == Evidence::Silent);
        if silent().next().is_none() {
            self.pushes.vain = 0;
            return false;
        }
        let patience = patience(observed.interval);
        let long = silent().any(|(_, judged)| observed.now >= judged.silent_since + patience);
        if !long || observed.caches == 0 || observed.now < self.pushes.not_before {
            return false;
        }
        self.pushes.vain = self.pushes.vain.saturating_add(1);
        let backoff = patience
            .saturating_mul(1 << self.pushes.vain.min(6))
            .min(MAX_BACKOFF.max(patience));
        self.pushes.not_before = observed.now + backoff;
        true
    }

    fn again(&self, judged: &[(&Pod, Judged)], observed: &Observed<'_>) -> Option<Duration> {
        let now = observed.now;
        let next = judged.iter().filter_map(|(_, judged)| match judged.evidence {
            Evidence::Silent if observed.caches > 0 => {
                let push = (judged.silent_since + patience(observed.interval)).max(self.pushes.not_before);
                Some(
                    Some(judged.late_from)
                        .filter(|late| *late > now)
                        .map_or(push, |late| late.min(push)),
                )
            }
            Evidence::Current => judged.fades,
            Evidence::Silent | Evidence::Stale(_) | Evidence::Unsaid => [Some(judged.late_from), judged.fades]
                .into_iter()
                .flatten()
                .filter(|next| *next > now)
                .min(),
        });
        let deaf = self
            .deaf_since
            .map(|since| since + window(observed.interval))
            .filter(|until| *until > now);
        let next = next.chain(deaf).min()?;
        Some(next.saturating_duration_since(now).max(Duration::from_secs(1)))
    }
}

impl Late {
    fn of(pod: &Pod, evidence: Evidence) -> Option<Self> {
        let runs = match evidence {
            Evidence::Stale(running) => Some(running),
            Evidence::Silent => None,
            Evidence::Current | Evidence::Unsaid => return None,
        };
        Some(Self {
            pod: Arc::clone(&pod.name),
            runs,
        })
    }
}

fn evidence(running: Option<Running>, desired: Option<RevisionTag>) -> Evidence {
    match (running, desired) {
        (None, _) => Evidence::Silent,
        (Some(Running::Unknown), _) => Evidence::Unsaid,
        (Some(Running::Revision(tag)), Some(desired)) if tag.uuid == desired.uuid => Evidence::Current,
        (Some(running), _) => Evidence::Stale(running),
    }
}

#[cfg(test)]
mod tests;
