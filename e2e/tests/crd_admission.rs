//! What the API server makes of our schemas: for each rule objects that it takes and objects that it refuses, with a message that says what to do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use coraza_api::{Engine, RuleData, RuleSet, RuleSource};
use coraza_e2e::{Namespace, until};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, TypeMeta};
use kube::{Api, CustomResourceExt as _, Resource};
use serde_json::{Value, json};

/// Taken, or refused with a message that has this in it.
type Verdict = Result<(), &'static str>;

/// The objects of a kind as plain JSON, so that a test can say what the types can't.
fn untyped<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(namespace: &Namespace) -> Api<DynamicObject> {
    Api::namespaced_with(namespace.client.clone(), &namespace.name, &ApiResource::erase::<K>(&()))
}

/// Creates objects with these specs and compares what the API server says of each.
async fn assert_verdicts<K>(cases: impl IntoIterator<Item = (&'static str, Value, Verdict)>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let namespace = Namespace::create().await;
    let objects = untyped::<K>(&namespace);
    let mut wrong = Vec::new();
    for (number, (case, spec, expected)) in cases.into_iter().enumerate() {
        let object = object::<K>(&format!("case-{number}"), &spec);
        let answer = objects.create(&PostParams::default(), &object).await.map(drop);
        if let Some(difference) = difference(answer, expected) {
            wrong.push(format!("{case}: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{} {}", K::kind(&()), wrong.join("\n"));
}

fn object<K: Resource<DynamicType = ()>>(name: &str, spec: &Value) -> DynamicObject {
    let object =
        json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

/// How an answer differs from what was expected.
fn difference(answer: kube::Result<()>, expected: Verdict) -> Option<String> {
    match (answer, expected) {
        (Ok(()), Ok(())) => None,
        (Ok(()), Err(message)) => Some(format!("was taken instead of refused with {message:?}")),
        (Err(kube::Error::Api(status)), Err(message)) if status.message.contains(message) => None,
        (Err(kube::Error::Api(status)), Err(message)) => {
            Some(format!("was refused with {:?} instead of {message:?}", status.message))
        }
        (Err(error), _) => Some(format!("was refused: {error}")),
    }
}

/// An Engine's spec that is good but for what `change` does to it.
fn engine(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "gw"}});
    change(&mut spec);
    spec
}

fn with(field: &'static str, value: Value) -> Value {
    engine(|spec| spec[field] = value)
}

fn with_target(field: &'static str, value: Value) -> Value {
    engine(|spec| spec["target"][field] = value)
}

fn without(field: &'static str) -> Value {
    engine(|spec| drop(spec.as_object_mut().unwrap().remove(field)))
}

fn with_image(image: &str) -> Value {
    with("driver", json!({"type": "wasm", "wasm": {"image": image}}))
}

fn with_secret(name: &str) -> Value {
    with("driver", json!({"type": "wasm", "wasm": {"imagePullSecret": name}}))
}

fn with_interval(seconds: impl Into<Value>) -> Value {
    let seconds: Value = seconds.into();
    with("ruleSetCacheServer", json!({"pollIntervalSeconds": seconds}))
}

const LABEL: &str = "name must be a DNS-1035 label";
const OCI: &str = "begins with oci://";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn engine_targets() {
    let image = |length: usize| format!("oci://{}", "a".repeat(length - "oci://".len()));
    assert_verdicts::<Engine>([
        ("the least", engine(|_| {}), Ok(())),
        ("no spec", Value::Null, Err("spec: Required value")),
        ("no ruleSet", without("ruleSet"), Err("spec.ruleSet: Required value")),
        (
            "ruleSet without a name",
            with("ruleSet", json!({})),
            Err("spec.ruleSet.name: Required value"),
        ),
        (
            "empty ruleSet name",
            with("ruleSet", json!({"name": ""})),
            Err("spec.ruleSet.name: Invalid value"),
        ),
        (
            "ruleSet name of 253",
            with("ruleSet", json!({"name": "a".repeat(253)})),
            Ok(()),
        ),
        (
            "ruleSet name of 254",
            with("ruleSet", json!({"name": "a".repeat(254)})),
            Err("may not be more than 253"),
        ),
        ("no target", without("target"), Err("spec.target: Required value")),
        (
            "no target type",
            with("target", json!({"name": "gw"})),
            Err("spec.target.type: Required value"),
        ),
        (
            "no target name",
            with("target", json!({"type": "Gateway"})),
            Err("spec.target.name: Required value"),
        ),
        (
            "unknown target type",
            with_target("type", json!("Ingress")),
            Err(r#"supported values: "Gateway""#),
        ),
        ("target name of 63", with_target("name", json!("a".repeat(63))), Ok(())),
        (
            "target name of 64",
            with_target("name", json!("a".repeat(64))),
            Err("spec.target.name: Too long"),
        ),
        (
            "empty target name",
            with_target("name", json!("")),
            Err("spec.target.name"),
        ),
        ("target name of one letter", with_target("name", json!("a")), Ok(())),
        (
            "target name with a digit and a hyphen",
            with_target("name", json!("a-1")),
            Ok(()),
        ),
        (
            "target name that begins with a digit",
            with_target("name", json!("1gw")),
            Err(LABEL),
        ),
        (
            "target name in upper case",
            with_target("name", json!("Gw")),
            Err(LABEL),
        ),
        (
            "target name that ends with a hyphen",
            with_target("name", json!("gw-")),
            Err(LABEL),
        ),
        ("target name with a dot", with_target("name", json!("a.b")), Err(LABEL)),
        (
            "target name with a line feed",
            with_target("name", json!("gw\n")),
            Err(LABEL),
        ),
        ("provider Istio", with_target("provider", json!("Istio")), Ok(())),
        (
            "unknown provider",
            with_target("provider", json!("Kuma")),
            Err(r#"supported values: "Istio""#),
        ),
        ("failure policy fail", with("failurePolicy", json!("fail")), Ok(())),
        ("failure policy allow", with("failurePolicy", json!("allow")), Ok(())),
        (
            "unknown failure policy",
            with("failurePolicy", json!("open")),
            Err(r#"supported values: "fail", "allow""#),
        ),
        ("image of 1024", with_image(&image(1024)), Ok(())),
        (
            "image of 1025",
            with_image(&image(1025)),
            Err("may not be more than 1024 bytes"),
        ),
    ])
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn engine_options() {
    assert_verdicts::<Engine>([
        ("empty cache server", with("ruleSetCacheServer", json!({})), Ok(())),
        ("interval of 1", with_interval(1), Ok(())),
        ("interval of 3600", with_interval(3600), Ok(())),
        ("interval of 0", with_interval(0), Err("greater than or equal to 1")),
        (
            "interval of 3601",
            with_interval(3601),
            Err("less than or equal to 3600"),
        ),
        ("interval as text", with_interval("15"), Err("must be of type integer")),
        (
            "driver without a type",
            with("driver", json!({})),
            Err("spec.driver.type: Required value"),
        ),
        (
            "unknown driver",
            with("driver", json!({"type": "lua"})),
            Err(r#"supported values: "wasm""#),
        ),
        (
            "driver wasm without its object",
            with("driver", json!({"type": "wasm"})),
            Err("needs the object driver.wasm"),
        ),
        (
            "driver wasm with defaults",
            with("driver", json!({"type": "wasm", "wasm": {}})),
            Ok(()),
        ),
        ("image", with_image("oci://r/p:1"), Ok(())),
        ("image over http", with_image("http://r/p.wasm"), Err(OCI)),
        ("image without a scheme", with_image("r/p:1"), Err(OCI)),
        ("empty image", with_image(""), Err("spec.driver.wasm.image")),
        ("pull secret", with_secret("s"), Ok(())),
        ("pull secret of 253", with_secret(&"a".repeat(253)), Ok(())),
        (
            "pull secret of 254",
            with_secret(&"a".repeat(254)),
            Err("spec.driver.wasm.imagePullSecret: Too long"),
        ),
        (
            "empty pull secret",
            with_secret(""),
            Err("spec.driver.wasm.imagePullSecret"),
        ),
        (
            "observability without a mode",
            with("observability", json!({})),
            Err("spec.observability.mode: Required value"),
        ),
        (
            "observability enabled",
            with("observability", json!({"mode": "Enabled"})),
            Ok(()),
        ),
        (
            "observability disabled",
            with("observability", json!({"mode": "Disabled"})),
            Ok(()),
        ),
        (
            "unknown observability",
            with("observability", json!({"mode": "On"})),
            Err(r#"supported values: "Enabled", "Disabled""#),
        ),
    ])
    .await;
}

fn references(count: usize) -> Value {
    (0..count)
        .map(|number| json!({"name": format!("part-{number}")}))
        .collect()
}

fn ruleset(sources: impl Into<Value>) -> Value {
    let sources: Value = sources.into();
    json!({"sources": sources})
}

fn ruleset_with_data(data: impl Into<Value>) -> Value {
    let data: Value = data.into();
    json!({"sources": references(1), "data": data})
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rulesets() {
    assert_verdicts::<RuleSet>([
        ("one source", ruleset(references(1)), Ok(())),
        ("2,048 sources", ruleset(references(2048)), Ok(())),
        (
            "2,049 sources",
            ruleset(references(2049)),
            Err("must have at most 2048 items"),
        ),
        ("no source", ruleset(json!([])), Err("should have at least 1 items")),
        ("no sources", json!({}), Err("spec.sources: Required value")),
        (
            "source without a name",
            ruleset(json!([{}])),
            Err("spec.sources[0].name: Required value"),
        ),
        (
            "source with an empty name",
            ruleset(json!([{"name": ""}])),
            Err("spec.sources[0].name"),
        ),
        (
            "source name of 254",
            ruleset(json!([{"name": "a".repeat(254)}])),
            Err("may not be more than 253"),
        ),
        // The controller says more about it than a schema could.
        ("a source twice", ruleset(json!([{"name": "a"}, {"name": "a"}])), Ok(())),
        ("256 data", ruleset_with_data(references(256)), Ok(())),
        (
            "257 data",
            ruleset_with_data(references(257)),
            Err("must have at most 256 items"),
        ),
        (
            "empty data",
            ruleset_with_data(json!([])),
            Err("should have at least 1 items"),
        ),
        (
            "data without a name",
            ruleset_with_data(json!([{}])),
            Err("spec.data[0].name: Required value"),
        ),
        ("null data", ruleset_with_data(Value::Null), Ok(())),
    ])
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn rulesources() {
    const MEBIBYTE: usize = 1 << 20;
    let rules = |rules: String| json!({"rules": rules});
    assert_verdicts::<RuleSource>([
        ("rules", rules("SecRuleEngine On".into()), Ok(())),
        // Whether they are good is said in the status: admission must not depend on which operator runs.
        ("not rules", rules("}{".into()), Ok(())),
        ("bytes of all kinds", rules("\u{0}\u{7f}\r\nä\u{1F980}".into()), Ok(())),
        ("no rules", json!({}), Err("spec.rules: Required value")),
        ("empty rules", rules(String::new()), Err("spec.rules")),
        (
            "a list",
            json!({"rules": ["SecRuleEngine On"]}),
            Err("must be of type string"),
        ),
        ("1 MiB", rules("#".repeat(MEBIBYTE)), Ok(())),
        (
            "2 MiB",
            rules("#".repeat(2 * MEBIBYTE)),
            Err("spec.rules: Too long: may not be more than 1572864 bytes"),
        ),
        ("4 MiB", rules("#".repeat(4 * MEBIBYTE)), Err("limit is 3145728")),
        ("1.5 MiB", rules("#".repeat(3 * MEBIBYTE / 2)), Err("too large")),
    ])
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn ruledata() {
    const NAME: &str = "a file name has only letters, digits";
    let file = |name: &str| json!({"files": {name: "x"}});
    assert_verdicts::<RuleData>([
        ("a file", file("words.data"), Ok(())),
        ("all characters of names", file("-._aZ9"), Ok(())),
        ("name of 253", file(&"a".repeat(253)), Ok(())),
        ("name of 254", file(&"a".repeat(254)), Err(NAME)),
        ("name with a slash", file("a/b"), Err(NAME)),
        ("name that leaves the folder", file("../etc/passwd"), Err(NAME)),
        ("name with a space", file("a b"), Err(NAME)),
        ("name with a NUL", file("a\u{0}"), Err(NAME)),
        ("name with a line feed", file("a\n"), Err(NAME)),
        ("name with an umlaut", file("ä"), Err(NAME)),
        ("empty name", file(""), Err(NAME)),
        ("one bad name among good ones", json!({"files": {"a": "x", "b c": "x"}}), Err(NAME)),
        ("no files", json!({"files": {}}), Err("should have at least 1 properties")),
        ("nothing", json!({}), Err("spec.files: Required value")),
        ("a file that is no text", json!({"files": {"a": 1}}), Err("must be of type string")),
        ("an empty file", json!({"files": {"a": ""}}), Ok(())),
        ("2,000 files", json!({"files": (0..2000).map(|number| (format!("f{number}"), json!("x"))).collect::<serde_json::Map<_, _>>()}), Ok(())),
    ])
    .await;
}

/// A NUL is a byte like any other in a file that is matched by bytes.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn texts_come_back_byte_by_byte() {
    let namespace = Namespace::create().await;
    let text = "\u{0}a\r\n\tä\u{1F980}\u{2028}\u{feff}\n\n";
    namespace.data("bytes", &[("a", text)]).await;
    namespace.source("bytes", text).await;
    let data = namespace.api::<RuleData>().get("bytes").await.unwrap();
    assert_eq!(&*data.spec.files["a"], text);
    assert_eq!(
        &*namespace.api::<RuleSource>().get("bytes").await.unwrap().spec.rules,
        text
    );
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn defaults_fill_what_is_absent_or_null_and_nothing_else() {
    let namespace = Namespace::create().await;
    let objects = untyped::<Engine>(&namespace);
    let full = |provider: &str, policy: &str| json!({"ruleSet": {"name": "crs"}, "target": {"type": "Gateway", "name": "gw", "provider": provider}, "failurePolicy": policy});
    let with_server = |server: Value| {
        let mut spec = full("Istio", "fail");
        spec["ruleSetCacheServer"] = server;
        spec
    };
    let cases = [
        (engine(|_| {}), full("Istio", "fail")),
        (with("failurePolicy", Value::Null), full("Istio", "fail")),
        (with("failurePolicy", json!("allow")), full("Istio", "allow")),
        (with_target("provider", Value::Null), full("Istio", "fail")),
        (with("ruleSetCacheServer", Value::Null), full("Istio", "fail")),
        (
            with("ruleSetCacheServer", json!({})),
            with_server(json!({"pollIntervalSeconds": 15})),
        ),
        (
            with_interval(Value::Null),
            with_server(json!({"pollIntervalSeconds": 15})),
        ),
        (with_interval(7), with_server(json!({"pollIntervalSeconds": 7}))),
        (with("unknown", json!(1)), full("Istio", "fail")),
    ];
    for (number, (given, expected)) in cases.into_iter().enumerate() {
        let created = objects
            .create(
                &PostParams::default(),
                &object::<Engine>(&format!("case-{number}"), &given),
            )
            .await
            .unwrap();
        assert_eq!(created.data["spec"], expected, "{given}");
    }
}

fn condition(change: impl FnOnce(&mut Value)) -> Value {
    let mut condition = json!({"type": "Ready", "status": "True", "reason": "RulesCached", "message": "m", "observedGeneration": 1,
        "lastTransitionTime": "2026-04-01T10:00:00Z"});
    change(&mut condition);
    json!({"conditions": [condition]})
}

fn diagnostic(change: impl FnOnce(&mut Value)) -> Value {
    let mut diagnostic = json!({"source": "base", "line": 3, "column": 17, "severity": "error", "message": "m"});
    change(&mut diagnostic);
    json!({"diagnostics": [diagnostic]})
}

/// Limits that the operator keeps by itself: one that did not would lose the write, not the object.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn statuses() {
    let namespace = Namespace::create().await;
    namespace.ruleset("crs", &["base"], &[]).await;
    let objects = untyped::<RuleSet>(&namespace);
    let of_types = |types: Vec<String>| {
        let conditions = types
            .into_iter()
            .map(|type_| condition(|condition| condition["type"] = json!(type_))["conditions"][0].clone());
        json!({"conditions": conditions.collect::<Vec<_>>()})
    };
    let diagnostics = |count: usize| json!({"diagnostics": vec![diagnostic(|_| {})["diagnostics"][0].clone(); count]});
    let revision = json!({"uuid": "u", "digest": "d", "timestamp": "2026-04-01T10:00:00.000000001Z", "bytes": 9_000_000_000_u64, "rules": 1});
    let cases: [(&str, Value, Verdict); 19] = [
        ("a condition", condition(|_| {}), Ok(())),
        ("no condition", json!({"conditions": []}), Err("at least 1 items")),
        (
            "16 conditions",
            of_types((0..16).map(|number| format!("T{number}")).collect()),
            Ok(()),
        ),
        (
            "17 conditions",
            of_types((0..17).map(|number| format!("T{number}")).collect()),
            Err("at most 16 items"),
        ),
        (
            "two of a type",
            of_types(vec!["Ready".into(), "Ready".into()]),
            Err("Duplicate value"),
        ),
        (
            "condition status",
            condition(|condition| condition["status"] = json!("Maybe")),
            Err(r#"supported values: "True", "False", "Unknown""#),
        ),
        (
            "reason of two words",
            condition(|condition| condition["reason"] = json!("two words")),
            Err("reason"),
        ),
        (
            "message of 32768",
            condition(|condition| condition["message"] = json!("m".repeat(32_768))),
            Ok(()),
        ),
        (
            "message of 32769",
            condition(|condition| condition["message"] = json!("m".repeat(32_769))),
            Err("may not be more than 32768"),
        ),
        (
            "no time",
            condition(|condition| drop(condition.as_object_mut().unwrap().remove("lastTransitionTime"))),
            Err("lastTransitionTime: Required value"),
        ),
        (
            "no such time",
            condition(|condition| condition["lastTransitionTime"] = json!("today")),
            Err("must be of type date-time"),
        ),
        ("revision", json!({"revision": revision}), Ok(())),
        (
            "half a revision",
            json!({"revision": {"uuid": null}}),
            Err("revision.uuid: Required value"),
        ),
        ("50 diagnostics", diagnostics(50), Ok(())),
        ("51 diagnostics", diagnostics(51), Err("must have at most 50 items")),
        (
            "diagnostic of 1024",
            diagnostic(|diagnostic| diagnostic["message"] = json!("m".repeat(1024))),
            Ok(()),
        ),
        (
            "diagnostic of 1025",
            diagnostic(|diagnostic| diagnostic["message"] = json!("m".repeat(1025))),
            Err("may not be more than 1024"),
        ),
        (
            "line 0",
            diagnostic(|diagnostic| diagnostic["line"] = json!(0)),
            Err("greater than or equal to 1"),
        ),
        (
            "severity",
            diagnostic(|diagnostic| diagnostic["severity"] = json!("fatal")),
            Err(r#"supported values: "error", "warning""#),
        ),
    ];
    let mut wrong = Vec::new();
    for (case, status, expected) in cases {
        let patch = Patch::Merge(json!({"status": status}));
        let answer = objects
            .patch_status("crs", &PatchParams::default(), &patch)
            .await
            .map(drop);
        wrong.extend(difference(answer, expected).map(|difference| format!("{case}: {difference}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// There is one provider, and it is the default: no change of an Engine can break these rules today. A copy of the kind that knows another
/// provider, and no default, shows what they will do.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn provider_is_immutable() {
    let namespace = Namespace::create().await;
    let objects = untyped::<Engine>(&namespace);
    objects
        .create(&PostParams::default(), &object::<Engine>("gateway", &engine(|_| {})))
        .await
        .unwrap();
    let change = |provider: Value| Patch::Merge(json!({"spec": {"target": {"provider": provider}}}));
    let answer = objects
        .patch("gateway", &PatchParams::default(), &change(json!("Kuma")))
        .await
        .map(drop);
    assert_eq!(difference(answer, Err(r#"supported values: "Istio""#)), None);
    let unset = objects
        .patch("gateway", &PatchParams::default(), &change(Value::Null))
        .await
        .unwrap();
    assert_eq!(unset.data["spec"]["target"]["provider"], "Istio");

    let group = format!("{}.example", namespace.name);
    let crds = Api::<CustomResourceDefinition>::all(namespace.client.clone());
    let crd = crds
        .create(&PostParams::default(), &with_another_provider(&group))
        .await
        .unwrap();
    let resource = ApiResource {
        group: group.clone(),
        version: "v1alpha1".to_owned(),
        api_version: format!("{group}/v1alpha1"),
        kind: COPY.to_owned(),
        plural: COPIES.to_owned(),
    };
    let objects = Api::<DynamicObject>::namespaced_with(namespace.client.clone(), &namespace.name, &resource);
    let mut manifest = object::<Engine>("gateway", &with_target("provider", json!("Istio")));
    manifest.types = Some(TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    until("the copied kind to be served", async || {
        objects
            .create(&PostParams::default(), &manifest)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let changed = objects
        .patch("gateway", &PatchParams::default(), &change(json!("Kuma")))
        .await
        .map(drop);
    let removed = objects
        .patch("gateway", &PatchParams::default(), &change(Value::Null))
        .await
        .map(drop);
    let renamed = objects
        .patch(
            "gateway",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"target": {"name": "other"}}})),
        )
        .await
        .map(drop);
    crds.delete(&crd.metadata.name.unwrap(), &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        difference(
            changed,
            Err("provider can't be changed: delete the Engine and create it again")
        ),
        None
    );
    assert_eq!(
        difference(removed, Err("provider can't be removed once it is set")),
        None
    );
    assert_eq!(difference(renamed, Ok(())), None);
}

/// Other names than the original's: other tests ask for Engines by theirs.
const COPY: &str = "Copy";
const COPIES: &str = "copies";

/// The CRD of Engines under another name, whose target has a second provider and no default.
fn with_another_provider(group: &str) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(Engine::crd()).unwrap();
    crd["metadata"]["name"] = json!(format!("{COPIES}.{group}"));
    crd["spec"]["group"] = json!(group);
    crd["spec"]["names"] = json!({"kind": COPY, "plural": COPIES});
    let provider = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/target/properties/provider")
        .unwrap();
    provider["enum"] = json!(["Istio", "Kuma"]);
    provider.as_object_mut().unwrap().remove("default").unwrap();
    serde_json::from_value(crd).unwrap()
}

/// What a person types, and sees.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_knows_short_names_categories_and_columns() {
    let namespace = Namespace::create().await;
    namespace.source("base", "SecRuleEngine On").await;
    namespace.data("words", &[("a", "x")]).await;
    namespace.ruleset("crs", &["base"], &[]).await;
    namespace.apply::<Engine>("gateway", engine(|_| {})).await;
    // kubectl remembers an API server's kinds for hours, and another API server may have had this port.
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().to_string_lossy();
    let get = |what: &str| {
        coraza_e2e::cluster::kubectl(&["get", what, "--namespace", &namespace.name, "--cache-dir", &cache])
    };
    for short in ["wafeng", "wafrs", "wafsrc", "wafdata"] {
        assert_eq!(get(short).lines().count(), 2, "{short}");
    }
    for category in ["coraza", "waf"] {
        let all = get(category);
        for name in ["/base", "/words", "/crs", "/gateway"] {
            assert!(all.contains(name), "{category}: {all}");
        }
    }
    let header = |what: &str| {
        get(what)
            .lines()
            .next()
            .unwrap()
            .split("  ")
            .map(str::trim)
            .filter(|column| !column.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        header("engines"),
        [
            "NAME",
            "RULESET",
            "PROVIDER",
            "TARGET TYPE",
            "TARGET NAME",
            "FAILURE POLICY",
            "READY",
            "ENFORCED",
            "AGE"
        ]
    );
    assert_eq!(header("rulesets"), ["NAME", "READY", "REVISION", "AGE"]);
    assert_eq!(header("rulesources"), ["NAME", "READY", "AGE"]);
    assert_eq!(header("ruledata"), ["NAME", "READY", "AGE"]);
}
