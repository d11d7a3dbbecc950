//! The harness with Istio itself: a WasmPlugin that is written by hand gets into a real Envoy. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use coraza_e2e::object::WASM_PLUGIN;
use coraza_e2e::wasm::{self, ECHO_HEADER};
use coraza_e2e::{Gateway, Namespace, Origin, Registry, until};
use serde_json::{Value, json};

/// Waits until an answer through a Gateway carries this configuration.
async fn echoed(gateway: &Gateway, wanted: &Value) {
    until(&format!("{wanted} to be echoed"), async || {
        let answer = gateway.get("/").await.map_err(|error| format!("{error:#}"))?;
        let seen = answer.header(ECHO_HEADER);
        match serde_json::from_str::<Value>(seen) {
            Ok(echoed) if echoed == *wanted && answer.status == 200 => Ok(()),
            _ => Err(format!("{} {seen:?}", answer.status)),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_filter_from_a_url_and_from_a_registry_runs_with_its_configuration() {
    let namespace = Namespace::create().await;
    let origin = Origin::start(&[("/echo.wasm", &wasm::echo())]).await;
    let registry = Registry::start().await;
    let image = registry.push("echo", "v1", &wasm::echo()).await;
    let gateway = Gateway::start(&namespace, "web", &origin).await;
    for (url, number) in [(origin.url("/echo.wasm"), 1), (image, 2)] {
        let configuration = json!({ "number": number });
        let spec = json!({
            "selector": { "matchLabels": { "gateway.networking.k8s.io/gateway-name": "web" } },
            "url": url,
            "failStrategy": "FAIL_RELOAD",
            "pluginConfig": configuration,
        });
        WASM_PLUGIN
            .apply(&namespace.client, &namespace.name, "echo", spec)
            .await;
        echoed(&gateway, &configuration).await;
    }
    let filters = gateway.config_dump("EcdsConfigDump");
    assert!(filters.to_string().contains("\"FAIL_RELOAD\""), "{filters:#}");
}
