//! Round trips, each field that can be invalid, and garbage.

use super::*;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coraza_ruleset::{CompiledRuleSet, Content, EngineKey, Grant, PollerId, Revision, RulesText, Running};
use proptest::prelude::*;
use prost::Message as _;
use uuid::Uuid;

use crate::intern::{Interner, Verbatim};
use crate::limits::{MAX_ERROR_DETAIL, MAX_GRANTS, MAX_GRANTS_PER_MESSAGE, MAX_PARTS, MAX_POLLERS_PER_REPORT};
use crate::message::{Body, Hello, Poller, Request, Response, Welcome};
use crate::v1alpha1;

fn ruleset(sources: &[&str], files: &[(&str, &[u8])]) -> CompiledRuleSet {
    let content = Content {
        rules: RulesText::new(sources.iter().map(|source| Arc::from(*source))),
        data_files: Arc::new(
            files
                .iter()
                .map(|(name, bytes)| (Arc::from(*name), Bytes::copy_from_slice(bytes)))
                .collect(),
        ),
    };
    CompiledRuleSet {
        key: RuleSetKey::new("default", "crs").expect("a key"),
        revision: Revision {
            digest: content.digest(),
            timestamp: Timestamp::from_unix_nanos(7),
        },
        content,
    }
}

fn wire() -> v1alpha1::RuleSet {
    (&ruleset(&["SecRuleEngine On", ""], &[("a.data", b"x\0y"), ("b.data", b"")])).into()
}

#[test]
fn a_ruleset_survives_the_wire() {
    let decoded = CompiledRuleSet::try_from(wire()).expect("valid");
    assert_eq!(
        decoded,
        ruleset(&["SecRuleEngine On", ""], &[("a.data", b"x\0y"), ("b.data", b"")])
    );
    assert_eq!(decoded.content.rules.sources().len(), 2);
}

#[test]
fn the_names_of_sources_survive_the_wire() {
    let mut named = ruleset(&["SecRuleEngine On", ""], &[]);
    let pairs = [("base", "SecRuleEngine On"), ("empty", "")];
    named.content.rules = RulesText::named(pairs.map(|(name, text)| (name.into(), text.into())));
    let wire = v1alpha1::RuleSet::from(&named);
    assert_eq!(wire.source_names, ["base", "empty"]);
    let decoded = CompiledRuleSet::try_from(wire).expect("valid");
    assert_eq!(decoded.content.rules.names(), named.content.rules.names());
    // As a controller sends it that knows of no names.
    assert!(
        CompiledRuleSet::try_from(self::wire())
            .expect("valid")
            .content
            .rules
            .names()
            .is_empty()
    );
}

#[test]
fn texts_and_files_are_interned() {
    let interner = Interner::default();
    let [first, second] = [wire(), wire()].map(|wire| decode_ruleset(&wire, &interner).expect("valid"));
    assert!(Arc::ptr_eq(
        &first.content.rules.sources()[0],
        &second.content.rules.sources()[0]
    ));
    assert_eq!(
        first.content.data_files["a.data"].as_ptr(),
        second.content.data_files["a.data"].as_ptr()
    );
}

/// A change to a valid RuleSet, and what the error must say.
type Corruption = (fn(&mut v1alpha1::RuleSet), &'static [&'static str]);

