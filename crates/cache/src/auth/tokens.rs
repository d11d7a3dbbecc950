//! `Tokens`: every way in which a token may be good, the cheapest first. Grants, then reviews.
//!
//! The plugins' tokens are good by a grant. While nobody says what is granted, before the first snapshot and when the controller can't be
//! reached, they are reviewed like those of people, so that a token which the controller renewed meanwhile, elsewhere, opens here too.

use std::sync::Arc;
use std::time::SystemTime;

use coraza_ruleset::RuleSetKey;

use super::claims::Claims;
use super::token_review::Bearer;
use super::{Access, Authenticate, BearerToken, Grants, Refusal, Reviewed, TokenReviews};

/// Authenticates by grant, else by TokenReview. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What the controller lets in.
    pub grants: Grants,
    /// Who is asked about anybody else.
    pub reviews: TokenReviews,
    /// The [`plugin_account`](super::token_review::plugin_account), where it is known.
    pub plugin: Option<Arc<str>>,
}

impl Authenticate for Tokens {
    async fn authenticate(&self, token: &BearerToken<'_>, key: &RuleSetKey) -> Result<Access, Refusal> {
        if let Some(verdict) = self.grants.check(&token.digest(), key, SystemTime::now()) {
            return verdict;
        }
        if self.grants.alone().is_none() && self.is_of_plugin(token) {
            // Nothing that the API server could say would let it in.
            return Err(Refusal::Revoked);
        }
        let Reviewed { expires, bearer } = self.reviews.review(token, key).await?;
        let revoked = match bearer {
            Bearer::Account => None,
            // Somebody may have said what is granted while the API server was asked, and this among it.
            Bearer::Plugin => match self.grants.alone() {
                Some(alone) => Some(alone),
                None => {
                    let granted = self.grants.check(&token.digest(), key, SystemTime::now());
                    return granted.unwrap_or(Err(Refusal::Revoked));
                }
            },
        };
        Ok(Access {
            expires,
            revoked,
            engine: None,
        })
    }
}

impl Tokens {
    /// Whether the token says so itself: believed, since it says that it is none of those that may be good.
    fn is_of_plugin(&self, token: &BearerToken<'_>) -> bool {
        let claims = || Claims::of(token.secret()).ok();
        let plugin = self.plugin.as_deref();
        plugin.is_some_and(|plugin| claims().is_some_and(|claims| claims.is_of(plugin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use coraza_ruleset::{EngineKey, Grant, Timestamp, TokenDigest};

    use crate::auth::api_server::{self, ApiServer, GOOD, OPERATOR};
    use crate::auth::token_review::plugin_account;

    struct Fixture {
        tokens: Tokens,
        server: ApiServer,
    }

    impl Fixture {
        fn new() -> Self {
            let server = ApiServer::default();
            let (reviews, task) = TokenReviews::new(server.clone());
            tokio::spawn(task);
            let tokens = Tokens {
                grants: Grants::default(),
                reviews,
                plugin: Some(plugin_account(OPERATOR).into()),
            };
            Self { tokens, server }
        }

        fn grant(&self, token: &str, name: &str) {
            let grant = Grant {
                token: TokenDigest::of(token),
                expires: Timestamp::from_unix_nanos(u64::MAX),
                key: key(name),
                engine: EngineKey::new("team", "waf", "1").expect("an engine"),
            };
            self.tokens.grants.grant(vec![grant], SystemTime::now()).expect("room");
        }

        fn revoke(&self, token: &str) {
            self.tokens.grants.revoke(&[TokenDigest::of(token)]);
        }

        async fn ask(&self, token: &str, name: &str) -> Result<Access, Refusal> {
            self.tokens.authenticate(&BearerToken::new(token), &key(name)).await
        }

        async fn asked(&self, token: &str, name: &str) -> Result<(), Refusal> {
            self.ask(token, name).await.map(|_| ())
        }

        fn calls(&self) -> usize {
            self.server.calls()
        }
    }

    fn key(name: &str) -> RuleSetKey {
        RuleSetKey::new("team", name).expect("a key")
    }

    fn token_of(user: &str) -> String {
        api_server::token(user, 1, GOOD)
    }

    fn plugin_token() -> String {
        token_of(&plugin_account(OPERATOR))
    }

    #[tokio::test]
    async fn a_grant_opens_its_ruleset_and_asks_nobody() {
        let (fixture, token) = (Fixture::new(), plugin_token());
        fixture.grant(&token, "crs");
        let engine = fixture.ask(&token, "crs").await.expect("granted").engine;
        assert_eq!(engine.expect("an engine").name(), "waf");
        assert_eq!(fixture.asked(&token, "other").await, Err(Refusal::OtherAudience));
        fixture.tokens.grants.complete();
        assert_eq!(fixture.asked(&token, "crs").await, Ok(()));
        assert_eq!(fixture.calls(), 0);
    }

    #[tokio::test]
    async fn a_plugins_token_is_reviewed_only_while_nobody_says_what_is_granted() {
        let (fixture, token) = (Fixture::new(), plugin_token());
        assert_eq!(fixture.asked(&token, "crs").await, Ok(()));
        assert_eq!(fixture.calls(), 1);
        fixture.tokens.grants.complete();
        // What the memo says counts no more.
        assert_eq!(fixture.asked(&token, "crs").await, Err(Refusal::Revoked));
        assert_eq!(
            fixture.asked(&token_of("system:serviceaccount:team:me"), "crs").await,
            Ok(())
        );
        assert_eq!(fixture.calls(), 2);
        fixture.tokens.grants.incomplete();
        assert_eq!(fixture.asked(&token, "crs").await, Ok(()));
    }

    #[tokio::test]
    async fn what_was_let_in_meanwhile_ends_when_somebody_says_what_is_granted() {
        let (fixture, token) = (Fixture::new(), plugin_token());
        let access = fixture.ask(&token, "crs").await.expect("reviewed");
        let ended = access.revoked.expect("an end");
        assert!(!ended.is_cancelled());
        fixture.tokens.grants.complete();
        assert!(ended.is_cancelled());
        fixture.tokens.grants.complete();
        fixture.tokens.grants.incomplete();
        fixture.tokens.grants.incomplete();
        let again = fixture
            .ask(&token, "crs")
            .await
            .expect("reviewed")
            .revoked
            .expect("an end");
        assert!(!again.is_cancelled());
    }

    #[tokio::test]
    async fn a_revoked_token_opens_nothing_and_asks_nobody() {
        let (fixture, token) = (Fixture::new(), plugin_token());
        fixture.grant(&token, "crs");
        fixture.tokens.grants.complete();
        fixture.revoke(&token);
        assert_eq!(fixture.asked(&token, "crs").await, Err(Refusal::Revoked));
        assert_eq!(fixture.calls(), 0);
    }
}
