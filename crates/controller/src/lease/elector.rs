//! Who leads: the decisions of one candidate for a Lease. Pure: what the Lease said and a monotonic clock go in, the next
//! write comes out.
//!
//! Two candidates never both lead, whatever the network does, because the holder stops believing in its Lease *before* the others
//! stop: it counts the renew deadline from the moment before it sent its last successful write, the others count the (longer) lease
//! duration from the moment after they first saw that write. Nobody compares another machine's wall clock with its own.

use std::time::Duration;

/// How long a Lease lasts and how often it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How long others wait after the last change that they saw before they take the Lease.
    pub lease_duration: Duration,
    /// How long the holder leads after its last successful write was sent.
    pub renew_deadline: Duration,
    /// How often every candidate looks, and the holder renews.
    pub retry_period: Duration,
}

impl Timings {
    /// Whether these timings keep two candidates from leading at once and let one of them lead at all.
    ///
    /// # Errors
    /// [`InvalidTimings`] says which two are in the wrong order.
    pub fn checked(self) -> Result<Self, InvalidTimings> {
        if self.lease_duration < Duration::from_secs(1) || self.lease_duration.subsec_nanos() != 0 {
            return Err(InvalidTimings::LeaseDuration);
        }
        if self.renew_deadline >= self.lease_duration {
            return Err(InvalidTimings::RenewDeadline);
        }
        if self.retry_period.is_zero() || self.retry_period.saturating_mul(2) > self.renew_deadline {
            return Err(InvalidTimings::RetryPeriod);
        }
        Ok(self)
    }
}

/// Timings that don't fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimings {
    /// A Lease stores whole seconds.
    #[error("--leader-elect-lease-duration must be whole seconds, and one at least")]
    LeaseDuration,
    /// Two controllers could lead at once.
    #[error("--leader-elect-renew-deadline must be shorter than --leader-elect-lease-duration")]
    RenewDeadline,
    /// One failed request would end the leadership.
    #[error("--leader-elect-retry-period must be more than 0 and at most half of --leader-elect-renew-deadline")]
    RetryPeriod,
}

/// What a Lease says, as far as it matters to who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; none after a release.
    pub holder: Option<String>,
    /// How long its holder asks others to wait; zero if it doesn't say.
    pub duration: Duration,
    /// When its holder wrote last, by the holder's clock: it is compared for equality only.
    pub renewed: Option<String>,
}

/// What to do about the Lease now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write our name into it (or create it): we don't lead yet.
    Acquire,
    /// Write our name into it again: we lead.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// A time of leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The resourceVersion that the acquiring write returned: it grows from term to term.
    pub epoch: u64,
    /// When it ends unless it is renewed before, on the monotonic clock.
    pub until: Duration,
}

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    timings: Timings,
    /// The last record of somebody else, and when we first saw it.
    rival: Option<(Record, Duration)>,
    term: Option<Term>,
}

impl Elector {
    /// A candidate that leads nothing. `identity` must be unique to this process, or two would share a term.
    #[must_use]
    pub const fn new(identity: String, timings: Timings) -> Self {
        Self {
            identity,
            timings,
            rival: None,
            term: None,
        }
    }

    /// The name that this candidate writes into the Lease.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do, given what the Lease says now (nothing if there is none).
    pub fn observe(&mut self, now: Duration, lease: Option<&Record>) -> Step {
        let Some(record) = lease else {
            return self.claim(now);
        };
        let Some(holder) = &record.holder else {
            return self.claim(now);
        };
        if *holder == self.identity {
            return self.claim(now);
        }
        // Somebody else took it: whatever we believed is over.
        self.term = None;
        match &self.rival {
            Some((seen, since)) if seen == record => {
                if now.saturating_sub(*since) >= self.patience(record) {
                    Step::Acquire
                } else {
                    Step::Wait
                }
            }
            _ => {
                self.rival = Some((record.clone(), now));
                Step::Wait
            }
        }
    }

    /// Our write succeeded: it was sent at `sent` and the Lease's resourceVersion is `version` now.
    pub fn wrote(&mut self, sent: Duration, version: u64) {
        self.rival = None;
        let until = sent.saturating_add(self.timings.renew_deadline);
        self.term = Some(match self.term(sent) {
            Some(term) => Term { until, ..term },
            None => Term { epoch: version, until },
        });
    }

    /// The term that we are in, if any.
    #[must_use]
    pub fn term(&self, now: Duration) -> Option<Term> {
        self.term.filter(|term| now < term.until)
    }

    /// We lead no longer, by our own will.
    pub fn resign(&mut self) {
        self.term = None;
    }

    fn claim(&self, now: Duration) -> Step {
        if self.term(now).is_some() {
            Step::Renew
        } else {
            Step::Acquire
        }
    }

    /// How long a record must stay unchanged before it counts as abandoned: what its holder asked for, which may be another
    /// version of this program with other timings.
    fn patience(&self, record: &Record) -> Duration {
        if record.duration.is_zero() {
            self.timings.lease_duration
        } else {
            record.duration
        }
    }
}

#[cfg(test)]
mod tests;
