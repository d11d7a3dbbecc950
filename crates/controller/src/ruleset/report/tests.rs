//! What a RuleSet's status says of each finding.

use super::*;
use coraza_api::RuleSetSpec;
use coraza_compiler::{Compiler, Options, ResolvedRuleSet, ResolvedSource, Validation};
use coraza_ruleset::Timestamp;
use k8s_openapi::jiff;

use crate::publish::Nack;
use crate::watch::object::Meta;

fn key() -> RuleSetKey {
    "default/crs".parse().expect("a key")
}

fn ruleset(status: RuleSetStatus) -> RuleSetView {
    let RuleSetSpec { sources, data: _ } =
        serde_json::from_value(serde_json::json!({"sources": [{"name": "a"}]})).expect("a spec");
    RuleSetView {
        meta: Meta {
            generation: 3,
            ..Meta::default()
        },
        sources: sources.into_iter().map(|source| source.name.into()).collect(),
        data: Vec::new(),
        allow_unsupported: false,
        status,
    }
}

fn now() -> Time {
    Time(jiff::Timestamp::UNIX_EPOCH)
}

fn compile(text: &str) -> Result<Arc<Compilation>, CompileError> {
    let source = ResolvedSource {
        name: "a".into(),
        text: text.into(),
        validation: Validation::Own,
    };
    let ruleset = ResolvedRuleSet {
        key: key(),
        sources: vec![source],
        data_files: Arc::default(),
    };
    Compiler::new().compile(&ruleset, &Options::default()).map(Arc::new)
}

fn good(text: &str, nanos: u64, delivery: impl FnOnce(&mut Delivery), seconds: u64) -> Finding {
    let compilation = compile(text).expect("compiles");
    let revision = Revision {
        digest: compilation.digest,
        timestamp: Timestamp::from_unix_nanos(nanos),
    };
    let mut told = Delivery {
        revision,
        bytes: 9,
        connected: 2,
        acked: 0,
        nacked: Vec::new(),
        ever_connected: true,
    };
    delivery(&mut told);
    Finding::Good(compilation, told, Duration::from_secs(seconds))
}

fn report(status: RuleSetStatus, finding: &Finding) -> Report {
    Report::new(&key(), &ruleset(status), finding, Profile::Native, &now())
}

/// `type=status reason` of each condition.
fn conditions(status: &RuleSetStatus) -> Vec<String> {
    let text = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {}", condition.type_, condition.status, condition.reason)
    };
    status.conditions.iter().map(text).collect()
}

const RULES: &str = "SecRuleEngine On";
const UNCLOSED_GROUP: &str = "SecRule ARGS \"@rx (\" \"id:1,phase:2,deny\"";

fn all_acked(delivery: &mut Delivery) {
    delivery.acked = delivery.connected;
}

#[test]
fn a_new_ruleset_is_reconciling_and_then_cached_with_two_writes() {
    let waiting = report(RuleSetStatus::default(), &good(RULES, 7, |_| (), 0));
    assert_eq!(
        conditions(&waiting.status),
        ["Ready=False Reconciling", "Progressing=True Reconciling"]
    );
    assert_eq!(
        (waiting.status.revision.as_ref(), waiting.again),
        (None, Some(Duration::from_secs(5)))
    );
    assert!(waiting.event.is_none());
    let same = report(waiting.status.clone(), &good(RULES, 7, |_| (), 1));
    assert_eq!(same.status, waiting.status);

    let cached = report(waiting.status, &good(RULES, 7, all_acked, 1));
    assert_eq!(conditions(&cached.status), ["Ready=True RulesCached"]);
    let revision = cached.status.revision.as_ref().expect("a revision");
    assert_eq!(
        (revision.timestamp.as_str(), revision.bytes),
        ("1970-01-01T00:00:00.000000007Z", 9)
    );
    assert_eq!(cached.event.map(|event| event.reason), Some("RulesCached"));
}

#[test]
fn a_restart_writes_nothing() {
    let cached = report(RuleSetStatus::default(), &good(RULES, 7, all_acked, 0)).status;
    for alone in [|delivery: &mut Delivery| delivery.connected = 0, |_: &mut Delivery| ()] {
        let again = report(cached.clone(), &good(RULES, 7, alone, 0));
        assert_eq!(again.status, cached);
        assert!(again.event.is_none() && again.again.is_none());
    }
}

