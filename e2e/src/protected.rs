//! A Gateway behind an Engine, with rules of the test's own: what requests through it meet, and what the Engine says.

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use coraza_api::{Engine, RuleSet, RuleSource};

use crate::http::{self as client, Answer};
use crate::{Gateway, Namespace, Upstream, until, until_within};

/// How a request names the site that it is for: rules see a numeric address as suspicious.
const HOST: &str = "shop.example";

/// How long a verdict may take to come. When a file's tests begin, a dozen Envoys compile the plugin at a time, which takes each of them seconds of a core; until
/// it has, Envoy goes on without.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gateway `web`, Engine `waf` and RuleSet `waf` of one RuleSource, `rules`.
#[allow(missing_debug_implementations, reason = "a client has none")]
pub struct Protected {
    /// Its proxy.
    pub gateway: Gateway,
    /// Where all of it is.
    pub namespace: Namespace,
    /// What it routes to.
    pub upstream: Upstream,
}

/// An Engine's spec for a Gateway and a RuleSet. It polls often: the sooner is silence heard.
#[must_use]
pub fn engine(gateway: &str, ruleset: &str) -> Value {
    json!({
        "ruleSet": { "name": ruleset },
        "ruleSetCacheServer": { "pollIntervalSeconds": 5 },
        "target": { "type": "Gateway", "name": gateway, "provider": "Istio" },
    })
}

/// Rules that refuse a word wherever a request has it.
#[must_use]
pub fn refuse(word: &str) -> String {
    format!(
        "SecRuleEngine On\nSecRule ARGS|REQUEST_URI|REQUEST_HEADERS \"@contains {word}\" \"id:1,phase:2,deny,status:403\""
    )
}

impl Protected {
    /// All of it, with rules that refuse `attack`, and enforced.
    pub async fn start() -> Self {
        let protected = Self::start_with(&refuse("attack")).await;
        protected.answers("/?q=attack", 403).await;
        protected
    }

    /// All of it, with these rules: they are there before the Engine, and needn't be enforced yet.
    pub async fn start_with(rules: &str) -> Self {
        let namespace = Namespace::create().await;
        namespace.source("rules", rules).await;
        namespace.ruleset("waf", &["rules"], &[]).await;
        namespace.ready("waf").await;
        let protected = Self::before(namespace).await;
        protected.namespace.apply::<Engine>("waf", engine("web", "waf")).await;
        protected
    }

    /// A Gateway in a namespace, without an Engine.
    pub async fn before(namespace: Namespace) -> Self {
        let upstream = Upstream::start_on_node().await;
        let gateway = Gateway::start_before(&namespace, "web", upstream.address()).await;
        Self {
            gateway,
            namespace,
            upstream,
        }
    }

    /// Edits the RuleSource.
    pub async fn edit(&self, rules: &str) -> RuleSource {
        self.namespace.source("rules", rules).await
    }

    /// Waits until a request through the Gateway is answered with this status.
    pub async fn answers(&self, path: &str, status: u16) {
        answers(&self.gateway, path, status).await;
    }

    /// Waits until the Engine is said to be enforced, with the revision that its RuleSet has now.
    pub async fn enforced(&self) {
        let what = format!("Engine {}/waf to be Enforced", self.namespace.name);
        until(&what, async || {
            let engine = self
                .namespace
                .api::<Engine>()
                .get("waf")
                .await
                .map_err(|error| error.to_string())?;
            let ruleset = self
                .namespace
                .api::<RuleSet>()
                .get_opt("waf")
                .await
                .map_err(|error| error.to_string())?;
            let status = engine.status.unwrap_or_default();
            let condition = status.conditions.iter().find(|condition| condition.type_ == "Enforced");
            let desired = status
                .enforcement
                .as_ref()
                .map(|enforcement| enforcement.desired.clone());
            let served = ruleset.and_then(|ruleset| Some(ruleset.status?.revision?.uuid));
            let current = served.is_none() || served == desired;
            match condition {
                Some(condition) if condition.status == "True" && current => Ok(()),
                seen => Err(format!("{seen:?}, for {desired:?}, and the RuleSet has {served:?}")),
            }
        })
        .await;
    }

    /// Waits until the Engine is said not to be enforced, and why.
    pub async fn not_enforced(&self, reason: &str) {
        self.namespace
            .condition::<Engine>("waf", ("Enforced", "False", reason))
            .await;
    }
}

/// Waits until a request through a Gateway is answered with this status.
pub async fn answers(gateway: &Gateway, path: &str, status: u16) {
    let what = format!(
        "{path} through {}/{} to be answered with {status}",
        gateway.namespace, gateway.name
    );
    until_within(PATIENCE, &what, async || {
        let answer = get(gateway, path).await.map_err(|error| format!("{error:#}"))?;
        if answer.status == status {
            Ok(())
        } else {
            Err(answer.status.to_string())
        }
    })
    .await;
}

/// GET through a Gateway, as a browser would.
///
/// # Errors
/// If there is no answer.
pub async fn get(gateway: &Gateway, path: &str) -> anyhow::Result<Answer> {
    send(gateway, Request::get(path).body(String::new())?).await
}

/// Sends a request through a Gateway, with what a browser sends where it says nothing else.
///
/// # Errors
/// If there is no answer.
pub async fn send(gateway: &Gateway, mut request: Request<String>) -> anyhow::Result<Answer> {
    let defaults = [
        (http::header::HOST, HOST),
        (
            http::header::USER_AGENT,
            "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        ),
        (http::header::ACCEPT, "text/html,*/*;q=0.8"),
    ];
    for (name, value) in defaults {
        request
            .headers_mut()
            .entry(name)
            .or_insert(http::HeaderValue::from_static(value));
    }
    client::send(gateway.address(), request).await
}
