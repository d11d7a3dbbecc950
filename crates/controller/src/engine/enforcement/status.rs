//! What is said of the enforcement in an Engine's status, and how often. *Pure*.

use std::time::{Duration, Instant};

use coraza_api::condition::{condition_type, reason};
use coraza_api::engine::Enforcement;
use coraza_ruleset::{RevisionTag, Running};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Assessment, Late, NAMED, Tracker, Verdict};

/// How often counts alone are worth a write.
const COUNTS: Duration = Duration::from_secs(60);

/// What the status says of the enforcement.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The counts.
    pub enforcement: Option<Enforcement>,
    /// The condition.
    pub condition: Condition,
}

/// What the status is to say, given what it says. Transitions of the condition and a new revision are said at once, anything else at most
/// once a minute; then, when to look again is told too.
pub fn say(
    tracker: &mut Tracker,
    assessment: &Assessment,
    desired: Option<RevisionTag>,
    before: (Option<&Enforcement>, Option<&Condition>),
    (generation, wall, now): (Option<i64>, &Time, Instant),
) -> (Said, Option<Duration>) {
    let (counts, condition) = before;
    let next = condition_of(assessment, desired, condition, (generation, wall));
    let desired = desired.map(|desired| desired.uuid.to_string());
    let turned = condition.is_none_or(|before| (&before.status, &before.reason) != (&next.status, &next.reason));
    let replaced = counts.map(|counts| &counts.desired) != desired.as_ref();
    let enforcement = desired.map(|desired| Enforcement {
        since: match counts {
            Some(counts) if !turned && !replaced => counts.since.clone(),
            _ => wall.clone(),
        },
        desired,
        expected: assessment.expected,
        current: assessment.current,
        stale: assessment.stale,
    });
    let said = Said {
        enforcement,
        condition: next,
    };
    if turned || replaced {
        tracker.counted = now;
        return (said, None);
    }
    let same = said.enforcement.as_ref() == counts && Some(&said.condition) == condition;
    let due = tracker.counted + COUNTS;
    if same || now >= due {
        if !same {
            tracker.counted = now;
        }
        return (said, None);
    }
    let held = Said {
        enforcement: counts.cloned(),
        condition: condition.cloned().unwrap_or(said.condition),
    };
    (held, Some(due.saturating_duration_since(now)))
}

fn condition_of(
    assessment: &Assessment,
    desired: Option<RevisionTag>,
    before: Option<&Condition>,
    (generation, wall): (Option<i64>, &Time),
) -> Condition {
    let Assessment { expected, current, .. } = assessment;
    let revision = desired.map(|desired| desired.uuid.to_string()).unwrap_or_default();
    let (status, reason, message) = match &assessment.verdict {
        Verdict::Enforced => {
            let message = format!("{current} of {expected} ready gateway pods run revision {revision}");
            ("True", reason::REVISION_ENFORCED, message)
        }
        Verdict::Late(late) => {
            let silent = late.iter().all(|late| late.runs.is_none());
            let reason = if silent {
                reason::PODS_SILENT
            } else {
                reason::PODS_STALE
            };
            let message = format!(
                "{current} of {expected} ready gateway pods run revision {revision}; {}",
                named(late)
            );
            ("False", reason, message)
        }
        Verdict::NoPods => {
            let message =
                "The Gateway has no ready pod with the label gateway.networking.k8s.io/gateway-name".to_owned();
            ("Unknown", reason::NO_GATEWAY_PODS, message)
        }
        Verdict::NoRevision => {
            let message = "The RuleSet has no revision that could be enforced yet".to_owned();
            ("Unknown", reason::NO_REVISION, message)
        }
        Verdict::NoReports => {
            let message = "No cache is connected to the controller to report what the gateway pods run".to_owned();
            ("Unknown", reason::NO_REPORTS, message)
        }
        Verdict::Unsaid => {
            let message = format!(
                "{current} of {expected} ready gateway pods run revision {revision}; the others poll, and don't say what they run"
            );
            ("Unknown", reason::RUNNING_UNKNOWN, message)
        }
        Verdict::Pending => match before {
            Some(before) => return before.clone(),
            None => {
                let message = "The gateway pods have time to report what they run".to_owned();
                ("Unknown", reason::AWAITING_REPORTS, message)
            }
        },
    };
    Condition {
        last_transition_time: before
            .filter(|before| before.status == status)
            .map_or_else(|| wall.clone(), |before| before.last_transition_time.clone()),
        message,
        observed_generation: generation,
        reason: reason.to_owned(),
        status: status.to_owned(),
        type_: condition_type::ENFORCED.to_owned(),
    }
}

/// The pods that are late, the first few by name, without any age: a message must not change by itself.
fn named(late: &[Late]) -> String {
    let name = |late: &Late| match late.runs {
        None => format!("{} does not poll", late.pod),
        Some(Running::Nothing) => format!("{} has no rules", late.pod),
        Some(Running::Revision(tag)) => format!("{} runs {}", late.pod, tag.uuid),
        Some(Running::Unknown) => format!("{} doesn't say what it runs", late.pod),
    };
    let mut named: Vec<_> = late.iter().take(NAMED).map(name).collect();
    if late.len() > NAMED {
        named.push(format!("and {} more", late.len() - NAMED));
    }
    named.join(", ")
}
