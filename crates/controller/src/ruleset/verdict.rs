//! From how a revision's delivery goes to what the RuleSet's status should say. Pure.

use std::time::Duration;

use coraza_ruleset::Revision;

use crate::publish::Delivery;

/// How long the caches may take to answer before those that did count as all: one status write per revision, not one per cache.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What a status says of a revision whose content is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A cache serves it: Ready.
    Cached,
    /// No cache has it and none is there to take it.
    AwaitingCache,
    /// Every cache that answered refused it, for these reasons.
    Rejected(Vec<String>),
    /// Nobody can say yet: the status stays, unless it says nothing at all. Look again after this long, if nothing happens before.
    Undecided(Option<Duration>),
}

/// Judges a revision by what the caches answered, `age` after it was published by this process.
///
/// `ready` is the revision that the RuleSet's Ready condition was True for. One that is Ready stays so while a new good revision is under way, and one that was Ready for this very revision before
/// this process started stays so without being asked again.
#[must_use]
pub fn judge(delivery: &Delivery, ready: Option<Revision>, age: Duration) -> Verdict {
    let in_time = age < ANSWER_TIME;
    if ready == Some(delivery.revision) && (delivery.nacked.is_empty() || in_time) {
        return Verdict::Cached;
    }
    let all_answered = delivery.connected > 0 && delivery.is_settled();
    if in_time && !all_answered {
        return Verdict::Undecided(Some(ANSWER_TIME.saturating_sub(age)));
    }
    if delivery.acked > 0 {
        return Verdict::Cached;
    }
    if !delivery.nacked.is_empty() {
        let reasons = delivery
            .nacked
            .iter()
            .map(|nack| format!("{}: {}", nack.replica, nack.detail));
        return Verdict::Rejected(reasons.collect());
    }
    // Nobody answered. Whoever is Ready stays it, for the last revision is served somewhere; all others wait for a cache.
    if ready.is_some() && delivery.ever_connected {
        Verdict::Undecided(None)
    } else {
        Verdict::AwaitingCache
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::Nack;
    use coraza_ruleset::{Digest, Timestamp};

    fn revision(number: u8) -> Revision {
        Revision {
            digest: Digest::new([number; 32]),
            timestamp: Timestamp::from_unix_nanos(number.into()),
        }
    }

    fn delivery(connected: usize, acked: usize, nacked: usize) -> Delivery {
        let nack = |number| Nack {
            replica: format!("cache-{number}"),
            detail: "too large".into(),
        };
        Delivery {
            revision: revision(2),
            bytes: 1,
            connected,
            acked,
            nacked: (0..nacked).map(nack).collect(),
            ever_connected: connected > 0,
        }
    }

    #[test]
    fn one_verdict_per_revision_when_all_answered_or_time_is_up() {
        let rejected = || Verdict::Rejected(vec!["cache-0: too large".into()]);
        let rest = |seconds| Verdict::Undecided(Some(Duration::from_secs(seconds)));
        let (never, before, this) = (None, Some(revision(1)), Some(revision(2)));
        for (answers, ready, seconds, verdict) in [
            ((0, 0, 0), never, 0, rest(5)),
            ((0, 0, 0), never, 5, Verdict::AwaitingCache),
            ((0, 0, 0), before, 9, Verdict::AwaitingCache),
            ((0, 0, 0), this, 0, Verdict::Cached),
            ((2, 0, 0), never, 0, rest(5)),
            ((2, 1, 0), never, 1, rest(4)),
            ((2, 1, 0), before, 5, Verdict::Cached),
            ((2, 2, 0), never, 0, Verdict::Cached),
            ((2, 1, 1), never, 0, Verdict::Cached),
            ((1, 0, 1), never, 0, rejected()),
            ((2, 0, 1), before, 4, rest(1)),
            ((2, 0, 1), before, 5, rejected()),
            ((1, 0, 1), this, 0, Verdict::Cached),
            ((1, 0, 1), this, 5, rejected()),
            ((2, 0, 0), never, 5, Verdict::AwaitingCache),
            ((2, 0, 0), before, 5, Verdict::Undecided(None)),
        ] {
            let (connected, acked, nacked) = answers;
            let judged = judge(&delivery(connected, acked, nacked), ready, Duration::from_secs(seconds));
            assert_eq!(judged, verdict, "{answers:?} {ready:?} {seconds}");
        }
    }

    #[test]
    fn caches_that_went_away_do_not_flip_a_status() {
        let gone = Delivery {
            ever_connected: true,
            ..delivery(0, 0, 0)
        };
        assert_eq!(judge(&gone, Some(revision(1)), ANSWER_TIME), Verdict::Undecided(None));
        assert_eq!(judge(&gone, None, ANSWER_TIME), Verdict::AwaitingCache);
    }
}
