//! Who may read which RuleSet: the trait that the HTTP server asks, and what it is told. No IO.

#[cfg(test)]
mod api_server;
pub mod authenticator;
pub mod bearer;
mod claims;
pub mod grants;
mod memo;
mod review;
pub mod token_review;
pub mod tokens;

use std::future::Future;
use std::time::{Duration, SystemTime};

use coraza_ruleset::{EngineKey, RuleSetKey};
use tokio_util::sync::CancellationToken;

pub use authenticator::TokenReviews;
pub use bearer::BearerToken;
pub use grants::Grants;
pub use memo::Reviewed;
pub use tokens::Tokens;

/// Decides whether the bearer of a token may read a RuleSet.
pub trait Authenticate: Clone + Send + Sync + 'static {
    /// The decision. It is ready at once when nobody outside has to be asked.
    fn authenticate(
        &self,
        token: &BearerToken<'_>,
        key: &RuleSetKey,
    ) -> impl Future<Output = Result<Access, Refusal>> + Send;
}

/// The right to read one RuleSet, and when it ends.
#[derive(Debug, Clone)]
pub struct Access {
    /// When the token expires.
    pub expires: SystemTime,
    /// Cancelled when the token is revoked before it expires, or is no longer good in the way in which it was. A token that only the API
    /// server knows is never seen to be revoked: it is reviewed again instead.
    pub revoked: Option<CancellationToken>,
    /// The Engine that the token was issued for, if the controller granted it.
    pub engine: Option<EngineKey>,
}

/// Why a token doesn't open a RuleSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no `Authorization` header.
    #[error("send a token of audience coraza-cache:<namespace>/<name> as Authorization: Bearer <token>")]
    Missing,
    /// There is one that holds no JSON Web Token, or several.
    #[error("the Authorization header must be Bearer and a ServiceAccount's JSON Web Token, once")]
    Malformed,
    /// Its time is over.
    #[error("the token has expired: request a new one")]
    Expired,
    /// It was valid and no longer is.
    #[error("the token was revoked: request a new one")]
    Revoked,
    /// The API server doesn't know it.
    #[error("the API server doesn't accept the token: it is forged, or its ServiceAccount or pod is gone")]
    Unknown,
    /// It was issued for something else.
    #[error("the token is not for this RuleSet: its audience must be coraza-cache:<namespace>/<name>")]
    OtherAudience,
    /// Its bearer lives elsewhere.
    #[error("the token must be of a ServiceAccount in the RuleSet's namespace")]
    OtherNamespace,
    /// Too many tokens are being reviewed.
    #[error("too many new tokens are being reviewed: try again later")]
    Exhausted {
        /// When a review will be possible.
        retry_after: Duration,
    },
    /// The API server can't be asked.
    #[error("the API server can't be asked about the token: try again later")]
    Unavailable,
}
