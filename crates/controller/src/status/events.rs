//! Events (events.k8s.io/v1) about objects: made by pure functions, sent by a call that never fails its caller.
//!
//! Not kube's Recorder: that counts Events with one reason as one, and the note of the second is lost.

use coraza_api::condition::reason;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Body;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::{debug, warn};

use super::conditions::{Outcome, State};
use super::cut;

/// The longest note that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;
/// The longest name of an Event is 253; a dot and the sixteen digits of a time come behind the object's name.
const MAX_OBJECT_NAME: usize = 253 - 17;
/// What was being done, in all of our Events but one.
const ACTION: &str = "Reconcile";
/// Why the API server creates nothing in a namespace that is being deleted: the reason of a cause, in an answer that is 403.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
/// What was being done in the Event of [`reason::WASM_PLUGIN_CREATED`].
const PROVISION: &str = "Provision";

/// Who reports, as users of the Go operator know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// About RuleSets and RuleData.
    RuleSet,
    /// About RuleSources.
    RuleSource,
    /// About Engines.
    Engine,
}

impl Reporter {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RuleSet => "ruleset-controller",
            Self::RuleSource => "rulesource-controller",
            Self::Engine => "engine-controller",
        }
    }
}

/// Whether an Event asks for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It doesn't.
    Normal,
    /// It does.
    Warning,
}

/// An Event, not yet about anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whether it asks for somebody.
    pub kind: Kind,
    /// One of `coraza_api::condition::reason`.
    pub reason: &'static str,
    /// What happened.
    pub note: String,
}

impl Event {
    /// The Event that tells of an outcome, unless the conditions, as they were, tell it already. Work that is under way is told by
    /// conditions only.
    #[must_use]
    pub fn of(outcome: &Outcome, current: &[Condition]) -> Option<Self> {
        let kind = match outcome.state {
            State::Ready => Kind::Normal,
            State::Degraded | State::Rejected => Kind::Warning,
            State::Progressing | State::Waiting => return None,
        };
        (!outcome.is_said_by(current)).then(|| Self {
            kind,
            reason: outcome.reason,
            note: outcome.message.clone(),
        })
    }

    /// The Event that tells the owner of a RuleSource what is wrong with it in a RuleSet.
    #[must_use]
    pub fn invalid_in_ruleset(ruleset: &str, diagnostic: &str) -> Self {
        Self {
            kind: Kind::Warning,
            reason: reason::INVALID_RULE_SET,
            note: format!("in RuleSet {ruleset}: {diagnostic}"),
        }
    }