#[test]
fn new_good_content_does_not_flip_ready_and_is_written_once() {
    let cached = report(RuleSetStatus::default(), &good(RULES, 7, all_acked, 0)).status;
    let edited = "SecRuleEngine DetectionOnly";
    assert_eq!(report(cached.clone(), &good(edited, 8, |_| (), 0)).status, cached);
    let one = |delivery: &mut Delivery| delivery.acked = 1;
    assert_eq!(report(cached.clone(), &good(edited, 8, one, 0)).status, cached);
    let after = report(cached.clone(), &good(edited, 8, all_acked, 0));
    assert_ne!(after.status.revision, cached.revision);
    assert_eq!(conditions(&after.status), ["Ready=True RulesCached"]);
    assert!(after.event.is_none(), "it was ready and it is: no transition");
}

#[test]
fn broken_rules_keep_the_last_good_revision_and_say_where() {
    let cached = report(RuleSetStatus::default(), &good(RULES, 7, all_acked, 0)).status;
    let error = compile(UNCLOSED_GROUP).expect_err("an unbalanced pattern");
    let broken = report(cached.clone(), &Finding::Broken(error));
    assert_eq!(broken.status.revision, cached.revision);
    assert_eq!(
        conditions(&broken.status),
        ["Ready=False InvalidRuleSet", "Degraded=True InvalidRuleSet"]
    );
    let diagnostic = broken.status.diagnostics.first().expect("a diagnostic");
    assert_eq!(
        (diagnostic.source.as_str(), diagnostic.line, diagnostic.severity),
        ("a", 1, Severity::Error)
    );
    assert_eq!(broken.event.map(|event| event.reason), Some("InvalidRuleSet"));
    assert_eq!(broken.source_events.len(), 1);

    let again = report(
        broken.status.clone(),
        &Finding::Broken(compile(UNCLOSED_GROUP).expect_err("still")),
    );
    assert_eq!(again.status, broken.status);
    assert!(
        again.event.is_none() && again.source_events.is_empty(),
        "no transition, no event"
    );
}

#[test]
fn a_source_that_is_invalid_by_itself_is_named() {
    let error = compile("SecRuleEngine Perhaps").expect_err("no such mode");
    let broken = report(RuleSetStatus::default(), &Finding::Broken(error));
    let reason = "ReferencedRuleSourceInvalid";
    assert_eq!(
        conditions(&broken.status),
        [format!("Ready=False {reason}"), format!("Degraded=True {reason}")]
    );
    assert!(broken.source_events.is_empty(), "the source says so itself");
}

#[test]
fn what_every_cache_refuses_is_degraded_with_their_reasons() {
    let cached = report(RuleSetStatus::default(), &good(RULES, 7, all_acked, 0)).status;
    let refuse = |delivery: &mut Delivery| {
        delivery.connected = 1;
        delivery.nacked = vec![Nack {
            replica: "cache-0".into(),
            detail: "too large".into(),
        }];
    };
    let refused = report(cached.clone(), &good("SecRuleEngine Off", 8, refuse, 0));
    assert_eq!(
        conditions(&refused.status),
        ["Ready=False CacheRejected", "Degraded=True CacheRejected"]
    );
    assert_eq!(refused.status.revision, cached.revision, "what is served");
    assert!(
        refused
            .status
            .conditions
            .iter()
            .all(|condition| condition.message.contains("cache-0: too large"))
    );
}

#[test]
fn without_any_cache_it_waits_and_says_so_after_a_while() {
    let alone = |delivery: &mut Delivery| (delivery.connected, delivery.ever_connected) = (0, false);
    let waiting = report(RuleSetStatus::default(), &good(RULES, 7, alone, 0)).status;
    let told = report(waiting, &good(RULES, 7, alone, 5));
    assert_eq!(
        conditions(&told.status),
        ["Ready=False AwaitingCache", "Progressing=True AwaitingCache"]
    );
    assert_eq!(told.again, None);
}

#[test]
fn the_message_has_the_errors_and_the_diagnostics_have_the_warnings_too() {
    let text = format!("SecAuditLog /dev/stdout\n{UNCLOSED_GROUP}");
    let broken = Finding::Broken(compile(&text).expect_err("the group isn't closed"));
    let status = report(RuleSetStatus::default(), &broken).status;
    let message = &condition(&status.conditions, condition_type::DEGRADED)
        .expect("degraded")
        .message;
    assert!(
        message.contains("error: ") && !message.contains("warning: "),
        "{message}"
    );
    let severities: Vec<_> = status
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.severity)
        .collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning]);
}
