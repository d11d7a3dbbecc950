//! From an outcome to a list of conditions. Pure: the same list comes back if nothing changed, and whoever writes compares.

use coraza_api::condition::condition_type::{DEGRADED, PROGRESSING, READY};
use coraza_api::status::condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::cut;

/// The longest message that the schema lets through, counted in bytes where the schema counts characters: never too long.
const MAX_MESSAGE: usize = 32_768;

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does its work.
    Ready,
    /// Work is under way, and what was wrong before may still be: Degraded stays as it is.
    Progressing,
    /// The object is good and waits for something outside of it: what was wrong before is not any more.
    Waiting,
    /// A person must act.
    Degraded,
    /// A person must act before anything is done for it: there is nothing that could be degraded.
    Rejected,
}

/// What becomes of a condition type.
enum Change {
    Set(&'static str),
    Remove,
    Keep,
}

impl State {
    /// What the state makes of Ready, Degraded and Progressing.
    const fn changes(self) -> [(&'static str, Change); 3] {
        use Change::{Keep, Remove, Set};
        let (ready, degraded, progressing) = match self {
            Self::Ready => ("True", Remove, Remove),
            Self::Progressing => ("False", Keep, Set("True")),
            Self::Waiting => ("False", Remove, Set("True")),
            Self::Degraded => ("False", Set("True"), Remove),
            Self::Rejected => ("False", Remove, Remove),
        };
        [(READY, Set(ready)), (DEGRADED, degraded), (PROGRESSING, progressing)]
    }
}

/// A state, why, and in a sentence what it is about and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where the object stands.
    pub state: State,
    /// One of `coraza_api::condition::reason`.
    pub reason: &'static str,
    /// At most as long as a condition's message may be.
    pub message: String,
}

impl Outcome {
    /// An outcome; a message that is too long is cut.
    #[must_use]
    pub fn new(state: State, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason,
            message: cut(message.into(), MAX_MESSAGE),
        }
    }

    /// The conditions of an object, whose conditions were `current`, when this was found for its `generation`. Conditions of
    /// other types stay. A condition's time changes with its status only.
    #[must_use]
    pub fn apply(&self, current: &[Condition], generation: i64, now: &Time) -> Vec<Condition> {
        let mut conditions = current.to_vec();
        for (condition_type, change) in self.state.changes() {
            match change {
                Change::Keep => {}
                Change::Remove => conditions.retain(|condition| condition.type_ != condition_type),
                Change::Set(status) => set(&mut conditions, self.condition(condition_type, status, generation, now)),
            }
        }
        conditions
    }

    /// Whether conditions say this already, whatever they were found for: then there is nothing to tell anybody.
    #[must_use]
    pub fn is_said_by(&self, current: &[Condition]) -> bool {
        condition(current, READY).is_some_and(|ready| {
            let status = if self.state == State::Ready { "True" } else { "False" };
            // A RuleSet that goes on being ready with other content is no news. One that is broken in another way is.
            let broken = matches!(self.state, State::Degraded | State::Rejected);
            let message = !broken || ready.message == self.message;
            ready.status == status && ready.reason == self.reason && message
        })
    }

    fn condition(&self, condition_type: &str, status: &str, generation: i64, now: &Time) -> Condition {
        Condition {
            type_: condition_type.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: now.clone(),
        }
    }
}

