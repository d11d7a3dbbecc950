//! The generated schemas against themselves, against the committed CRDs, and their rules in CEL by evaluating them. What the
//! real API server makes of them is tested in `e2e`.
#![cfg(test)]

use coraza_api::schema::crds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// The schema of a kind, as JSON.
fn schema(kind: &str) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    serde_json::to_value(
        crd.spec.versions[0]
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap(),
    )
    .unwrap()
}

/// Calls `visit` with the path and the schema of everything below `schema`, and of `schema` itself.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            walk(&format!("{path}[]"), inner, visit);
        }
    }
}

fn walk_all(mut visit: impl FnMut(&str, &Value)) {
    for kind in ["Engine", "RuleSet", "RuleSource", "RuleData"] {
        walk(kind, &schema(kind), &mut visit);
    }
}

/// What a value breaks of the constraints beside it; the subset of OpenAPI that our schemas use.
fn broken(schema: &Value, value: &Value) -> Option<String> {
    let number = |key: &str| schema[key].as_f64();
    let fits_type = match schema["type"].as_str()? {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => return Some(format!("type {other} is not known to this test")),
    };
    let (size, [least, most]) = match value {
        Value::String(text) => (text.chars().count(), ["minLength", "maxLength"]),
        Value::Array(items) => (items.len(), ["minItems", "maxItems"]),
        Value::Object(fields) => (fields.len(), ["minProperties", "maxProperties"]),
        _ => (0, ["", ""]),
    };
    let checks = [
        ("type", fits_type),
        (
            "enum",
            schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value)),
        ),
        (
            "minimum",
            value
                .as_f64()
                .zip(number("minimum"))
                .is_none_or(|(value, least)| value >= least),
        ),
        (
            "maximum",
            value
                .as_f64()
                .zip(number("maximum"))
                .is_none_or(|(value, most)| value <= most),
        ),
        (least, number(least).is_none_or(|least| size as f64 >= least)),
        (most, number(most).is_none_or(|most| size as f64 <= most)),
    ];
    checks
        .into_iter()
        .find(|(_, fits)| !fits)
        .map(|(constraint, _)| format!("{value} breaks {constraint}"))
}

#[test]
fn every_default_obeys_its_own_schema() {
    let mut defaults = Vec::new();
    walk_all(|path, schema| {
        if let Some(default) = schema.get("default") {
            assert_eq!(broken(schema, default), None, "{path}");
            defaults.push(path.to_owned());
        }
    });
    // A walk that finds nothing would find no fault either.
    assert_eq!(
        defaults,
        [
            "Engine.spec.failurePolicy",
            "Engine.spec.ruleSetCacheServer.pollIntervalSeconds",
            "Engine.spec.target.provider"
        ]
    );
}

#[test]
fn a_default_that_breaks_its_schema_is_seen() {
    let cases = [
        (json!({"type": "integer", "minimum": 1}), json!(0), "minimum"),
        (json!({"type": "integer", "maximum": 3}), json!(4), "maximum"),
        (json!({"type": "string", "enum": ["a"]}), json!("b"), "enum"),
        (json!({"type": "string", "minLength": 1}), json!(""), "minLength"),
        (json!({"type": "array", "minItems": 1}), json!([]), "minItems"),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "minProperties",
        ),
        (json!({"type": "string"}), json!(1), "type"),
    ];
    for (schema, default, constraint) in cases {
        assert!(
            broken(&schema, &default).unwrap().ends_with(constraint),
            "{schema} {default}"
        );
    }
}

#[test]
fn schemas_speak_the_api_servers_language() {
    walk_all(|path, schema| {
        let is_root = !path.contains('.');
        let is_status_of_root = path.matches('.').count() == 1 && path.ends_with(".status");
        let is_element = path.ends_with("[]");
        assert!(schema["type"].is_string(), "{path} has no single type");
        assert!(
            schema.get("nullable").is_none() || is_status_of_root,
            "{path} may be null, which is not the same as absent"
        );
        if let Some(format) = schema["format"].as_str() {
            assert!(
                ["int32", "int64", "date-time"].contains(&format),
                "{path} has the format {format}, unknown to Kubernetes"
            );
        }
        let described = schema["description"].as_str().is_some_and(|text| text.ends_with('.'));
        assert!(
            is_root || is_element || described,
            "{path} has no description for kubectl explain"
        );
    });
}