    fn action(&self) -> &'static str {
        if self.reason == reason::WASM_PLUGIN_CREATED {
            PROVISION
        } else {
            ACTION
        }
    }

    /// The Event as the API server takes it.
    fn body(&self, regarding: &ObjectReference, reporter: Reporter, instance: &str, now: Timestamp) -> Body {
        let Self { kind, reason, note } = self;
        let object = cut_name(regarding.name.as_deref().unwrap_or("unknown"));
        Body {
            metadata: ObjectMeta {
                namespace: regarding.namespace.clone(),
                name: Some(format!("{object}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            regarding: Some(regarding.clone()),
            action: Some(self.action().to_owned()),
            reason: Some((*reason).to_owned()),
            note: Some(cut(note.clone(), MAX_NOTE)),
            type_: Some(match kind {
                Kind::Normal => "Normal".to_owned(),
                Kind::Warning => "Warning".to_owned(),
            }),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(reporter.as_str().to_owned()),
            reporting_instance: Some(instance.to_owned()),
            ..Body::default()
        }
    }
}

/// What of an object's name fits into an Event's, so that a dot may follow.
fn cut_name(name: &str) -> &str {
    let cut = name.get(..name.floor_char_boundary(MAX_OBJECT_NAME)).unwrap_or(name);
    cut.trim_end_matches(['-', '.'])
}

/// Sends Events. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    instance: String,
}

impl Recorder {
    /// A recorder of this process; `instance` is its name among its like.
    #[must_use]
    pub fn new(client: Client, instance: impl Into<String>) -> Self {
        Self {
            client,
            instance: instance.into(),
        }
    }

    /// Sends an Event about an object. An Event that can't be sent is logged and forgotten: the conditions say the same, or the object goes with its
    /// namespace.
    pub async fn record(&self, event: &Event, regarding: &ObjectReference, reporter: Reporter) {
        let events = Api::<Body>::namespaced(self.client.clone(), regarding.namespace.as_deref().unwrap_or("default"));
        let body = event.body(regarding, reporter, &self.instance, Timestamp::now());
        if let Err(error) = events.create(&PostParams::default(), &body).await {
            let object = regarding.name.as_deref().unwrap_or_default();
            if is_of_a_namespace_that_goes(&error) {
                debug!(
                    object,
                    reason = event.reason,
                    "no event recorded: its namespace is being deleted"
                );
                return;
            }
            warn!(
                error = &error as &dyn std::error::Error,
                object,
                reason = event.reason,
                "failed to record an event"
            );
        }
    }
}

/// Whether something can't be created because its namespace is being deleted, or is gone since it was decided on.
fn is_of_a_namespace_that_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let Some(details) = &status.details else { return false };
    match status.code {
        403 => details.causes.iter().any(|cause| cause.reason == NAMESPACE_TERMINATING),
        404 => details.kind == "namespaces",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn regarding(name: &str) -> ObjectReference {
        ObjectReference {
            namespace: Some("shop".into()),
            name: Some(name.into()),
            kind: Some("RuleSet".into()),
            ..ObjectReference::default()
        }
    }

    fn body(name: &str, note: String) -> Body {
        let event = Event {
            kind: Kind::Warning,
            reason: "InvalidRuleSet",
            note,
        };
        event.body(
            &regarding(name),
            Reporter::RuleSet,
            "pod-1",
            Timestamp::from_second(1_700_000_000).unwrap(),
        )
    }

    #[test]
    fn an_event_has_all_that_the_api_server_requires() {
        let body = serde_json::to_value(body("crs", "line 3".into())).unwrap();
        let expected = serde_json::json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": "shop", "name": "crs.17979cfe362a0000"},
            "regarding": {"namespace": "shop", "name": "crs", "kind": "RuleSet"},
            "action": "Reconcile",
            "reason": "InvalidRuleSet",
            "note": "line 3",
            "type": "Warning",
            "eventTime": "2023-11-14T22:13:20.000000Z",
            "reportingController": "ruleset-controller",
            "reportingInstance": "pod-1",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn notes_and_names_fit() {
        for name in [
            "a".repeat(253),
            format!("{}.{}", "a".repeat(235), "b".repeat(17)),
            format!("{}--b", "a".repeat(234)),
        ] {
            let body = body(&name, "ä".repeat(2000));
            let name = body.metadata.name.unwrap();
            assert!(
                name.len() <= 253 && !name.contains("..") && !name.contains("-."),
                "{name}"
            );
            let note = body.note.unwrap();
            assert!(
                note.len() <= 1024 && note.len() > 1020 && note.ends_with("ä..."),
                "{}",
                note.len()
            );
        }
    }

    #[test]
    fn events_tell_of_transitions_only() {
        let now = Time(Timestamp::UNIX_EPOCH);
        let outcome = |state, message: &str| Outcome::new(state, "R", message);
        let kind = |before: Option<Outcome>, after: Outcome| {
            let conditions = before.map(|before| before.apply(&[], 1, &now)).unwrap_or_default();
            Event::of(&after, &conditions).map(|event| event.kind)
        };
        use State::{Degraded, Progressing, Ready, Rejected, Waiting};
        let table = [
            (None, outcome(Ready, "a"), Some(Kind::Normal)),
            (None, outcome(Rejected, "a"), Some(Kind::Warning)),
            (Some(outcome(Rejected, "a")), outcome(Rejected, "a"), None),
            (
                Some(outcome(Rejected, "a")),
                outcome(Rejected, "b"),
                Some(Kind::Warning),
            ),
            (None, outcome(Degraded, "a"), Some(Kind::Warning)),
            (None, outcome(Progressing, "a"), None),
            (None, outcome(Waiting, "a"), None),
            (Some(outcome(Ready, "a")), outcome(Ready, "b"), None),
            (Some(outcome(Ready, "a")), outcome(Degraded, "a"), Some(Kind::Warning)),
            (Some(outcome(Degraded, "a")), outcome(Degraded, "a"), None),
            (
                Some(outcome(Degraded, "a")),
                outcome(Degraded, "b"),
                Some(Kind::Warning),
            ),
            (Some(outcome(Degraded, "a")), outcome(Ready, "a"), Some(Kind::Normal)),
            (Some(outcome(Progressing, "a")), outcome(Ready, "a"), Some(Kind::Normal)),
        ];
        for (before, after, expected) in table {
            assert_eq!(kind(before.clone(), after.clone()), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn who_lacks_a_right_is_told_from_a_namespace_that_goes() {
        let answer = |code: u16, details: serde_json::Value| {
            let status = serde_json::json!({"status": "Failure", "code": code, "details": details});
            let status: kube::core::Status = serde_json::from_value(status).unwrap();
            kube::Error::Api(status.boxed())
        };
        let event = |causes: serde_json::Value| serde_json::json!({"name": "crs.1", "kind": "events", "group": "events.k8s.io", "causes": causes});
        let terminating = serde_json::json!([
            {"message": "namespace shop is being terminated", "field": "metadata.namespace", "reason": NAMESPACE_TERMINATING},
        ]);
        let gone = serde_json::json!({"name": "shop", "kind": "namespaces"});
        for (what, error, expected) in [
            ("it is being deleted", answer(403, event(terminating.clone())), true),
            ("it is gone", answer(404, gone.clone()), true),
            ("a right is missing", answer(403, event(serde_json::json!([]))), false),
            (
                "a right is missing, without details",
                answer(403, serde_json::Value::Null),
                false,
            ),
            (
                "a quota",
                answer(403, event(serde_json::json!([{"reason": "QuotaExceeded"}]))),
                false,
            ),
            ("the kind isn't there", answer(404, event(serde_json::json!([]))), false),
            ("another refusal", answer(422, event(terminating)), false),
            ("a failure that speaks of a namespace", answer(500, gone), false),
            ("no answer", kube::Error::LinesCodecMaxLineLengthExceeded, false),
        ] {
            assert_eq!(is_of_a_namespace_that_goes(&error), expected, "{what}");
        }
    }

    #[tokio::test]
    async fn an_event_that_is_refused_is_forgotten() {
        let refuse = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, kube::Error>(
                http::Response::builder()
                    .status(500)
                    .body(kube::client::Body::empty())
                    .unwrap(),
            )
        });
        let recorder = Recorder::new(Client::new(refuse, "default"), "pod-1");
        recorder
            .record(
                &Event::invalid_in_ruleset("shop/crs", "base:1:1: error"),
                &regarding("base"),
                Reporter::RuleSource,
            )
            .await;
    }
}
