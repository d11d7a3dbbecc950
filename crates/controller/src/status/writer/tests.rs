//! Scenarios between the writer and a scripted API server.

use std::sync::{Arc, Mutex};

use coraza_api::ruleset::{Diagnostic, Severity};
use coraza_api::status::RevisionStatus;
use coraza_api::{RuleSet, RuleSetStatus};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// What a call was: method and path, media type, what it accepts, body.
type Call = (String, String, String, Value);

/// A client of an API server that answers every call with this, and the calls that it got.
fn scripted(code: u16, answer: Value) -> (Client, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (Arc::clone(&log), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
            let call = (
                format!("{} {}", parts.method, parts.uri),
                header("content-type"),
                header("accept"),
                serde_json::from_slice(&body).unwrap(),
            );
            log.lock().unwrap().push(call);
            let answer = Response::builder()
                .status(code)
                .body(Body::from(serde_json::to_vec(&answer).unwrap()))
                .unwrap();
            Ok::<_, kube::Error>(answer)
        }
    });
    (Client::new(service, "default"), calls)
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code})
}

fn patched() -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
           "metadata": {"name": "crs", "namespace": "shop", "resourceVersion": "8"}})
}

const TARGET: Target<'static> = Target {
    namespace: "shop",
    name: "crs",
    resource_version: "7",
};

fn condition(type_: &str) -> Condition {
    Condition {
        type_: type_.into(),
        status: "True".into(),
        reason: "R".into(),
        message: "m".into(),
        observed_generation: Some(1),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    }
}

fn condition_json(type_: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": "R", "message": "m", "observedGeneration": 1,
           "lastTransitionTime": "1970-01-01T00:00:00Z"})
}

fn status() -> RuleSetStatus {
    RuleSetStatus {
        conditions: vec![condition("Ready")],
        revision: Some(RevisionStatus {
            uuid: "u".into(),
            digest: "d".into(),
            timestamp: "t".into(),
            bytes: 1,
            rules: 1,
        }),
        diagnostics: vec![Diagnostic {
            source: "s".into(),
            line: 1,
            column: 1,
            severity: Severity::Warning,
            message: "m".into(),
        }],
    }
}

async fn written(
    answer: (u16, Value),
    current: Option<&RuleSetStatus>,
    desired: &RuleSetStatus,
) -> (Result<Written, WriteError>, Vec<Call>) {
    let (client, calls) = scripted(answer.0, answer.1);
    let outcome = write::<RuleSet, _>(&client, TARGET, current, desired).await;
    let calls = calls.lock().unwrap().clone();
    (outcome, calls)
}

#[tokio::test]
async fn a_status_that_is_as_it_should_be_costs_no_call() {
    let (outcome, calls) = written((200, patched()), Some(&status()), &status()).await;
    assert_eq!(outcome.unwrap(), Written::Unchanged);
    assert_eq!(calls, []);
}

#[tokio::test]
async fn a_first_status_is_written_whole_over_the_version_that_was_read() {
    let (outcome, calls) = written((200, patched()), None, &status()).await;
    assert_eq!(outcome.unwrap(), Written::Patched("8".into()));
    let [(call, media_type, accept, body)] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        call,
        "PATCH /apis/waf.k8s.coraza.io/v1alpha1/namespaces/shop/rulesets/crs/status?&fieldManager=coraza-kubernetes-operator"
    );
    assert_eq!(media_type, "application/merge-patch+json");
    assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
    let expected = json!({
        "metadata": {"resourceVersion": "7"},
        "status": {
            "conditions": [condition_json("Ready")],
            "revision": {"uuid": "u", "digest": "d", "timestamp": "t", "bytes": 1, "rules": 1},
            "diagnostics": [{"source": "s", "line": 1, "column": 1, "severity": "warning", "message": "m"}],
        }
    });
    assert_eq!(body, &expected);
}

/// The Go operator's conditions go too: the list is replaced.
#[tokio::test]
async fn only_what_differs_is_written_and_lists_are_whole() {
    let current = RuleSetStatus {
        conditions: vec![condition("Ready"), condition("Foreign")],
        ..status()
    };
    let (_, calls) = written((200, patched()), Some(&current), &status()).await;
    assert_eq!(calls[0].3["status"], json!({"conditions": [condition_json("Ready")]}));
}

#[tokio::test]
async fn what_is_gone_is_removed() {
    let desired = RuleSetStatus {
        revision: None,
        diagnostics: Vec::new(),
        ..status()
    };
    let (_, calls) = written((200, patched()), Some(&status()), &desired).await;
    assert_eq!(calls[0].3["status"], json!({"revision": null, "diagnostics": null}));
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_judged_again() {
    let (outcome, calls) = written((409, failure(409, "Conflict")), None, &status()).await;
    assert!(matches!(outcome, Err(WriteError::Conflict)), "{outcome:?}");
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn a_deleted_object_needs_no_status() {
    let (outcome, _) = written((404, failure(404, "NotFound")), None, &status()).await;
    assert_eq!(outcome.unwrap(), Written::Gone);
}

#[tokio::test]
async fn a_refusal_is_an_error_whose_display_does_not_print_its_source() {
    let (outcome, _) = written((403, failure(403, "Forbidden")), None, &status()).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "failed to write the status");
    assert!(std::error::Error::source(&error).is_some());
}