#[test]
fn each_invalid_field_is_named_with_its_value() {
    let corruptions: &[Corruption] = &[
        (|wire| wire.key = None, &["ruleset.key is missing"]),
        (
            |wire| wire.key.as_mut().expect("a key").namespace = "..".into(),
            &["ruleset.key", "\"../crs\""],
        ),
        (
            |wire| wire.key.as_mut().expect("a key").name = "x".repeat(9_999),
            &["ruleset.key", "\"default/xxx"],
        ),
        (
            |wire| wire.digest = Bytes::from_static(b"short"),
            &["ruleset.digest has 5 bytes"],
        ),
        (
            |wire| wire.digest = vec![0; 32].into(),
            &["ruleset.digest of default/crs is 0000", "the content's is"],
        ),
        (|wire| wire.sources[0].push('x'), &["ruleset.digest of default/crs"]),
        (
            |wire| wire.data_files[0].content = Bytes::new(),
            &["ruleset.digest of default/crs"],
        ),
        (
            |wire| wire.timestamp = u64::MAX,
            &["ruleset.timestamp is 18446744073709551615", "2500"],
        ),
        (
            |wire| wire.sources = vec![String::new(); MAX_PARTS + 1],
            &["ruleset.sources repeats 65537 times"],
        ),
        (
            |wire| wire.data_files = vec![<_>::default(); MAX_PARTS + 1],
            &["ruleset.data_files repeats 65537 times"],
        ),
        (
            |wire| wire.data_files[0].name = "../etc".into(),
            &["data_files of default/crs", "\"../etc\""],
        ),
        (
            |wire| wire.data_files[0].name = String::new(),
            &["data_files of default/crs", "\"\""],
        ),
        (
            |wire| wire.source_names = vec!["base".into()],
            &["source_names of default/crs are 1, and there are 2 sources"],
        ),
        (
            |wire| wire.source_names = vec!["base".into(), "a\nb".into()],
            &["source_names of default/crs", "\"a\\nb\""],
        ),
        (|wire| wire.data_files.swap(0, 1), &["\"a.data\" after \"b.data\""]),
        (
            |wire| wire.data_files[1].name = "a.data".into(),
            &["\"a.data\" after \"a.data\""],
        ),
    ];
    for (corrupt, parts) in corruptions {
        let mut wire = wire();
        corrupt(&mut wire);
        let message = CompiledRuleSet::try_from(wire).expect_err(parts[0]).to_string();
        assert!(message.len() < 700, "{message}");
        for part in *parts {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
    }
}

fn hello() -> Hello {
    Hello {
        replica: "cache-0".into(),
        process_id: Uuid::from_u128(1),
        holdings: BTreeMap::from([(ruleset(&[], &[]).key, ruleset(&[], &[]).revision)]),
        max_ruleset_bytes: 8 << 20,
        plugin_digest: Some([9; 32]),
        grants: BTreeMap::from([(grant(1).token, grant(1)), (grant(2).token, grant(2))]),
    }
}

fn engine(name: &str) -> EngineKey {
    EngineKey::new("default", name, "5a3c").expect("an engine")
}

fn grant(number: u8) -> Grant {
    Grant {
        token: TokenDigest::new([number; 32]),
        expires: Timestamp::from_unix_nanos(u64::MAX),
        key: ruleset(&[], &[]).key,
        engine: engine("waf"),
    }
}

fn poller(engine_name: &str, id: PollerId, running: Running) -> Poller {
    Poller {
        engine: engine(engine_name),
        id,
        running,
        seen_ago: Duration::from_millis(1_500),
    }
}

/// A change to a valid Hello, and what the error must say.
type HelloCorruption = (fn(&mut v1alpha1::Hello), &'static str);

#[test]
fn each_invalid_field_of_a_hello_is_named() {
    let corruptions: &[HelloCorruption] = &[
        (|wire| wire.replica = "a\nb".into(), "hello.replica is \"a\\nb\""),
        (|wire| wire.process_id = "1".into(), "hello.process_id is \"1\""),
        (
            |wire| wire.plugin_digest = Bytes::from_static(b"x"),
            "hello.plugin_digest has 1 bytes",
        ),
        (|wire| wire.holdings[0].key = None, "holding.key is missing"),
        (
            |wire| wire.holdings[0].digest = Bytes::new(),
            "holding.digest has 0 bytes",
        ),
        (
            |wire| wire.holdings[0].timestamp = u64::MAX,
            "holding.timestamp is 18446744073709551615",
        ),
        (
            |wire| wire.holdings.push(wire.holdings[0].clone()),
            "hello.holdings has default/crs twice",
        ),
        (
            |wire| wire.grants.push(wire.grants[0].clone()),
            "hello.grants has TokenDigest(01010101…) twice",
        ),
        (
            |wire| wire.grants = vec![wire.grants[0].clone(); MAX_GRANTS + 1],
            "hello.grants repeats 16385 times",
        ),
    ];
    for (corrupt, expected) in corruptions {
        let mut wire = v1alpha1::Hello::from(&hello());
        corrupt(&mut wire);
        let request = v1alpha1::subscribe_request::Request::Hello(wire);
        let wire = v1alpha1::SubscribeRequest { request: Some(request) };
        let message = decode_request(wire, &Verbatim).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn requests_survive_the_wire() {
    let key = ruleset(&[], &[]).key;
    for request in [
        Request::Hello(hello()),
        Request::Hello(Hello {
            plugin_digest: None,
            holdings: BTreeMap::new(),
            ..hello()
        }),
        Request::Ack { nonce: 3 },
        Request::Nack {
            nonce: u64::MAX,
            detail: "no".into(),
        },
        Request::Report(Vec::new()),
        Request::Report(vec![
            poller(
                "a",
                PollerId::Pod("gateway-0".into()),
                Running::Revision(ruleset(&[], &[]).revision.into()),
            ),
            poller("a", PollerId::Pod("gateway-1".into()), Running::Nothing),
            poller("b", PollerId::Address([10, 0, 0, 1].into()), Running::Unknown),
            poller("b", PollerId::Address([7_u16; 8].into()), Running::Unknown),
        ]),
        Request::Recalled {
            key: key.clone(),
            ruleset: None,
        },
        Request::Recalled {
            key,
            ruleset: Some(ruleset(&["a", "b"], &[])),
        },
    ] {
        let bytes = v1alpha1::SubscribeRequest::from(&request).encode_to_vec();
        let wire = v1alpha1::SubscribeRequest::decode(&*bytes).expect("protobuf");
        assert_eq!(decode_request(wire, &Verbatim), Ok(request));
    }
}

#[test]
fn a_long_detail_is_cut_at_both_ends_of_the_wire() {
    let request = Request::Nack {
        nonce: 1,
        detail: "é".repeat(MAX_ERROR_DETAIL),
    };
    let mut wire = v1alpha1::SubscribeRequest::from(&request);
    for _ in 0..2 {
        let Ok(Request::Nack { detail, .. }) = decode_request(wire, &Verbatim) else {
            panic!("a NACK");
        };
        assert_eq!(detail, "é".repeat(MAX_ERROR_DETAIL / 2));
        let nack = v1alpha1::Nack {
            nonce: 1,
            error_detail: "é".repeat(MAX_ERROR_DETAIL),
        };
        wire = v1alpha1::SubscribeRequest {
            request: Some(v1alpha1::subscribe_request::Request::Nack(nack)),
        };
    }
}

#[test]
fn a_recalled_content_that_is_wrong_leaves_its_key_known() {
    let bad = v1alpha1::RuleSet {
        digest: vec![0; 32].into(),
        ..wire()
    };
    let recalled = v1alpha1::Recalled {
        key: bad.key.clone(),
        ruleset: Some(bad),
    };
    let request = v1alpha1::subscribe_request::Request::Recalled(recalled);
    let error =
        decode_request(v1alpha1::SubscribeRequest { request: Some(request) }, &Verbatim).expect_err("bad content");
    assert!(matches!(error, InvalidRequest::Recalled { key, .. } if key.to_string() == "default/crs"));
}

#[test]
fn responses_survive_the_wire() {
    let CompiledRuleSet { key, revision, .. } = ruleset(&[], &[]);
    for body in [
        Body::Welcome(Welcome {
            epoch: 5,
            lease_duration: Duration::from_millis(15_000),
        }),
        Body::Upsert(ruleset(&["a"], &[("b", b"c")])),
        Body::Remove(key.clone()),
        Body::Recall {
            key,
            digest: revision.digest,
        },
        Body::Grants(vec![grant(1), grant(2)]),
        Body::Revoke(vec![grant(1).token, grant(2).token]),
        Body::SnapshotComplete,
    ] {
        let response = Response { nonce: 9, body };
        let bytes = v1alpha1::SubscribeResponse::from(&response).encode_to_vec();
        let wire = v1alpha1::SubscribeResponse::decode(&*bytes).expect("protobuf");
        assert_eq!(decode_response(wire, &Verbatim), Ok(response));
    }
}

/// A change to valid grants, and what the error must say.
type GrantsCorruption = (fn(&mut v1alpha1::Grants), &'static str);

#[test]
fn each_invalid_field_of_a_grant_is_named() {
    let corruptions: &[GrantsCorruption] = &[
        (|wire| wire.grants[1].token = Bytes::new(), "grant.token has 0 bytes"),
        (|wire| wire.grants[1].key = None, "grant.key is missing"),
        (|wire| wire.grants[1].engine = None, "grant.engine is missing"),
        (
            |wire| wire.grants[1].engine.as_mut().expect("an engine").uid = "a b".into(),
            "grant.engine is \"default/waf a b\"",
        ),
        (
            |wire| wire.grants = vec![wire.grants[0].clone(); MAX_GRANTS_PER_MESSAGE + 1],
            "grants.grants repeats 513 times",
        ),
    ];
    for (corrupt, expected) in corruptions {
        let mut wire = v1alpha1::Grants {
            grants: [grant(1), grant(2)].iter().map(Into::into).collect(),
        };
        corrupt(&mut wire);
        let wire = v1alpha1::SubscribeResponse {
            nonce: 3,
            response: Some(v1alpha1::subscribe_response::Response::Grants(wire)),
        };
        let invalid = decode_response(wire, &Verbatim).expect_err(expected);
        let message = invalid.source.to_string();
        assert!(
            invalid.nonce == 3 && message.contains(expected),
            "{message:?} lacks {expected:?}"
        );
    }
    for (tokens, expected) in [
        (vec![Bytes::from_static(b"short")], "revoke.tokens has 5 bytes"),
        (
            vec![Bytes::from_static(&[0; 32]); MAX_GRANTS_PER_MESSAGE + 1],
            "revoke.tokens repeats 513 times",
        ),
    ] {
        let revoke = v1alpha1::subscribe_response::Response::Revoke(v1alpha1::Revoke { tokens });
        let wire = v1alpha1::SubscribeResponse {
            nonce: 3,
            response: Some(revoke),
        };
        let message = decode_response(wire, &Verbatim).expect_err(expected).source.to_string();
        assert_eq!(message.split(',').next(), Some(expected));
    }
}

/// A change to a valid report, and what the error must say.
type ReportCorruption = (fn(&mut v1alpha1::Report), &'static str);

#[test]
fn each_invalid_field_of_a_report_is_named() {
    let corruptions: &[ReportCorruption] = &[
        (|wire| wire.engines[0].engine = None, "report.engine is missing"),
        (|wire| wire.engines[0].pollers[0].id = None, "poller.id is missing"),
        (
            |wire| wire.engines[0].pollers[0].id = Some(v1alpha1::poller::Id::Pod("a b".into())),
            "poller.pod is \"a b\"",
        ),
        (
            |wire| wire.engines[0].pollers[0].id = Some(v1alpha1::poller::Id::Address(Bytes::from_static(b"abc"))),
            "poller.address has 3 bytes",
        ),
        (
            |wire| {
                let tag = v1alpha1::Tag {
                    uuid: Bytes::new(),
                    timestamp: 1,
                };
                wire.engines[0].pollers[0].running = Some(v1alpha1::poller::Running::Revision(tag));
            },
            "poller.revision.uuid is \"[]\"",
        ),
        (
            |wire| {
                let tag = v1alpha1::Tag {
                    uuid: vec![0; 16].into(),
                    timestamp: u64::MAX,
                };
                wire.engines[0].pollers[0].running = Some(v1alpha1::poller::Running::Revision(tag));
            },
            "poller.revision.timestamp is 18446744073709551615",
        ),
        (
            |wire| wire.engines[0].pollers = vec![wire.engines[0].pollers[0].clone(); MAX_POLLERS_PER_REPORT + 1],
            "report.pollers repeats 2049 times",
        ),
        (
            |wire| wire.engines = vec![v1alpha1::EngineReport::default(); MAX_POLLERS_PER_REPORT + 1],
            "report.engines repeats 2049 times",
        ),
    ];
    for (corrupt, expected) in corruptions {
        let pollers = [poller("a", PollerId::Pod("gateway-0".into()), Running::Nothing)];
        let mut wire = v1alpha1::Report::from(&pollers[..]);
        corrupt(&mut wire);
        let request = v1alpha1::subscribe_request::Request::Report(wire);
        let wire = v1alpha1::SubscribeRequest { request: Some(request) };
        let message = decode_request(wire, &Verbatim).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn what_is_not_understood_can_be_refused_by_its_nonce() {
    let empty = v1alpha1::SubscribeResponse {
        nonce: 4,
        response: None,
    };
    let invalid = decode_response(empty, &Verbatim).expect_err("empty");
    assert_eq!(
        invalid,
        InvalidResponse {
            nonce: 4,
            source: InvalidBody::Unknown
        }
    );
    let no_key = v1alpha1::subscribe_response::Response::Remove(v1alpha1::Remove { key: None });
    let no_key = v1alpha1::SubscribeResponse {
        nonce: 5,
        response: Some(no_key),
    };
    let invalid = decode_response(no_key, &Verbatim).expect_err("no key");
    assert_eq!(invalid.nonce, 5);
    assert_eq!(invalid.source.to_string(), "remove.key is missing");
    let empty = v1alpha1::SubscribeRequest { request: None };
    assert_eq!(decode_request(empty, &Verbatim), Err(InvalidRequest::Unknown));
}

proptest! {
    #[test]
    fn any_content_survives_the_wire(
        sources in prop::collection::vec(".{0,20}", 0..6),
        files in prop::collection::btree_map("[-._a-zA-Z0-9]{1,8}", prop::collection::vec(any::<u8>(), 0..20), 0..6),
        nonce in any::<u64>(),
    ) {
        let sources: Vec<_> = sources.iter().map(String::as_str).collect();
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let response = Response { nonce, body: Body::Upsert(ruleset(&sources, &files)) };
        let bytes = v1alpha1::SubscribeResponse::from(&response).encode_to_vec();
        let wire = v1alpha1::SubscribeResponse::decode(&*bytes).expect("protobuf");
        prop_assert_eq!(decode_response(wire, &Interner::default()), Ok(response));
    }

    #[test]
    fn garbage_is_refused_or_understood_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(wire) = v1alpha1::SubscribeRequest::decode(&*bytes) {
            let _ = decode_request(wire, &Verbatim);
        }
        if let Ok(wire) = v1alpha1::SubscribeResponse::decode(&*bytes) {
            let _ = decode_response(wire, &Verbatim);
        }
    }

    #[test]
    fn a_valid_message_with_bytes_changed_is_never_a_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let request = Request::Recalled { key: ruleset(&[], &[]).key, ruleset: Some(ruleset(&["a", "b"], &[("c", b"d")])) };
        let report = Request::Report(vec![poller("a", PollerId::Pod("gateway-0".into()), Running::Nothing)]);
        for valid in [Request::Hello(hello()), request, report] {
            let mut bytes = v1alpha1::SubscribeRequest::from(&valid).encode_to_vec();
            for (index, byte) in &changes {
                let length = bytes.len();
                bytes[index.index(length)] = *byte;
            }
            if let Ok(wire) = v1alpha1::SubscribeRequest::decode(&*bytes) {
                let _ = decode_request(wire, &Verbatim);
            }
        }
    }
}
