//! The store against a model of it, its bodies against independent decoders.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use coraza_ruleset::{RulesText, Timestamp};
use proptest::prelude::*;

use super::*;

fn key(name: &str) -> RuleSetKey {
    RuleSetKey::new("team", name).expect("key")
}

fn ruleset(name: &str, rules: &str, timestamp: u64) -> CompiledRuleSet {
    let files = [(Arc::from("bad.data"), Bytes::from_static(b"evil\n"))];
    let content = Content {
        rules: RulesText::new([Arc::from(rules)]),
        data_files: Arc::new(files.into()),
    };
    let revision = Revision {
        digest: content.digest(),
        timestamp: Timestamp::from_unix_nanos(timestamp),
    };
    CompiledRuleSet {
        key: key(name),
        revision,
        content,
    }
}

fn upsert(store: &Store, name: &str, rules: &str, timestamp: u64) -> Applied {
    store.apply(StoreUpdate::Upsert(ruleset(name, rules, timestamp)))
}

fn joined(pieces: &Pieces) -> Vec<u8> {
    pieces.0.concat()
}

#[test]
fn bodies_are_what_the_go_plugin_parses() {
    let (store, compressor) = Store::new();
    upsert(&store, "crs", "SecRule \"<&>\"\n", 1_777_629_600_123_456_789);
    compressor.run_once();
    let entry = store.get(&key("crs")).expect("held");
    let uuid = entry.revision().uuid();
    let named = format!("{{\"uuid\":\"{uuid}\",\"timestamp\":\"2026-05-01T10:00:00.123456789Z\"");
    let full = format!("{named},\"rules\":\"SecRule \\\"<&>\\\"\\n\",\"dataFiles\":{{\"bad.data\":\"ZXZpbAo=\"}}}}\n");
    assert_eq!(joined(&entry.latest()), format!("{named}}}\n").into_bytes());
    assert_eq!(joined(&entry.identity()), full.as_bytes());
    assert_eq!(entry.etag(), &format!("W/\"1777629600123456789-{uuid}\""));

    // The decoder reads one gzip member and checks its CRC-32 and length: nothing may be left behind it.
    let gzip = joined(&entry.gzip().expect("compressed"));
    let mut decoder = flate2::bufread::GzDecoder::new(&gzip[..]);
    let mut text = String::new();
    decoder.read_to_string(&mut text).expect("gzip");
    assert_eq!(text, full);
    assert!(decoder.into_inner().is_empty());
}

#[test]
fn identity_is_ready_at_once_and_gzip_follows() {
    let (store, compressor) = Store::new();
    upsert(&store, "crs", "SecRuleEngine On", 1);
    let entry = store.get(&key("crs")).expect("held");
    assert!(entry.gzip().is_none() && !entry.identity().is_empty());
    let thread = std::thread::spawn(move || compressor.run());
    drop(store);
    thread.join().expect("ends with the store");
    assert!(entry.gzip().is_some());
}

#[test]
fn a_revision_that_was_replaced_is_not_compressed() {
    let (store, compressor) = Store::new();
    upsert(&store, "crs", "old", 1);
    let old = store.get(&key("crs")).expect("held");
    let payload = Arc::downgrade(old.payload());
    upsert(&store, "crs", "new", 2);
    drop(old);
    assert!(payload.upgrade().is_none());
    compressor.run_once();
    assert!(store.get(&key("crs")).expect("held").gzip().is_some());
}

#[test]
fn equal_content_is_encoded_once() {
    let (store, compressor) = Store::new();
    upsert(&store, "a", "same", 1);
    upsert(&store, "b", "same", 2);
    compressor.run_once();
    let [a, b] = ["a", "b"].map(|name| store.get(&key(name)).expect("held"));
    assert_eq!(a.identity().0[1].as_ptr(), b.identity().0[1].as_ptr());
    assert_eq!(
        a.gzip().expect("gzip").0[1].as_ptr(),
        b.gzip().expect("gzip").0[1].as_ptr()
    );
    assert_ne!(joined(&a.identity()), joined(&b.identity()));
    assert_eq!(
        store.usage(),
        Usage {
            rulesets: 2,
            content: 2 * (4 + 8 + 5),
            bodies: a.payload().encoded_len()
        }
    );
}

#[test]
fn ten_thousand_revisions_leave_one() {
    let (store, _compressor) = Store::new();
    for revision in 0..10_000 {
        assert_eq!(upsert(&store, "crs", &revision.to_string(), revision), Applied::Served);
    }
    assert_eq!(store.usage().rulesets, 1);
    assert!(store.lock().payloads.len() <= 2);
}

#[test]
fn thousands_of_revisions_of_a_large_ruleset_take_the_bytes_of_one() {
    let (store, compressor) = Store::new();
    let mut last: Option<Weak<Payload>> = None;
    let mut most = 0;
    for number in 0_u64..2_000 {
        let mut next = ruleset(
            "crs",
            &format!("SecRule ARGS \"@rx {number:08}\" \"id:{number}\"\n").repeat(200),
            number,
        );
        // Any digest will do, and a real one of each would take most of the test's time.
        next.revision.digest = Digest::new(std::array::from_fn(|byte| number.to_be_bytes()[byte % 8]));
        assert_eq!(store.apply(StoreUpdate::Upsert(next)), Applied::Served);
        assert!(
            last.is_none_or(|last| last.upgrade().is_none()),
            "revision {number} keeps the one before"
        );
        if number % 100 == 0 {
            compressor.run_once();
        }
        let entry = store.get(&key("crs")).expect("held");
        last = Some(Arc::downgrade(entry.payload()));
        let Usage { content, bodies, .. } = store.usage();
        assert!(
            bodies <= 2 * content,
            "revision {number}: {bodies} bytes of bodies for {content}"
        );
        most = most.max(bodies);
    }
    // What is waiting to be compressed holds no content either.
    compressor.run_once();
    assert!(store.usage().bodies <= most && store.lock().payloads.len() <= 2);
}

