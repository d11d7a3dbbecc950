//! `Reviews`: when the API server may be asked about a token. One review at a time per token, and so many a second. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::memo::Subject;

/// How many reviews a second one cache asks for: a burst of new pods gets through, a flood of invented tokens can't use up
/// what the API server gives all of its clients.
const PER_SECOND: usize = 20;
const SECOND: Duration = Duration::from_secs(1);

/// What is being reviewed, who waits for it, and what may still be asked for.
#[derive(Debug)]
pub(super) struct Reviews<W> {
    waiting: HashMap<Subject, Vec<W>>,
    /// When the reviews of the last second began, the earliest first: no second, wherever it begins, has more than its share.
    begun: VecDeque<Instant>,
}

/// What becomes of a request for a review.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision<W> {
    /// Ask the API server now, then [`finish`](Reviews::finish).
    Start,
    /// The answer to an earlier request will do.
    Join,
    /// No permit is left until then.
    Exhausted {
        /// Who asked.
        waiter: W,
        /// When there will be a permit.
        retry_after: Duration,
    },
}

impl<W> Reviews<W> {
    pub(super) fn new() -> Self {
        Self {
            waiting: HashMap::new(),
            begun: VecDeque::with_capacity(PER_SECOND),
        }
    }

    /// Somebody wants `subject` reviewed.
    pub(super) fn request(&mut self, subject: &Subject, waiter: W, now: Instant) -> Decision<W> {
        if let Some(waiting) = self.waiting.get_mut(subject) {
            waiting.push(waiter);
            return Decision::Join;
        }
        self.begun
            .retain(|begun| now.saturating_duration_since(*begun) < SECOND);
        if self.begun.len() >= PER_SECOND {
            let first = self.begun.front().copied().unwrap_or(now);
            let retry_after = SECOND.saturating_sub(now.saturating_duration_since(first));
            return Decision::Exhausted { waiter, retry_after };
        }
        self.begun.push_back(now);
        self.waiting.insert(subject.clone(), vec![waiter]);
        Decision::Start
    }

    /// The review of `subject` has ended: these wait for it.
    pub(super) fn finish(&mut self, subject: &Subject) -> Vec<W> {
        self.waiting.remove(subject).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_ruleset::{RuleSetKey, TokenDigest};
    use proptest::prelude::*;

    fn subject(number: u32) -> Subject {
        (
            TokenDigest::of(number.to_be_bytes()),
            RuleSetKey::new("team", "crs").expect("key"),
        )
    }

    #[test]
    fn a_token_is_reviewed_once_for_all_who_wait() {
        let now = Instant::now();
        let mut reviews = Reviews::new();
        assert_eq!(reviews.request(&subject(1), 'a', now), Decision::Start);
        assert_eq!(reviews.request(&subject(1), 'b', now), Decision::Join);
        assert_eq!(reviews.request(&subject(2), 'c', now), Decision::Start);
        assert_eq!(reviews.finish(&subject(1)), ['a', 'b']);
        assert_eq!(reviews.finish(&subject(1)), []);
        assert_eq!(reviews.request(&subject(1), 'd', now), Decision::Start);
    }

    #[test]
    fn joining_costs_no_permit_and_the_refusal_says_when_to_return() {
        let now = Instant::now();
        let mut reviews = Reviews::new();
        for number in 0..PER_SECOND {
            let number = u32::try_from(number).expect("small");
            assert_eq!(reviews.request(&subject(number), (), now), Decision::Start);
            assert_eq!(reviews.request(&subject(number), (), now), Decision::Join);
        }
        let retry_after = SECOND;
        assert_eq!(
            reviews.request(&subject(99), (), now),
            Decision::Exhausted {
                waiter: (),
                retry_after
            }
        );
        assert_eq!(reviews.request(&subject(99), (), now + retry_after), Decision::Start);
    }

    proptest! {
        #[test]
        fn never_more_than_a_second_worth_in_a_second(pauses in prop::collection::vec(0_u64..200, 1..200)) {
            let start = Instant::now();
            let mut reviews = Reviews::new();
            let (mut now, mut started) = (start, Vec::new());
            for (number, pause) in pauses.into_iter().enumerate() {
                now += Duration::from_millis(pause);
                if reviews.request(&subject(u32::try_from(number).expect("small")), (), now) == Decision::Start {
                    started.push(now);
                }
            }
            for first in &started {
                let within = started.iter().filter(|at| **at >= *first && **at < *first + Duration::from_secs(1)).count();
                prop_assert!(within <= PER_SECOND, "{}", within);
            }
        }
    }
}
