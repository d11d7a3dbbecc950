//! Every error with its answer, and the answers to every state and wish.

use std::sync::Arc;

use coraza_ruleset::{CompiledRuleSet, Content, InvalidKey, Revision, RuleSetKey, RulesText, Timestamp};
use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};

use super::*;
use crate::store::{Store, StoreUpdate};

fn entry(compressed: bool) -> Arc<Entry> {
    let (store, compressor) = Store::new();
    let content = Content {
        rules: RulesText::new([Arc::from("SecRuleEngine On")]),
        ..Content::default()
    };
    let revision = Revision {
        digest: content.digest(),
        timestamp: Timestamp::from_unix_nanos(1_000),
    };
    let key = RuleSetKey::new("team", "crs").expect("key");
    store.apply(StoreUpdate::Upsert(CompiledRuleSet {
        key: key.clone(),
        revision,
        content,
    }));
    if compressed {
        compressor.run_once();
    }
    store.get(&key).expect("held")
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("text"))
}

#[test]
fn bodies_by_resource_encoding_and_state() {
    let (plain, compressed) = (entry(false), entry(true));
    let gzip = compressed.gzip().expect("compressed");
    for (entry, resource, accepts, body, encoding) in [
        (&plain, Resource::Latest, "gzip", plain.latest(), None),
        (&plain, Resource::Rules, "", plain.identity(), None),
        (&plain, Resource::Rules, "gzip", plain.identity(), None),
        (&compressed, Resource::Latest, "gzip", plain.latest(), None),
        (&compressed, Resource::Rules, "", plain.identity(), None),
        (&compressed, Resource::Rules, "gzip", gzip, Some("gzip")),
    ] {
        let headers = [(ACCEPT_ENCODING, HeaderValue::from_static(accepts))]
            .into_iter()
            .collect();
        let response = found(entry, resource, &headers);
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), &body, "{resource:?} {accepts}");
        assert_eq!(header(&response, "content-encoding"), encoding);
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert_eq!(header(&response, "cache-control"), Some("no-cache"));
        assert_eq!(header(&response, "vary"), Some("accept-encoding"));
        assert_eq!(response.headers().get("etag"), Some(entry.etag()));
    }
}

#[test]
fn only_news_is_sent_to_who_has_something() {
    let entry = entry(true);
    let uuid = entry.revision().uuid();
    for (has, news) in [(999, true), (1_000, false), (1_001, false)] {
        let value = HeaderValue::try_from(format!("W/\"{has}-{uuid}\"")).expect("value");
        assert_eq!(
            is_news(&entry, &[(IF_NONE_MATCH, value)].into_iter().collect()),
            news,
            "{has}"
        );
    }
    let response = not_modified(&entry);
    assert_eq!((response.status().as_u16(), response.body().is_empty()), (304, true));
    assert_eq!(response.headers().get("etag"), Some(entry.etag()));
    assert_eq!(header(&response, "content-type"), None);
}

#[test]
fn a_wait_that_was_granted_is_said_so() {
    let mut response = Response::new(());
    preference_applied(&mut response, Duration::from_secs(30));
    assert_eq!(header(&response, "preference-applied"), Some("wait=30"));
}

#[test]
fn every_error_has_its_status_headers_and_reason() {
    let exhausted = Refusal::Exhausted {
        retry_after: Duration::from_millis(50),
    };
    let challenged = |description: &str| {
        Some(format!(
            "Bearer realm=\"coraza-cache\", error=\"invalid_token\", error_description=\"{description}\""
        ))
    };
    for (error, status, name, value) in [
        (HttpError::Route(InvalidRoute::Unknown), 404, "allow", None),
        (
            HttpError::Route(InvalidRoute::Method),
            405,
            "allow",
            Some("GET, HEAD".into()),
        ),
        (HttpError::Route(InvalidRoute::Path), 400, "allow", None),
        (
            HttpError::Route(InvalidRoute::Key(InvalidKey::Name)),
            400,
            "allow",
            None,
        ),
        (HttpError::Body, 413, "connection", Some("close".into())),
        (
            HttpError::Auth(Refusal::Missing),
            401,
            "www-authenticate",
            Some("Bearer realm=\"coraza-cache\"".into()),
        ),
        (
            HttpError::Auth(Refusal::Malformed),
            401,
            "www-authenticate",
            challenged("malformed"),
        ),
        (
            HttpError::Auth(Refusal::Expired),
            401,
            "www-authenticate",
            challenged("expired"),
        ),
        (
            HttpError::Auth(Refusal::Revoked),
            401,
            "www-authenticate",
            challenged("revoked"),
        ),
        (
            HttpError::Auth(Refusal::Unknown),
            401,
            "www-authenticate",
            challenged("unknown"),
        ),
        (HttpError::Auth(Refusal::OtherAudience), 403, "www-authenticate", None),
        (HttpError::Auth(Refusal::OtherNamespace), 403, "www-authenticate", None),
        (HttpError::Auth(exhausted), 503, "retry-after", Some("1".into())),
        (
            HttpError::Auth(Refusal::Unavailable),
            503,
            "retry-after",
            Some("5".into()),
        ),
        (HttpError::NotFound, 404, "www-authenticate", None),
    ] {
        let response = failed(&error);
        assert_eq!(response.status(), status, "{error:?}");
        assert_eq!(header(&response, name), value.as_deref(), "{error:?}");
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&response.body().0.concat()).expect("JSON");
        assert_eq!(body["error"], response.status().canonical_reason().expect("reason"));
        assert_eq!(body["reason"], error.to_string());
    }
}
