//! WasmPlugins.

use super::*;

#[test]
fn plugins_that_are_absent_lost_or_without_a_good_token_are_found() {
    each_is_found(&[
        (
            "WasmPlugins",
            PROBLEM,
            "Engine shop/waf has no WasmPlugin: its gateway runs no firewall",
            |facts| facts.plugins = Ok(BTreeMap::new()),
        ),
        (
            "WasmPlugins",
            PROBLEM,
            "the WasmPlugin of Engine shop/waf is somebody else's",
            |facts| plugin(facts).owners.clear(),
        ),
        ("WasmPlugins", PROBLEM, "carries no token", |facts| {
            plugin(facts).token_expires = None;
        }),
        (
            "WasmPlugins",
            PROBLEM,
            "the token of Engine shop/waf has expired: gateway pods that start get no rules | it expired 60 s ago",
            |facts| {
                plugin(facts).token_expires = Some(after(-60).as_second());
            },
        ),
        (
            "WasmPlugins",
            WARNING,
            "should have been renewed | it expires in 100 s",
            |facts| plugin(facts).token_expires = Some(after(100).as_second()),
        ),
        (
            "WasmPlugins",
            UNCHECKED,
            "WasmPlugins can't be read | forbidden",
            |facts| facts.plugins = forbidden(),
        ),
    ]);
}

#[test]
fn plugins_that_do_not_point_at_the_caches_are_found() {
    const CHECK: &str = "WasmPlugins";
    each_is_found(&[
        (
            CHECK,
            PROBLEM,
            "the WasmPlugin of Engine shop/waf does not point at the caches: its gateway gets no rules | pluginConfig.cache_server_cluster is \"outbound|80||coraza.coraza-system.svc.cluster.local\"; the caches' Service is coraza-system/coraza-cache, port 80 | see that the controller has --cache-service=coraza-cache",
            |facts| plugin(facts).cluster = "outbound|80||coraza.coraza-system.svc.cluster.local".to_owned(),
        ),
        (
            CHECK,
            PROBLEM,
            "\"outbound|80||coraza-cache.coraza.svc.cluster.local\"",
            |facts| {
                plugin(facts).cluster = "outbound|80||coraza-cache.coraza.svc.cluster.local".to_owned();
            },
        ),
        (
            CHECK,
            PROBLEM,
            "\"outbound|80||coraza-cache.coraza-system.svcx\"",
            |facts| {
                plugin(facts).cluster = "outbound|80||coraza-cache.coraza-system.svcx".to_owned();
            },
        ),
        (
            CHECK,
            PROBLEM,
            "\"outbound|8080||coraza-cache.coraza-system.svc\"",
            |facts| {
                plugin(facts).cluster = "outbound|8080||coraza-cache.coraza-system.svc".to_owned();
            },
        ),
        (CHECK, PROBLEM, "cache_server_cluster is \"\"", |facts| {
            plugin(facts).cluster.clear();
        }),
        (
            CHECK,
            PROBLEM,
            "the caches' Service is coraza-system/coraza-cache, port 8080",
            |facts| {
                let mut moved = service();
                moved["spec"]["ports"][0]["port"] = 8080.into();
                operator(facts).service = Ok(Some(object(moved)));
            },
        ),
        (
            CHECK,
            WARNING,
            "polls another cluster than the caches' Service, as the controller is told | pluginConfig.cache_server_cluster is \"caches\"",
            |facts| {
                called(facts, "caches");
                plugin(facts).cluster = "caches".to_owned();
            },
        ),
        (
            CHECK,
            PROBLEM,
            "does not get its module from the caches: gateway pods that start get no plugin | its url is http://coraza.coraza-system.svc.cluster.local:18081/plugins/coraza-5f2a.wasm; the caches' Service is coraza-system/coraza-cache, port 18081",
            |facts| plugin(facts).url = plugin(facts).url.replace("coraza-cache", "coraza"),
        ),
        (CHECK, PROBLEM, "does not get its module from the caches", |facts| {
            plugin(facts).url = plugin(facts).url.replace(":18081", "");
        }),
        (
            CHECK,
            PROBLEM,
            "the module of Engine shop/waf is the caches', whose Service does not serve it: gateway pods that start get no plugin",
            |facts| {
                let mut without = service();
                without["spec"]["ports"].as_array_mut().unwrap().pop();
                operator(facts).service = Ok(Some(object(without)));
            },
        ),
    ]);
}

/// Gives the controller a name for the caches.
fn called(facts: &mut Facts, cluster: &str) {
    let mut controller = deployment("controller");
    controller["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!([format!("--envoy-cluster-name={cluster}")]);
    operator(facts).controller = Ok(Some(object(controller)));
}

#[test]
fn whatever_names_the_caches_in_another_way_or_somebody_elses_module_is_well() {
    let changes: [fn(&mut Facts); 5] = [
        |facts| plugin(facts).cluster = "outbound|80||coraza-cache.coraza-system.svc.example.org".to_owned(),
        |facts| plugin(facts).cluster = "outbound|80|v1|coraza-cache.coraza-system.svc".to_owned(),
        |facts| {
            called(facts, "outbound|80||coraza-cache.coraza-system.svc.cluster.local");
        },
        |facts| {
            plugin(facts).url = "oci://registry.example/plugin:1".to_owned();
            plugin(facts).sha256.clear();
        },
        // A mirror of somebody's.
        |facts| {
            plugin(facts).url = format!("http://mirror.example/plugins/coraza-{MODULE}.wasm");
            plugin(facts).sha256.clear();
        },
    ];
    for change in changes {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(findings(&facts), []);
    }
    // Without a Service there is nothing to compare with, which is said once.
    let mut facts = healthy();
    operator(&mut facts).service = Ok(None);
    plugin(&mut facts).cluster.clear();
    assert_eq!(findings(&facts).len(), 1);
}
