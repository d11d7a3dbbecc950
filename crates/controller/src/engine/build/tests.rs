//! The objects of an Engine, as they are written. Each snapshot is a diff of what gateways get.

use super::*;
use crate::engine::resolve::Logs;
use crate::engine::settings::tests::settings;
use coraza_api::istio::{Telemetry, WasmPlugin};
use k8s_openapi::api::networking::v1::NetworkPolicy;

fn engine() -> ResolvedEngine {
    ResolvedEngine {
        key: ObjectKey::new("shop", "waf"),
        uid: "0b8f3c1e".to_owned(),
        gateway: "public".into(),
        ruleset: "shop/crs".parse().expect("a key"),
        failure_policy: FailurePolicy::Fail,
        poll_interval_seconds: 15,
        image: None,
        pull_secret: None,
        logs: Logs::Collected,
        note: None,
    }
}

fn module(url: &str) -> Module {
    Module {
        url: url.to_owned(),
        sha256: None,
    }
}

fn built(engine: &ResolvedEngine, settings: &Settings, module: &Module, fail_reload: bool) -> Value {
    let plugin = Plugin {
        module,
        token: "e30.e30.sig",
        fail_reload,
        redrive: None,
    };
    super::plugin(engine, settings, &plugin).body::<WasmPlugin>(None)
}

#[test]
fn an_engine_with_defaults() {
    let settings = settings();
    let module = Module::embedded(&settings, coraza_ruleset::Digest::new([1; 32]));
    insta::assert_yaml_snapshot!([
        policy(&engine(), &settings).body::<NetworkPolicy>(None),
        built(&engine(), &settings, &module, true),
        telemetry(&engine(), &settings).body::<Telemetry>(None),
    ]);
}

#[test]
fn an_engine_that_says_everything() {
    let engine = ResolvedEngine {
        failure_policy: FailurePolicy::Allow,
        poll_interval_seconds: 5,
        pull_secret: Some("regcred".to_owned()),
        ..engine()
    };
    let settings = Settings {
        istio_revision: Some("canary".to_owned()),
        ..settings()
    };
    let image = module("oci://registry.example/plugin:latest");
    insta::assert_yaml_snapshot!([
        built(&engine, &settings, &image, true),
        telemetry(&engine, &settings).body::<Telemetry>(None),
    ]);
}

#[test]
fn what_a_gateway_does_when_the_plugin_fails_follows_from_the_policy() {
    let image = module("oci://a:1");
    for (failure_policy, fail_reload, told, strategy) in [
        (FailurePolicy::Fail, true, "fail", "FAIL_RELOAD"),
        (FailurePolicy::Fail, false, "fail", "FAIL_CLOSE"),
        (FailurePolicy::Allow, true, "allow", "FAIL_OPEN"),
        (FailurePolicy::Allow, false, "allow", "FAIL_OPEN"),
    ] {
        let engine = ResolvedEngine {
            failure_policy,
            ..engine()
        };
        let spec = &built(&engine, &settings(), &image, fail_reload)["spec"];
        assert_eq!(
            (&spec["pluginConfig"]["failure_policy"], &spec["failStrategy"]),
            (&told.into(), &strategy.into())
        );
    }
}

#[test]
fn a_redrive_is_carried_on() {
    let plugin = Plugin {
        module: &module("oci://a:1"),
        token: "t",
        fail_reload: true,
        redrive: Some(3.into()),
    };
    let child = super::plugin(&engine(), &settings(), &plugin);
    assert_eq!(child.spec["pluginConfig"][REDRIVE], 3);
}

#[test]
fn an_engine_of_the_longest_name_has_objects_that_the_api_server_takes() {
    let engine = ResolvedEngine {
        key: ObjectKey::new("shop", "a".repeat(253)),
        ..engine()
    };
    let policy = policy(&engine, &settings());
    assert!(policy.labels.values().all(|value| value.len() <= 63), "{policy:?}");
    assert_eq!(policy.annotations[annotation::ENGINE_NAME], "a".repeat(253));
    let telemetry = telemetry(&engine, &settings());
    assert!(telemetry.labels.values().all(|value| value.len() <= 63));
    assert!(telemetry.key.name.len() <= 253);
}
