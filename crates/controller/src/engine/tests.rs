//! Engines before an API server that a test plays: what is called, what is written, what is said, and that it settles.

mod world;

use serde_json::json;

use self::world::{World, revision};
use super::*;

const READY: [&str; 2] = ["Accepted=True Accepted", "Ready=True Configured"];

fn failed(reason: &str) -> [String; 3] {
    [
        "Accepted=True Accepted".to_owned(),
        format!("Degraded=True {reason}"),
        format!("Ready=False {reason}"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_new_engine_costs_one_call_per_object_and_settles() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    let calls = world.settle("waf").await;
    let expected = [
        "POST networkpolicies",
        "POST serviceaccounts/token",
        "POST wasmplugins",
        "PATCH engines/status",
        "POST events",
        "POST events",
    ];
    assert_eq!(calls, expected);
    assert_eq!(world.said("waf"), READY);
    let events: Vec<_> = {
        let server = world.server();
        let shown = server
            .events
            .iter()
            .map(|event| (event["reason"].clone(), event["action"].clone(), event["type"].clone()));
        shown.collect()
    };
    assert_eq!(
        json!(events),
        json!([
            ["Configured", "Reconcile", "Normal"],
            ["WasmPluginCreated", "Provision", "Normal"]
        ])
    );
    let status = world.object("Engine", "waf").expect("an Engine")["status"].clone();
    assert_eq!(status["revision"]["uuid"], "1", "what gateways go on enforcing");
}

#[tokio::test(start_paused = true)]
async fn an_old_kubernetes_is_said_and_stops_nothing() {
    let world = World::new();
    world.context.set_kubernetes_note("Kubernetes is v1.30.0".to_owned());
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
    assert!(
        world.message("waf").ends_with("; Kubernetes is v1.30.0"),
        "{}",
        world.message("waf")
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let token = world.token();
    let restarted = World::before(&world.server);
    let (outcome, calls) = restarted.look("waf").await;
    assert_eq!(calls, Vec::<String>::new());
    assert!(matches!(outcome, Ok(Outcome::Again(_))), "the token is looked after");
    assert_eq!(restarted.token(), token);
    assert_eq!(restarted.context.publisher.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn stock_is_taken_of_every_token_in_use() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let restarted = World::before(&world.server);
    take_stock(&restarted.context);
    assert_eq!(restarted.context.publisher.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_edit_of_a_child_is_taken_back_and_each_deletion_made_good() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let good = world.plugin().expect("a WasmPlugin")["spec"].clone();
    world.edit_plugin(|plugin| plugin["spec"]["failStrategy"] = "FAIL_OPEN".into());
    assert_eq!(world.settle("waf").await, ["PATCH wasmplugins"]);
    world.edit_plugin(|plugin| plugin["spec"]["match"] = json!([{"ports": [{"number": 1}]}]));
    assert_eq!(world.settle("waf").await, ["PATCH wasmplugins"]);
    world.edit_plugin(|plugin| plugin["spec"]["pluginConfig"]["cache_token"] = "stolen".into());
    assert_eq!(world.settle("waf").await, ["PATCH wasmplugins"]);
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["spec"],
        good,
        "the same token, too"
    );
    world.delete("/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins/coraza-engine-waf");
    assert_eq!(world.settle("waf").await, ["POST wasmplugins", "POST events"]);
    assert_eq!(world.plugin().expect("a WasmPlugin")["spec"], good);
    world.delete("/apis/networking.k8s.io/v1/namespaces/coraza-system/networkpolicies/coraza-cache-u1");
    assert_eq!(world.settle("waf").await, ["POST networkpolicies"]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_engine_arrives_and_keeps_the_token() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let token = world.token();
    world.put_engine("waf", "u1", |engine| engine["spec"]["failurePolicy"] = "allow".into());
    let calls = world.settle("waf").await;
    assert_eq!(calls, ["PATCH wasmplugins"]);
    let spec = world.plugin().expect("a WasmPlugin")["spec"].clone();
    assert_eq!(
        (&spec["failStrategy"], &spec["pluginConfig"]["failure_policy"]),
        (&"FAIL_OPEN".into(), &"allow".into())
    );
    assert_eq!(world.token(), token);
}

/// Of each step of the provisioning: what the Engine says while it fails.
const STEPS: [(&str, &str); 3] = [
    ("POST networkpolicies", "NetworkPolicyFailed"),
    ("POST serviceaccounts/token", "TokenFailed"),
    ("POST wasmplugins", "ProvisioningFailed"),
];

#[tokio::test(start_paused = true)]
async fn a_failure_of_any_step_is_said_and_tried_again_without_another_token() {
    for (step, reason) in STEPS {
        for code in [409, 429, 500, 403] {
            let world = World::new();
            world.put_engine("waf", "u1", |_| {});
            world.server().failing = vec![(step, code)];
            let (outcome, _) = world.look("waf").await;
            // A conflict is an object of that name: read, it isn't there.
            assert!(matches!(outcome, Ok(Outcome::Failed)), "{step} {code}: {outcome:?}");
            assert_eq!(world.said("waf"), failed(reason), "{step} {code}");
            assert!(world.message("waf").contains("scripted"), "{}", world.message("waf"));
            let (again, calls) = world.look("waf").await;
            assert!(
                matches!(again, Ok(Outcome::Failed)) && !calls.iter().any(|call| call.contains("events")),
                "{calls:?}"
            );
            world.server().failing.clear();
            let calls = world.settle("waf").await;
            assert_eq!(world.said("waf"), READY, "{step} {code}");
            let tokens = calls.iter().filter(|call| call.ends_with("/token")).count();
            assert_eq!(
                tokens,
                usize::from(step != "POST wasmplugins"),
                "{step} {code}: {calls:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_can_not_be_written_is_written_later() {
    for code in [409, 429, 500] {
        let world = World::new();
        world.put_engine("waf", "u1", |_| {});
        world.server().failing = vec![("PATCH engines/status", code)];
        let (outcome, calls) = world.look("waf").await;
        assert_eq!(
            outcome.is_err(),
            code != 409,
            "{code}: the watch brings what there was a conflict with"
        );
        assert!(world.plugin().is_some(), "{calls:?}");
        world.server().failing.clear();
        assert_eq!(
            world.settle("waf").await.first().map(String::as_str),
            Some("PATCH engines/status")
        );
        assert_eq!(world.said("waf"), READY);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_account_is_told_by_name() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.server().failing = vec![("POST serviceaccounts/token", 404)];
    world.look("waf").await.0.expect("reported");
    assert_eq!(world.said("waf"), failed("ServiceAccountFailed"));
    assert!(
        world
            .message("waf")
            .contains("coraza-plugin is missing in the namespace coraza-system")
    );
}

#[tokio::test(start_paused = true)]
async fn istio_without_fail_reload_gets_fail_close() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.server().failing = vec![("POST wasmplugins", 422)];
    let (outcome, calls) = world.look("waf").await;
    assert!(matches!(outcome, Ok(Outcome::Failed)));
    assert_eq!(
        calls.iter().filter(|call| *call == "POST wasmplugins").count(),
        2,
        "tried without it"
    );
    world.server().failing.clear();
    world.settle("waf").await;
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["spec"]["failStrategy"],
        "FAIL_RELOAD"
    );
    world.context.fail_reload.refused().await;
    assert_eq!(world.settle("waf").await, ["PATCH wasmplugins"]);
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["spec"]["failStrategy"],
        "FAIL_CLOSE"
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_else_s_wasm_plugin_is_never_overwritten() {
    let world = World::new();
    let path = "/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins/coraza-engine-waf";
    let theirs = json!({"kind": "WasmPlugin", "metadata": {"namespace": "shop", "name": "coraza-engine-waf", "uid": "x"}, "spec": {"url": "oci://theirs"}});
    for seen in [true, false] {
        world.server().put(path, theirs.clone());
        world.put_engine("waf", if seen { "u1" } else { "u2" }, |_| {});
        if !seen {
            // It was made a moment ago, and no watch has told of it.
            let key = ObjectKey::new("shop", "coraza-engine-waf");
            world
                .context
                .watched
                .index()
                .apply(crate::watch::store::Event::<ChildView<WasmPlugin>>::Delete(key));
        }
        let (outcome, _) = world.look("waf").await;
        assert!(
            matches!(outcome, Ok(Outcome::Done | Outcome::Again(_))),
            "the watch tells when it is gone: {outcome:?}"
        );
        assert_eq!(world.plugin().expect("theirs")["spec"], theirs["spec"]);
        assert_eq!(world.said("waf"), failed("ProvisioningFailed"));
        assert!(
            world
                .message("waf")
                .contains("shop/coraza-engine-waf exists and belongs to"),
            "{}",
            world.message("waf")
        );
    }
    world.delete(path);
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_cleared_away_and_takes_over_when_the_winner_goes() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    world.put_engine("old", "u0", |engine| {
        engine["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    world.settle("old").await;
    let calls = world.settle("waf").await;
    assert_eq!(
        calls,
        [
            "DELETE wasmplugins",
            "DELETE networkpolicies",
            "PATCH engines/status",
            "POST events"
        ]
    );
    assert_eq!(
        world.said("waf"),
        [
            "Accepted=False TargetConflict",
            "Enforced=False NotAttached",
            "Ready=False TargetConflict"
        ]
    );
    assert_eq!(world.context.publisher.grants(), 1, "the winner's");
    world.delete_engine("old");
    world.settle("old").await;
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
    assert!(world.object("WasmPlugin", "coraza-engine-old").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_gone_leaves_nothing() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    world.delete_engine("waf");
    world.server().failing = vec![("DELETE wasmplugins", 500)];
    let (outcome, calls) = world.look("waf").await;
    assert!(matches!(outcome, Ok(Outcome::Failed)));
    assert_eq!(calls, ["DELETE wasmplugins"], "the policy goes after the plugin");
    assert_eq!(world.context.publisher.grants(), 0, "revoked all the same");
    world.server().failing.clear();
    assert_eq!(
        world.settle("waf").await,
        ["DELETE wasmplugins", "DELETE networkpolicies"]
    );
    let left = world
        .server()
        .objects
        .values()
        .filter(|object| object["kind"] == "NetworkPolicy")
        .count();
    assert_eq!((left, world.plugin()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_recreated_engine_gets_objects_and_tokens_of_its_own() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let token = world.token();
    world.delete_engine("waf");
    world.put_engine("waf", "u2", |_| {});
    let calls = world.settle("waf").await;
    assert_eq!(
        calls,
        [
            "POST networkpolicies",
            "DELETE networkpolicies",
            "DELETE wasmplugins",
            // It is accepted; the rest when the former WasmPlugin is gone.
            "PATCH engines/status",
            "POST serviceaccounts/token",
            "POST wasmplugins",
            "PATCH engines/status",
            "POST events",
            "POST events",
        ]
    );
    assert_ne!(world.token(), token);
    assert_eq!(world.context.publisher.grants(), 1);
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["metadata"]["ownerReferences"][0]["uid"],
        "u2"
    );
}

#[tokio::test(start_paused = true)]
async fn another_ruleset_takes_another_token_and_takes_the_first_back() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    world.put_ruleset("other", &json!({"conditions": [], "revision": revision("2")}));
    world.put_engine("waf", "u1", |engine| engine["spec"]["ruleSet"]["name"] = "other".into());
    let calls = world.settle("waf").await;
    assert_eq!(
        calls,
        [
            "POST serviceaccounts/token",
            "PATCH wasmplugins",
            "PATCH engines/status"
        ]
    );
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["spec"]["pluginConfig"]["cache_server_instance"],
        "shop/other"
    );
    assert_eq!(world.context.publisher.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ruleset_that_is_gone_leaves_the_gateways_what_they_have() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let before = world.plugin();
    world.delete_ruleset("crs");
    assert_eq!(world.settle("waf").await, ["PATCH engines/status", "POST events"]);
    assert_eq!(world.said("waf"), failed("RuleSetNotFound"));
    assert_eq!(world.plugin(), before);
    let status = world.object("Engine", "waf").expect("an Engine")["status"].clone();
    assert_eq!(
        status["revision"]["uuid"], "1",
        "what caches are asked for after a restart"
    );
    // To another one that isn't there: what is enforced stays enforced.
    world.put_engine("waf", "u1", |engine| {
        engine["spec"]["ruleSet"]["name"] = "nowhere".into();
    });
    world.settle("waf").await;
    assert_eq!(world.plugin(), before);
    assert_eq!(world.context.publisher.grants(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_while_the_ruleset_is_degraded_missing_or_the_engine_unreadable() {
    for trouble in ["degraded", "missing", "retargeted", "unreadable"] {
        let world = World::new();
        world.server().token_life = 100;
        world.put_engine("waf", "u1", |_| {});
        world.settle("waf").await;
        let token = world.token();
        match trouble {
            "degraded" => {
                let condition = json!({"type": "Degraded", "status": "True", "reason": "InvalidRuleSet", "message": "line 3",
                    "lastTransitionTime": "2026-05-01T10:00:00Z"});
                world.put_ruleset("crs", &json!({"conditions": [condition], "revision": revision("1")}));
                world.watch();
            }
            "missing" => world.delete_ruleset("crs"),
            "retargeted" => world.put_engine("waf", "u1", |engine| {
                engine["spec"]["ruleSet"]["name"] = "nowhere".into();
            }),
            _ => world.put_engine("waf", "u1", |engine| {
                engine["spec"]["target"]["type"] = "Service".into();
            }),
        }
        world.settle("waf").await;
        assert_eq!(world.token(), token, "{trouble}");
        tokio::time::advance(std::time::Duration::from_secs(80)).await;
        let (_, calls) = world.look("waf").await;
        assert_eq!(calls, ["POST serviceaccounts/token", "PATCH wasmplugins"], "{trouble}");
        assert_ne!(world.token(), token, "{trouble}");
        assert_eq!(
            world.context.publisher.grants(),
            2,
            "{trouble}: the old one serves until it expires"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_can_not_be_renewed_is_gone_on_with() {
    let world = World::new();
    world.server().token_life = 100;
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let token = world.token();
    tokio::time::advance(std::time::Duration::from_secs(80)).await;
    world.server().failing = vec![("POST serviceaccounts/token", 500)];
    world.edit_plugin(|plugin| plugin["spec"]["url"] = "oci://evil".into());
    let (outcome, calls) = world.look("waf").await;
    assert!(matches!(outcome, Ok(Outcome::Failed)));
    assert!(
        calls.contains(&"PATCH wasmplugins".to_owned()),
        "drift is repaired all the same: {calls:?}"
    );
    assert_eq!(
        (world.token(), world.said("waf")),
        (token, failed("TokenFailed").to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_go_operator_left_is_taken_over_or_taken_away() {
    let world = World::new();
    let policy = json!({"kind": "NetworkPolicy", "metadata": {"namespace": "coraza-system", "name": "coraza-cache-x7k2p", "uid": "p",
        "labels": {"app.kubernetes.io/managed-by": "coraza-kubernetes-operator", "waf.k8s.coraza.io/engine-name": "waf",
            "waf.k8s.coraza.io/engine-namespace": "shop"}}, "spec": {}});
    world.server().put(
        "/apis/networking.k8s.io/v1/namespaces/coraza-system/networkpolicies/coraza-cache-x7k2p",
        policy,
    );
    let plugin = json!({"kind": "WasmPlugin", "metadata": {"namespace": "shop", "name": "coraza-engine-waf", "uid": "w",
        "ownerReferences": [{"apiVersion": "waf.k8s.coraza.io/v1alpha1", "kind": "Engine", "name": "waf", "uid": "u1", "controller": true}]},
        "spec": {"url": "oci://go", "pluginConfig": {"cache_token": "x", "cache_server_instance": "shop/crs"}}});
    world.server().put(
        "/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins/coraza-engine-waf",
        plugin,
    );
    world.put_engine("waf", "u1", |engine| {
        engine["metadata"]["finalizers"] = json!(["waf.k8s.coraza.io/network-policy-cleanup", "example.com/other"]);
        let condition = json!({"type": "Degraded", "status": "True", "reason": "TokenFailed", "message": "m", "lastTransitionTime": "2026-05-01T10:00:00Z"});
        engine["status"] = json!({"conditions": [condition]});
    });
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
    assert_eq!(
        world.object("Engine", "waf").expect("an Engine")["metadata"]["finalizers"],
        json!(["example.com/other"])
    );
    assert!(world.object("NetworkPolicy", "coraza-cache-x7k2p").is_none());
    assert_eq!(
        world.plugin().expect("a WasmPlugin")["metadata"]["uid"],
        "w",
        "taken over"
    );
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_being_deleted_is_cleared_away_and_let_go() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    world.put_engine("waf", "u1", |engine| {
        engine["metadata"]["finalizers"] = json!(["waf.k8s.coraza.io/network-policy-cleanup"]);
        engine["metadata"]["deletionTimestamp"] = "2026-05-02T00:00:00Z".into();
    });
    assert_eq!(
        world.settle("waf").await,
        ["DELETE wasmplugins", "DELETE networkpolicies", "PATCH engines"]
    );
    assert_eq!(
        world.object("Engine", "waf").expect("an Engine")["metadata"]["finalizers"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn without_istio_an_engine_says_so_and_no_token_is_wasted() {
    let world = World::new();
    world.context.watched.index().absent::<ChildView<WasmPlugin>>();
    world.put_engine("waf", "u1", |_| {});
    world.context.watched.index().absent::<ChildView<WasmPlugin>>();
    let (outcome, calls) = world.look("waf").await;
    assert_eq!(calls, ["POST networkpolicies", "PATCH engines/status", "POST events"]);
    assert!(matches!(outcome, Ok(Outcome::Done)), "the watch tells when it is there");
    assert_eq!(world.said("waf"), failed("ProvisioningFailed"));
    assert!(
        world.message("waf").contains("not installed"),
        "{}",
        world.message("waf")
    );
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY, "it was installed");
}

#[tokio::test(start_paused = true)]
async fn an_embedded_plugin_waits_for_a_cache_that_tells_of_it() {
    let mut world = World::new();
    world.context.settings = Arc::new(crate::engine::settings::tests::settings());
    world.put_engine("waf", "u1", |_| {});
    world.look("waf").await.0.expect("reported");
    let waiting = [
        "Accepted=True Accepted",
        "Progressing=True AwaitingCache",
        "Ready=False AwaitingCache",
    ];
    assert_eq!(world.said("waf"), waiting);
    assert!(
        world
            .context
            .announced()
            .announce(&[(coraza_ruleset::Digest::new([1; 32]), 1)].into())
    );
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
    let spec = world.plugin().expect("a WasmPlugin")["spec"].clone();
    let sha = "01".repeat(32);
    assert_eq!(spec["sha256"], sha);
    let url = format!("http://coraza-cache.coraza-system.svc.cluster.local:18081/plugins/coraza-{sha}.wasm");
    assert_eq!(spec["url"], url);
    let mut restarted = World::before(&world.server);
    restarted.context.settings = Arc::clone(&world.context.settings);
    assert!(
        restarted.settle("waf").await.is_empty(),
        "no cache has told yet, and the one that runs stays"
    );
}

#[tokio::test(start_paused = true)]
async fn access_logs_are_collected_as_long_as_that_is_asked_for() {
    let world = World::new();
    let class = json!({"kind": "GatewayClass", "metadata": {"name": "istio", "uid": "c", "annotations":
        {"internal.do-not-use.openshift.io/waf-otel-collector": "otel"}}, "spec": {"controllerName": "istio.io/gateway-controller"}});
    let path = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio";
    world.server().put(path, class.clone());
    let enabled = |mode: &'static str| {
        move |engine: &mut serde_json::Value| engine["spec"]["observability"] = json!({"mode": mode})
    };
    world.put_engine("waf", "u1", enabled("Enabled"));
    world.settle("waf").await;
    assert!(world.object("Telemetry", "coraza-engine-waf-telemetry").is_some());
    world.put_engine("waf", "u1", enabled("Disabled"));
    assert_eq!(world.settle("waf").await, ["DELETE telemetries"]);
    assert_eq!(world.said("waf"), READY);
    let mut bare = class;
    bare["metadata"]["annotations"] = json!({});
    world.server().put(path, bare);
    world.put_engine("waf", "u1", enabled("Enabled"));
    world.settle("waf").await;
    assert_eq!(world.said("waf"), failed("InvalidConfiguration"));
    assert!(world.plugin().is_some(), "the firewall is there all the same");
}

#[tokio::test(start_paused = true)]
async fn a_standby_follows_and_writes_nothing() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.settle("waf").await;
    let mut standby = World::before(&world.server);
    standby.context.leadership = crate::lease::Leadership::none();
    assert_eq!(standby.look("waf").await.1, Vec::<String>::new());
    assert_eq!(standby.context.publisher.grants(), 1);
    world.delete_engine("waf");
    standby.watch();
    assert_eq!(standby.look("waf").await.1, Vec::<String>::new());
    assert_eq!(standby.context.publisher.grants(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_can_be_listed_and_not_yet_written_is_tried_again() {
    let world = World::new();
    world.put_engine("waf", "u1", |_| {});
    world.server().failing = vec![("POST wasmplugins", 404)];
    let (outcome, _) = world.look("waf").await;
    assert!(matches!(outcome, Ok(Outcome::Failed)), "{outcome:?}");
    assert_eq!(world.said("waf"), failed("ProvisioningFailed"));
    assert!(
        world.message("waf").contains("not installed"),
        "{}",
        world.message("waf")
    );
    world.server().failing.clear();
    world.settle("waf").await;
    assert_eq!(world.said("waf"), READY);
}
