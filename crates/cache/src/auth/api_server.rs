//! An API server for tests: which tokens it knows is written in them, and it counts what it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::prelude::Engine as _;
use coraza_ruleset::RuleSetKey;

use super::Refusal;
use super::claims::Claims;
use super::token_review::{Bearer, Review, plugin_account};

/// The operator's namespace.
pub(super) const OPERATOR: &str = "operator";
/// The signature of tokens that it knows.
pub(super) const GOOD: &str = "good";
/// The signature of tokens whose review panics.
pub(super) const FATAL: &str = "fatal";

/// Knows tokens whose signature is [`GOOD`]; a clone counts together with it.
#[derive(Clone, Default)]
pub(super) struct ApiServer {
    calls: Arc<AtomicUsize>,
}

impl ApiServer {
    /// How many reviews it was asked for.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Review for ApiServer {
    async fn review(&self, token: String, _key: RuleSetKey) -> Result<Bearer, Refusal> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        // Whoever asks for the same meanwhile has to wait, not to be lucky.
        tokio::task::yield_now().await;
        let (_, signature) = token.rsplit_once('.').expect("claims were read");
        assert_ne!(signature, FATAL, "scripted");
        if signature != GOOD {
            return Err(Refusal::Unknown);
        }
        let plugin = Claims::of(&token)?.is_of(&plugin_account(OPERATOR));
        Ok(if plugin { Bearer::Plugin } else { Bearer::Account })
    }
}

/// A token of `user` for the RuleSets `crs` and `other` of the namespace `team`. Those of other numbers are other tokens.
pub(super) fn token(user: &str, number: usize, signature: &str) -> String {
    let claims = format!(
        r#"{{"aud":["coraza-cache:team/crs","coraza-cache:team/other"],"exp":9999999999,"sub":"{user}","jti":{number}}}"#
    );
    format!("e30.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))
}
