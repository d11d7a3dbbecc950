//! `Tokens`: every way in which a token may be good, the cheapest first. Grants, then reviews.

use std::time::SystemTime;

use coraza_ruleset::RuleSetKey;

use super::{Access, Authenticate, BearerToken, Grants, Refusal, TokenReviews};

/// Authenticates by grant, else by TokenReview. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What the controller lets in.
    pub grants: Grants,
    /// Who is asked about anybody else.
    pub reviews: TokenReviews,
}

impl Authenticate for Tokens {
    async fn authenticate(&self, token: &BearerToken<'_>, key: &RuleSetKey) -> Result<Access, Refusal> {
        match self.grants.check(&token.digest(), key, SystemTime::now()) {
            Some(verdict) => verdict,
            None => self.reviews.authenticate(token, key).await,
        }
    }
}