#[test]
fn recall_gives_back_what_is_served_and_nothing_else() {
    let (store, _compressor) = Store::new();
    let ruleset = ruleset("crs", "SecRuleEngine On\n\u{1}", 1);
    store.apply(StoreUpdate::Upsert(ruleset.clone()));
    let digest = ruleset.revision.digest;
    assert_eq!(store.recall(&ruleset.key, &digest), Some(ruleset.clone()));
    assert_eq!(
        store.recall(&ruleset.key, &digest).expect("held").content.digest(),
        digest
    );
    assert_eq!(store.recall(&ruleset.key, &Digest::new([0; 32])), None);
    assert_eq!(store.recall(&key("other"), &digest), None);
}

#[test]
fn rulesets_of_equal_content_have_their_own_names_of_sources() {
    let (store, compressor) = Store::new();
    let with_name = |ruleset_name: &str, name: &str, others: usize| {
        let mut ruleset = ruleset(ruleset_name, "SecRuleEngine On", 1);
        let empty = (0..others).map(|number| (format!("{}-{number}", "x".repeat(240)).into(), "".into()));
        ruleset.content.rules =
            RulesText::named(std::iter::once((name.into(), "SecRuleEngine On".into())).chain(empty));
        ruleset.revision.digest = ruleset.content.digest();
        ruleset
    };
    // More names than one block of gzip takes.
    let [mine, yours] = [
        with_name("mine", "my-rules", 400),
        with_name("yours", "your-rules", 400),
    ];
    for ruleset in [&mine, &yours] {
        store.apply(StoreUpdate::Upsert(ruleset.clone()));
    }
    compressor.run_once();
    for (ruleset, other) in [(&mine, &yours), (&yours, &mine)] {
        let entry = store.get(&ruleset.key).expect("held");
        let text = String::from_utf8(joined(&entry.identity())).expect("text");
        let [name, foreign] = [ruleset, other].map(|ruleset| &*ruleset.content.rules.names()[0]);
        assert!(text.contains(name) && !text.contains(foreign));
        let mut plain = String::new();
        let gzip = joined(&entry.gzip().expect("compressed"));
        flate2::bufread::GzDecoder::new(&gzip[..])
            .read_to_string(&mut plain)
            .expect("gzip");
        assert_eq!(plain, text);
        let recalled = store.recall(&ruleset.key, &ruleset.revision.digest).expect("held");
        assert_eq!(recalled.content.rules.names(), ruleset.content.rules.names());
        assert_eq!(recalled.content.rules.sources(), ruleset.content.rules.sources());
    }
    assert_eq!(
        store.usage().bodies,
        store.get(&mine.key).expect("held").payload().encoded_len()
    );
}

#[test]
fn who_waits_for_an_entry_learns_that_it_is_superseded() {
    let (store, _compressor) = Store::new();
    upsert(&store, "crs", "a", 1);
    upsert(&store, "other", "a", 1);
    let entry = store.get(&key("crs")).expect("held");
    upsert(&store, "other", "b", 2);
    upsert(&store, "crs", "stale", 0);
    assert!(!entry.is_superseded());
    upsert(&store, "crs", "b", 2);
    assert!(entry.is_superseded());
    let entry = store.get(&key("crs")).expect("held");
    assert_eq!(store.apply(StoreUpdate::Remove(key("crs"))), Applied::Removed);
    assert!(entry.is_superseded() && store.get(&key("crs")).is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Upsert(u8, u8, u64),
    Remove(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let upsert = (0_u8..3, 0_u8..3, 0_u64..8).prop_map(|(name, rules, timestamp)| Step::Upsert(name, rules, timestamp));
    prop::collection::vec(prop_oneof![9 => upsert, 1 => (0_u8..3).prop_map(Step::Remove)], 1..60)
}

proptest! {
    #[test]
    fn never_an_older_timestamp(steps in steps()) {
        let (store, _compressor) = Store::new();
        let mut model: BTreeMap<RuleSetKey, Revision> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(name, rules, timestamp) => {
                    let ruleset = ruleset(&name.to_string(), &rules.to_string(), timestamp);
                    let (key, revision) = (ruleset.key.clone(), ruleset.revision);
                    let expected = match model.get(&key) {
                        Some(held) if held.timestamp > revision.timestamp => Applied::Stale { held: *held },
                        Some(held) if *held == revision => Applied::Unchanged,
                        _ => Applied::Served,
                    };
                    prop_assert_eq!(store.apply(StoreUpdate::Upsert(ruleset)), expected);
                    if expected == Applied::Served {
                        model.insert(key, revision);
                    }
                }
                Step::Remove(name) => {
                    let expected = if model.remove(&key(&name.to_string())).is_some() { Applied::Removed } else { Applied::Absent };
                    prop_assert_eq!(store.apply(StoreUpdate::Remove(key(&name.to_string()))), expected);
                }
            }
            prop_assert_eq!(store.holdings(), model.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
