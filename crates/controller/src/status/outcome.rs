//! Outcomes that are said of RuleSets, RuleSources and RuleData: their reasons, and messages that say what is the matter and
//! what to do about it. Pure.
//!
//! What is wrong with a reference or with rules is worded where it is found; [`broken`] makes an outcome of it.

use std::fmt::Display;

use coraza_api::condition::reason;
use coraza_api::status::RevisionStatus;
use coraza_ruleset::RuleSetKey;

use super::conditions::{Outcome, State};

/// How many refusals a message quotes: caches of one version refuse for one reason.
const MAX_REFUSALS: usize = 3;

/// A RuleSet was seen for the first time.
#[must_use]
pub fn reconciling() -> Outcome {
    Outcome::new(State::Progressing, reason::RECONCILING, "the RuleSet is being compiled")
}

/// A RuleSet is good, and nobody is there to serve it.
#[must_use]
pub fn awaiting_cache() -> Outcome {
    Outcome::new(
        State::Waiting,
        reason::AWAITING_CACHE,
        "the rules are good, but no cache took them yet: check that coraza-cache runs and reaches the controller's gRPC port",
    )
}

/// A RuleSet is good and served. `unsupported` is what would have kept it back, if its annotation hadn't overruled that.
#[must_use]
pub fn rules_cached(key: &RuleSetKey, revision: &RevisionStatus, unsupported: Option<&str>) -> Outcome {
    let RevisionStatus {
        uuid,
        digest: _,
        timestamp: _,
        bytes,
        rules,
    } = revision;
    let mut message = format!("Cached rules for {key}: revision {uuid}, {rules} rules, {bytes} bytes");
    if let Some(unsupported) = unsupported {
        message.push_str("\n[annotation override] ");
        message.push_str(unsupported);
    }
    Outcome::new(State::Ready, reason::RULES_CACHED, message)
}

/// A RuleSet is good, and all caches that answered refused it, as `refusals` say: `replica: why`.
#[must_use]
pub fn cache_rejected(revision: &RevisionStatus, refusals: &[String]) -> Outcome {
    let quoted = refusals
        .iter()
        .take(MAX_REFUSALS)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    let more = match refusals.len().saturating_sub(MAX_REFUSALS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    broken(
        reason::CACHE_REJECTED,
        format!(
            "no cache accepted revision {}, and what was served before still is: {quoted}{more}",
            revision.uuid
        ),
    )
}

/// A person must act on the object.
#[must_use]
pub fn broken(reason: &'static str, what: impl Display) -> Outcome {
    Outcome::new(State::Degraded, reason, what.to_string())
}

/// An object can't be decoded: `why` names the field and what is wrong with it.
#[must_use]
pub fn unreadable(reason: &'static str, kind: &str, why: &str) -> Outcome {
    let explain = kind.to_lowercase();
    broken(
        reason,
        format_args!(
            "the {kind} can't be read: {why}; what was served before still is. Apply it again as `kubectl explain {explain} --recursive` says"
        ),
    )
}

/// A RuleSource's own syntax is good.
#[must_use]
pub fn validated() -> Outcome {
    Outcome::new(State::Ready, reason::VALIDATED, "the syntax is valid")
}

/// A RuleSource's own syntax isn't judged, as its annotation asks.
#[must_use]
pub fn validation_skipped() -> Outcome {
    let message = "the syntax is not checked here, as the annotation waf.k8s.coraza.io/rule-validation asks; errors show on the RuleSets";
    Outcome::new(State::Ready, reason::VALIDATION_SKIPPED, message)
}

/// A RuleSource has syntax errors; `errors` are their texts, with line and column.
#[must_use]
pub fn invalid_rules(name: &str, errors: impl Display) -> Outcome {
    broken(
        reason::INVALID_RULES,
        format!("RuleSource {name} has syntax errors:\n{errors}"),
    )
}

/// A RuleData was read.
#[must_use]
pub fn loaded(files: usize, bytes: usize) -> Outcome {
    Outcome::new(State::Ready, reason::LOADED, format!("{files} files, {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision() -> RevisionStatus {
        RevisionStatus {
            uuid: "0b8f".into(),
            digest: "d".into(),
            timestamp: "t".into(),
            bytes: 1024,
            rules: 2,
        }
    }

    #[test]
    fn every_outcome_has_its_state_its_reason_and_the_facts() {
        use State::{Degraded, Progressing, Ready, Waiting};
        let key: RuleSetKey = "shop/crs".parse().unwrap();
        let refusals = |count: usize| {
            (0..count)
                .map(|number| format!("cache-{number}: too large"))
                .collect::<Vec<_>>()
        };
        let table = [
            (reconciling(), Progressing, "Reconciling", "compiled"),
            (awaiting_cache(), Waiting, "AwaitingCache", "coraza-cache"),
            (
                rules_cached(&key, &revision(), None),
                Ready,
                "RulesCached",
                "shop/crs: revision 0b8f, 2 rules, 1024 bytes",
            ),
            (
                rules_cached(&key, &revision(), Some("rule 1")),
                Ready,
                "RulesCached",
                "\n[annotation override] rule 1",
            ),
            (
                cache_rejected(&revision(), &refusals(1)),
                Degraded,
                "CacheRejected",
                "0b8f, and what was served before still is: cache-0: too large",
            ),
            (
                cache_rejected(&revision(), &refusals(5)),
                Degraded,
                "CacheRejected",
                "cache-2: too large; and 2 more",
            ),
            (
                broken(reason::OVERSIZED_RULES, "9 > 8"),
                Degraded,
                "OversizedRules",
                "9 > 8",
            ),
            (
                unreadable("RuleSourceAccessError", "RuleSource", "spec.rules: invalid type"),
                Degraded,
                "RuleSourceAccessError",
                "the RuleSource can't be read: spec.rules: invalid type; what was served before still is. Apply it again as `kubectl explain rulesource",
            ),
            (validated(), Ready, "Validated", "valid"),
            (
                validation_skipped(),
                Ready,
                "ValidationSkipped",
                "waf.k8s.coraza.io/rule-validation",
            ),
            (
                invalid_rules("base", "base:3:17: error: unknown operator"),
                Degraded,
                "InvalidRules",
                "base:3:17",
            ),
            (loaded(2, 100), Ready, "Loaded", "2 files, 100 bytes"),
        ];
        for (outcome, state, reason, message) in table {
            assert_eq!((outcome.state, outcome.reason), (state, reason));
            assert!(outcome.message.contains(message), "{}", outcome.message);
        }
    }
}
