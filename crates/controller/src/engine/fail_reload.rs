//! Whether Istio has `FAIL_RELOAD`: the API server's OpenAPI document says so. One call an hour; what it says is read by a pure function.

use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The document of the WasmPlugin's group and version.
const PATH: &str = "/openapi/v3/apis/extensions.istio.io/v1alpha1";
/// How long an answer counts: Istio may be upgraded.
const VALID: Duration = Duration::from_secs(3600);
/// How long no answer counts.
const RETRY: Duration = Duration::from_secs(60);
/// What is looked for.
const STRATEGY: &str = "FAIL_RELOAD";

/// Whether `FAIL_RELOAD` may be asked for.
#[derive(Debug)]
pub struct FailReload {
    wanted: bool,
    // Held over the call, so that many Engines ask once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    supported: Option<bool>,
    until: Option<Instant>,
}

impl FailReload {
    /// Nothing is known yet; never `wanted`, never asked for.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self {
            wanted,
            known: Mutex::default(),
        }
    }

    /// Whether to ask for it. Who doesn't know tries: a refusal is noticed.
    pub async fn supported(&self, client: &Client) -> bool {
        if !self.wanted {
            return false;
        }
        let mut known = self.known.lock().await;
        if known.until.is_none_or(|until| Instant::now() >= until) {
            let answer = ask(client).await;
            known.until = Some(Instant::now() + if answer.is_some() { VALID } else { RETRY });
            known.supported = answer.or(known.supported);
        }
        known.supported.unwrap_or(true)
    }

    /// A WasmPlugin with it was refused, and one without it wasn't.
    pub async fn refused(&self) {
        tracing::info!("istio has no {STRATEGY}, using FAIL_CLOSE");
        let mut known = self.known.lock().await;
        known.supported = Some(false);
        known.until = Some(Instant::now() + VALID);
    }
}

async fn ask(client: &Client) -> Option<bool> {
    let request = Request::get(PATH).body(Vec::new()).ok()?;
    match client.request::<Value>(request).await {
        Ok(document) => listed(&document),
        Err(error) => {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "failed to read the WasmPlugin's schema"
            );
            None
        }
    }
}

/// Whether the document lists it; nothing if it doesn't say what is allowed.
fn listed(document: &Value) -> Option<bool> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let plugin = schemas.iter().find(|(name, _)| name.ends_with(".WasmPlugin"));
    let allowed = plugin?
        .1
        .pointer("/properties/spec/properties/failStrategy/enum")?
        .as_array()?;
    Some(allowed.iter().any(|value| value == STRATEGY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(allowed: &Value) -> Value {
        let strategy = json!({"type": "string", "enum": allowed});
        let spec = json!({"properties": {"failStrategy": strategy}});
        json!({"components": {"schemas": {
            "io.istio.extensions.v1alpha1.WasmPluginList": {},
            "io.istio.extensions.v1alpha1.WasmPlugin": {"properties": {"spec": spec}},
        }}})
    }

    #[test]
    fn the_document_says_what_is_allowed() {
        for (document, expected) in [
            (document(&json!(["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"])), Some(true)),
            (document(&json!(["FAIL_CLOSE", "FAIL_OPEN"])), Some(false)),
            (document(&Value::Null), None),
            (json!({}), None),
        ] {
            assert_eq!(listed(&document), expected, "{document}");
        }
    }
}