#[test]
fn every_rule_has_a_message() {
    let mut rules = Vec::new();
    walk_all(|path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules.push(path.to_owned());
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty() && !message.contains('\n'), "{path}: {rule}");
        }
    });
    assert_eq!(
        rules,
        [
            "Engine.spec.driver",
            "Engine.spec.driver.wasm.image",
            "Engine.spec.target",
            "Engine.spec.target.name",
            "Engine.spec.target.provider",
            "RuleData.spec.files",
        ]
    );
}

#[test]
fn list_types_let_writers_meet() {
    let mut lists = Vec::new();
    walk_all(|path, schema| {
        if schema["type"] == "array" {
            lists.push(format!(
                "{path} {} {}",
                schema["x-kubernetes-list-type"], schema["x-kubernetes-list-map-keys"]
            ));
        }
    });
    assert_eq!(
        lists,
        [
            r#"Engine.status.conditions "map" ["type"]"#,
            r#"RuleSet.spec.data "atomic" null"#,
            r#"RuleSet.spec.sources "atomic" null"#,
            r#"RuleSet.status.conditions "map" ["type"]"#,
            r#"RuleSet.status.diagnostics "atomic" null"#,
            r#"RuleSource.status.conditions "map" ["type"]"#,
            r#"RuleData.status.conditions "map" ["type"]"#,
        ]
    );
}

#[test]
fn names_columns_and_status_are_as_documented() {
    let summary = |crd: &CustomResourceDefinition| {
        let version = &crd.spec.versions[0];
        let columns: Vec<&str> = version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| column.name.as_str())
            .collect();
        assert!(
            version
                .subresources
                .as_ref()
                .is_some_and(|subresources| subresources.status.is_some())
        );
        let names = &crd.spec.names;
        format!(
            "{} {} {} {} {:?} {:?} {:?}",
            crd.spec.scope,
            names.plural,
            names.singular.as_deref().unwrap_or_default(),
            version.name,
            names.short_names.clone().unwrap_or_default(),
            names.categories.clone().unwrap_or_default(),
            columns
        )
    };
    assert_eq!(
        crds().iter().map(summary).collect::<Vec<_>>(),
        [
            r#"Namespaced engines engine v1alpha1 ["wafeng"] ["coraza", "waf"] ["RuleSet", "Provider", "Target Type", "Target Name", "Failure Policy", "Ready", "Enforced", "Revision", "Age"]"#,
            r#"Namespaced rulesets ruleset v1alpha1 ["wafrs"] ["coraza", "waf"] ["Ready", "Revision", "Age"]"#,
            r#"Namespaced rulesources rulesource v1alpha1 ["wafsrc"] ["coraza", "waf"] ["Ready", "Age"]"#,
            r#"Namespaced ruledata ruledata v1alpha1 ["wafdata"] ["coraza", "waf"] ["Ready", "Age"]"#,
        ]
    );
}

/// The messages of the rules that an object (or its change from `old`) breaks.
fn refusal(schema: &Value, object: &Value, old: Option<&Value>) -> Option<String> {
    kube_cel::Validator::new()
        .validate(schema, object, old)
        .err()
        .map(|errors| errors.to_string())
}