/// Puts a condition into the place of the one of its type, with that one's time if the status is the same.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|current| current.type_ == condition.type_) {
        Some(current) => {
            if current.status == condition.status {
                condition.last_transition_time = current.last_transition_time.clone();
            }
            *current = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    /// `type=status reason observedGeneration @second`, which is all that a condition has but its message.
    fn shown(conditions: &[Condition]) -> Vec<String> {
        let show = |condition: &Condition| {
            let Condition {
                type_,
                status,
                reason,
                message: _,
                observed_generation,
                last_transition_time,
            } = condition;
            format!(
                "{type_}={status} {reason} {} @{}",
                observed_generation.unwrap(),
                last_transition_time.0.as_second()
            )
        };
        conditions.iter().map(show).collect()
    }

    fn outcome(state: State, reason: &'static str) -> Outcome {
        Outcome::new(state, reason, format!("because of {reason}"))
    }

    fn walk(steps: &[(State, &'static str, i64)]) -> Vec<Condition> {
        let step = |conditions: Vec<Condition>,
                    (second, (state, reason, generation)): (usize, &(State, &'static str, i64))| {
            outcome(*state, reason).apply(&conditions, *generation, &at(i64::try_from(second).unwrap()))
        };
        steps.iter().enumerate().fold(Vec::new(), step)
    }

    #[test]
    fn states_lead_to_conditions() {
        use State::{Degraded, Progressing, Ready, Waiting};
        type Steps = &'static [(State, &'static str, i64)];
        let table: [(Steps, &[&str]); 11] = [
            (&[(Ready, "A", 1)], &["Ready=True A 1 @0"]),
            (
                &[(Progressing, "A", 1)],
                &["Ready=False A 1 @0", "Progressing=True A 1 @0"],
            ),
            (&[(Waiting, "A", 1)], &["Ready=False A 1 @0", "Progressing=True A 1 @0"]),
            (&[(Degraded, "A", 1)], &["Ready=False A 1 @0", "Degraded=True A 1 @0"]),
            (&[(Progressing, "A", 1), (Ready, "B", 1)], &["Ready=True B 1 @1"]),
            (
                &[(Progressing, "A", 1), (Degraded, "B", 1)],
                &["Ready=False B 1 @0", "Degraded=True B 1 @1"],
            ),
            (&[(Degraded, "A", 1), (Ready, "B", 2)], &["Ready=True B 2 @1"]),
            (
                &[(Degraded, "A", 1), (Progressing, "B", 2)],
                &["Ready=False B 2 @0", "Degraded=True A 1 @0", "Progressing=True B 2 @1"],
            ),
            (
                &[(Degraded, "A", 1), (Waiting, "B", 2)],
                &["Ready=False B 2 @0", "Progressing=True B 2 @1"],
            ),
            (
                &[(Degraded, "A", 1), (Degraded, "B", 1)],
                &["Ready=False B 1 @0", "Degraded=True B 1 @0"],
            ),
            (&[(Ready, "A", 1), (Ready, "A", 2)], &["Ready=True A 2 @0"]),
        ];
        for (steps, expected) in table {
            assert_eq!(shown(&walk(steps)), expected, "{steps:?}");
        }
    }

    #[test]
    fn conditions_of_other_types_stay() {
        let mut conditions = walk(&[(State::Degraded, "A", 1)]);
        let enforced = Condition {
            type_: "Enforced".into(),
            ..conditions[0].clone()
        };
        conditions.insert(0, enforced.clone());
        let ready = outcome(State::Ready, "B").apply(&conditions, 2, &at(9));
        assert_eq!(shown(&ready), ["Enforced=False A 1 @0", "Ready=True B 2 @9"]);
        assert_eq!(ready[0], enforced);
    }

    #[test]
    fn news_is_another_status_another_reason_or_another_fault() {
        let said = walk(&[(State::Ready, "A", 1)]);
        assert!(outcome(State::Ready, "A").is_said_by(&said));
        assert!(Outcome::new(State::Ready, "A", "other content").is_said_by(&said));
        assert!(!outcome(State::Ready, "B").is_said_by(&said));
        assert!(!outcome(State::Degraded, "A").is_said_by(&said));
        assert!(!outcome(State::Ready, "A").is_said_by(&[]));
        let broken = walk(&[(State::Degraded, "A", 1)]);
        assert!(outcome(State::Degraded, "A").is_said_by(&broken));
        assert!(!Outcome::new(State::Degraded, "A", "another line").is_said_by(&broken));
    }

    #[test]
    fn messages_fit_the_schema() {
        assert_eq!(
            Outcome::new(State::Degraded, "A", "ä".repeat(20_000)).message.len(),
            32_767
        );
    }

    fn states() -> impl Strategy<Value = Vec<(State, &'static str, i64)>> {
        let state = prop::sample::select(vec![State::Ready, State::Progressing, State::Waiting, State::Degraded]);
        prop::collection::vec((state, prop::sample::select(vec!["A", "B"]), 1_i64..4), 1..8)
    }

    proptest! {
        #[test]
        fn the_same_outcome_twice_changes_nothing(steps in states()) {
            let (state, reason, generation) = *steps.last().unwrap();
            let conditions = walk(&steps);
            prop_assert_eq!(outcome(state, reason).apply(&conditions, generation, &at(99)), conditions);
        }

        #[test]
        fn ready_is_always_said_and_never_together_with_a_fault(steps in states()) {
            let conditions = walk(&steps);
            let ready = condition(&conditions, READY).unwrap();
            prop_assert!(ready.status == "False" || conditions.len() == 1);
            prop_assert!(outcome(steps.last().unwrap().0, steps.last().unwrap().1).is_said_by(&conditions));
        }
    }
}
