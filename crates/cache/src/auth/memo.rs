//! `Memo`: reviews that need not be asked for again, for a while. Pure: the clock comes in as a value.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use coraza_ruleset::{RuleSetKey, TokenDigest};

use super::Refusal;
use super::token_review::Bearer;

/// How long a good token is believed without another look: as long as its revocation may go unseen.
const MAX_SUCCESS: Duration = Duration::from_secs(60);
/// How long a bad token is refused without another look: short, since a ServiceAccount may just be being made.
const FAILURE: Duration = Duration::from_secs(5);

/// Which token for which RuleSet. A token may have several audiences.
pub(super) type Subject = (TokenDigest, RuleSetKey);
/// What a review found.
pub(super) type Verdict = Result<Reviewed, Refusal>;

/// A token that the API server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reviewed {
    /// When it expires.
    pub expires: SystemTime,
    /// Whose it is.
    pub bearer: Bearer,
}

/// A bounded memory of verdicts, each for its time.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    verdicts: HashMap<Subject, Remembered>,
    capacity: usize,
}

#[derive(Debug, Clone)]
struct Remembered {
    verdict: Verdict,
    until: Instant,
}

impl Memo {
    /// A memory of at most `capacity` verdicts.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            verdicts: HashMap::new(),
            capacity,
        }
    }

    /// The verdict on `subject`, if there is one that still holds.
    pub(super) fn get(&self, subject: &Subject, now: Instant) -> Option<&Verdict> {
        self.verdicts
            .get(subject)
            .filter(|remembered| now < remembered.until)
            .map(|remembered| &remembered.verdict)
    }

    /// Remembers a verdict. When the memory is full, verdicts whose time is over go, else the one whose time is over first.
    pub(super) fn insert(&mut self, subject: Subject, verdict: Verdict, now: Instant, wall: SystemTime) {
        let Some(until) = lifetime(&verdict, wall).and_then(|lifetime| now.checked_add(lifetime)) else {
            return;
        };
        if self.verdicts.len() >= self.capacity && !self.verdicts.contains_key(&subject) {
            self.make_room(now);
        }
        self.verdicts.insert(subject, Remembered { verdict, until });
    }

    fn make_room(&mut self, now: Instant) {
        self.verdicts.retain(|_, remembered| now < remembered.until);
        if self.verdicts.len() < self.capacity {
            return;
        }
        let first = self.verdicts.iter().min_by_key(|(_, remembered)| remembered.until);
        if let Some(subject) = first.map(|(subject, _)| subject.clone()) {
            self.verdicts.remove(&subject);
        }
    }
}

/// How long a verdict holds, if at all: that the API server couldn't be asked says nothing about the token.
fn lifetime(verdict: &Verdict, wall: SystemTime) -> Option<Duration> {
    match verdict {
        Ok(reviewed) => Some(
            reviewed
                .expires
                .duration_since(wall)
                .unwrap_or_default()
                .min(MAX_SUCCESS),
        ),
        Err(Refusal::Exhausted { .. } | Refusal::Unavailable) => None,
        Err(_) => Some(FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(number: u8) -> Subject {
        (TokenDigest::of([number]), RuleSetKey::new("team", "crs").expect("key"))
    }

    fn access(expires_in: u64, wall: SystemTime) -> Verdict {
        Ok(Reviewed {
            expires: wall + Duration::from_secs(expires_in),
            bearer: Bearer::Account,
        })
    }

    #[test]
    fn verdicts_hold_for_their_time() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        for (verdict, holds) in [
            (access(3_600, wall), 60),
            (access(10, wall), 10),
            (access(0, wall), 0),
            (Err(Refusal::Unknown), 5),
            (Err(Refusal::OtherNamespace), 5),
            (Err(Refusal::Unavailable), 0),
            (
                Err(Refusal::Exhausted {
                    retry_after: Duration::from_secs(9),
                }),
                0,
            ),
        ] {
            let mut memo = Memo::new(1);
            memo.insert(subject(0), verdict, start, wall);
            let at = |millis: u64| memo.get(&subject(0), start + Duration::from_millis(millis)).is_some();
            assert!(!at(holds * 1_000), "{verdict:?}");
            assert_eq!(at((holds * 1_000).saturating_sub(1)), holds > 0, "{verdict:?}");
        }
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_nothing_outlives_its_time(
            capacity in 1_usize..5,
            steps in prop::collection::vec((0_u8..8, 0_u64..90, 0_u64..20, any::<bool>()), 1..60),
        ) {
            let (mut now, mut wall) = (Instant::now(), SystemTime::now());
            let mut memo = Memo::new(capacity);
            for (number, expires_in, pause, good) in steps {
                let verdict = if good { access(expires_in, wall) } else { Err(Refusal::Unknown) };
                let lifetime = if good { expires_in.min(60) } else { 5 };
                memo.insert(subject(number), verdict, now, wall);
                prop_assert!(memo.verdicts.len() <= capacity);
                prop_assert_eq!(memo.get(&subject(number), now).is_some(), lifetime > 0);
                now += Duration::from_secs(pause);
                wall += Duration::from_secs(pause);
                prop_assert_eq!(memo.get(&subject(number), now).is_some(), pause < lifetime);
            }
        }
    }
}
