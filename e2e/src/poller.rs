//! A data plane that a test plays: it polls caches with the token that an Engine's WasmPlugin carries, and says what our plugin says.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use http::Request;
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use kube::Client;
use serde_json::Value;

use crate::http::{self as client, Answer};
use crate::object::WASM_PLUGIN;
use crate::wait::until;

/// Longer than any wait that a test asks for.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a poll says.
#[derive(Debug, Clone)]
pub struct Poll<'a> {
    /// `namespace/name` of the RuleSet.
    pub ruleset: &'a str,
    /// The Engine's token.
    pub token: &'a str,
    /// `namespace/name` of the Engine that it says to be of, if that isn't the RuleSet's.
    pub engine: Option<&'a str>,
    /// The pod that it is from; the Go plugin says nothing.
    pub pod: Option<&'a str>,
    /// The entity tag of what it runs.
    pub etag: Option<&'a str>,
    /// How long it would wait for news.
    pub wait: Option<Duration>,
}

impl<'a> Poll<'a> {
    /// A poll that says nothing but its token.
    #[must_use]
    pub const fn new(ruleset: &'a str, token: &'a str) -> Self {
        Self {
            ruleset,
            token,
            engine: None,
            pod: None,
            etag: None,
            wait: None,
        }
    }

    /// The answer to it, for the rules themselves or for which are the latest.
    ///
    /// # Errors
    /// If there is none.
    pub async fn send(&self, cache: SocketAddr, suffix: &str) -> Result<Answer> {
        let mut request = Request::get(format!("/rules/{}{suffix}", self.ruleset))
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(pod) = self.pod {
            request = request
                .header("x-coraza-engine", self.engine.unwrap_or(self.ruleset))
                .header("x-coraza-pod", pod)
                .header("x-coraza-revision", self.etag.unwrap_or("none"));
        }
        if let Some(etag) = self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(wait) = self.wait {
            request = request.header("prefer", format!("wait={}", wait.as_secs()));
        }
        client::send_within(PATIENCE, cache, request.body(String::new())?).await
    }
}

/// The configuration of the plugin in an Engine's WasmPlugin, once there is one.
pub async fn plugin_config(kube: &Client, namespace: &str, engine: &str) -> Value {
    let name = format!("coraza-engine-{engine}");
    until(&format!("WasmPlugin {namespace}/{name}"), async || {
        let object = WASM_PLUGIN.get(kube, namespace, &name).await.ok_or("none")?;
        object.pointer("/spec/pluginConfig").cloned().ok_or("no configuration")
    })
    .await
}

/// The token in an Engine's WasmPlugin.
///
/// # Panics
/// If it has none.
pub async fn token(kube: &Client, namespace: &str, engine: &str) -> String {
    let config = plugin_config(kube, namespace, engine).await;
    let token = config.get("cache_token").and_then(Value::as_str);
    token.unwrap_or_else(|| panic!("no token in {config}")).to_owned()
}