#[test]
fn rules_in_cel_refuse_what_they_name_and_nothing_else() {
    let engine = |target: &Value, driver: &Value| json!({"metadata": {"name": "e"}, "spec": {"ruleSet": {"name": "r"}, "target": target, "driver": driver}});
    let target = |name: &str| json!({"type": "Gateway", "name": name, "provider": "Istio"});
    let gateway = |name: &str| engine(&target(name), &json!({"type": "wasm", "wasm": {}}));
    let driver = |driver: Value| engine(&target("gw"), &driver);
    let data = |name: &str| json!({"metadata": {"name": "d"}, "spec": {"files": {name: "x"}}});
    let cases = [
        ("Engine", gateway("gw-1"), None),
        ("Engine", gateway("a"), None),
        ("Engine", gateway("1gw"), Some("DNS-1035")),
        ("Engine", gateway("Gw"), Some("DNS-1035")),
        ("Engine", gateway("gw-"), Some("DNS-1035")),
        ("Engine", gateway("a.b"), Some("DNS-1035")),
        ("Engine", driver(json!({"type": "wasm", "wasm": {}})), None),
        ("Engine", driver(json!({"type": "wasm"})), Some("driver.wasm")),
        (
            "Engine",
            driver(json!({"type": "wasm", "wasm": {"image": "oci://r/p:1"}})),
            None,
        ),
        (
            "Engine",
            driver(json!({"type": "wasm", "wasm": {"image": "http://r/p:1"}})),
            Some("oci://"),
        ),
        ("RuleData", data("a.data"), None),
        ("RuleData", data(&"a".repeat(253)), None),
        ("RuleData", data(&"a".repeat(254)), Some("file name")),
        ("RuleData", data("a/b"), Some("file name")),
        ("RuleData", data("../a"), Some("file name")),
        ("RuleData", data("a b"), Some("file name")),
        ("RuleData", data("ä"), Some("file name")),
        ("RuleData", data("a\n"), Some("file name")),
    ];
    for (kind, object, expected) in cases {
        let found = refusal(&schema(kind), &object, None);
        assert_eq!(found.is_some(), expected.is_some(), "{object}: {found:?}");
        assert!(
            expected.is_none_or(|expected| found.as_deref().unwrap_or_default().contains(expected)),
            "{object}: {found:?}"
        );
    }
}

/// With one provider, which is also the default, no change can reach these rules; they are for the second.
#[test]
fn provider_is_immutable() {
    let engine =
        |target: Value| json!({"metadata": {"name": "e"}, "spec": {"ruleSet": {"name": "r"}, "target": target}});
    let istio = engine(json!({"type": "Gateway", "name": "gw", "provider": "Istio"}));
    let other = engine(json!({"type": "Gateway", "name": "gw", "provider": "Other"}));
    let absent = engine(json!({"type": "Gateway", "name": "gw"}));
    let mut schema = schema("Engine");
    schema["properties"]["spec"]["properties"]["target"]["properties"]["provider"]
        .as_object_mut()
        .unwrap()
        .remove("default")
        .unwrap();
    assert_eq!(refusal(&schema, &istio, Some(&istio)), None);
    assert_eq!(refusal(&schema, &istio, Some(&absent)), None);
    assert!(
        refusal(&schema, &other, Some(&istio))
            .unwrap()
            .contains("can't be changed")
    );
    assert!(
        refusal(&schema, &absent, Some(&istio))
            .unwrap()
            .contains("can't be removed")
    );
}

#[test]
fn committed_crds_are_the_generated_ones() {
    let generated = tempfile::tempdir().unwrap();
    let crdgen = std::process::Command::new(env!("CARGO_BIN_EXE_crdgen"))
        .arg("--out")
        .arg(generated.path())
        .output()
        .unwrap();
    assert!(crdgen.status.success() && crdgen.stdout.is_empty(), "{crdgen:?}");
    let read = |directory: &std::path::Path| {
        let mut files: Vec<(String, String)> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| {
                (
                    path.file_name().unwrap().to_string_lossy().into_owned(),
                    std::fs::read_to_string(&path).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let committed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    assert_eq!(read(generated.path()).len(), 4);
    assert!(
        read(generated.path()) == read(&committed),
        "deploy/crds is stale: run `cargo xtask generate`"
    );
}
