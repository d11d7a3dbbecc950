//! What a token says about itself, believed only when it says that it can't be good. Pure.
//!
//! Nothing is verified here: the API server does that. A token that would be refused anyway need not trouble it.

use std::time::{Duration, SystemTime};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::prelude::Engine as _;
use serde::Deserialize;

use super::Refusal;

/// The claims of a JSON Web Token that matter here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    aud: Audience,
    /// Seconds since the Unix epoch; some issuers write fractions.
    exp: Option<f64>,
    /// Whose token it says it is.
    #[serde(default)]
    sub: Option<String>,
}

/// One audience or several (RFC 7519, 4.1.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Claims {
    /// The claims of `token`, unverified.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if it is no JSON Web Token, or one without an expiry: ServiceAccount tokens for an audience
    /// always have one.
    pub(super) fn of(token: &str) -> Result<Self, Refusal> {
        let mut parts = token.split('.');
        let (Some(_header), Some(claims), Some(_signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Refusal::Malformed)?;
        serde_json::from_slice(&claims).map_err(|_| Refusal::Malformed)
    }

    /// Whether it says that it is this user's.
    pub(super) fn is_of(&self, user: &str) -> bool {
        self.sub.as_deref() == Some(user)
    }

    /// When the token expires, if it may be good for `audience` now.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Expired`] or [`Refusal::OtherAudience`] if it can't be.
    pub(super) fn admit(&self, audience: &str, now: SystemTime) -> Result<SystemTime, Refusal> {
        let expires = self.exp.and_then(since_epoch).ok_or(Refusal::Malformed)?;
        if expires <= now {
            return Err(Refusal::Expired);
        }
        let matches = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Many(many) => many.iter().any(|one| one == audience),
        };
        if matches {
            Ok(expires)
        } else {
            Err(Refusal::OtherAudience)
        }
    }
}

fn since_epoch(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AUDIENCE: &str = "coraza-cache:team/crs";

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn only_what_cannot_be_good_is_refused() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let at = |seconds| Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (claims, expected) in [
            (r#"{"aud":["coraza-cache:team/crs"],"exp":1001}"#, at(1_001)),
            (
                r#"{"aud":["other","coraza-cache:team/crs"],"exp":1001.0,"sub":"x"}"#,
                at(1_001),
            ),
            (r#"{"aud":"coraza-cache:team/crs","exp":2000}"#, at(2_000)),
            (r#"{"aud":["coraza-cache:team/crs"],"exp":1000}"#, Err(Refusal::Expired)),
            (
                r#"{"aud":["coraza-cache:team/crs2"],"exp":2000}"#,
                Err(Refusal::OtherAudience),
            ),
            (r#"{"aud":["other"],"exp":1}"#, Err(Refusal::Expired)),
            (r#"{"aud":[],"exp":2000}"#, Err(Refusal::OtherAudience)),
            (r#"{"exp":2000}"#, Err(Refusal::OtherAudience)),
            (r#"{"aud":["coraza-cache:team/crs"]}"#, Err(Refusal::Malformed)),
            (r#"{"aud":["coraza-cache:team/crs"],"exp":-1}"#, Err(Refusal::Malformed)),
            (
                r#"{"aud":["coraza-cache:team/crs"],"exp":1e300}"#,
                Err(Refusal::Malformed),
            ),
            (r#"{"aud":7,"exp":2000}"#, Err(Refusal::Malformed)),
            ("[]", Err(Refusal::Malformed)),
            ("", Err(Refusal::Malformed)),
        ] {
            let admitted = Claims::of(&token(claims)).and_then(|claims| claims.admit(AUDIENCE, now));
            assert_eq!(admitted, expected, "{claims}");
        }
        for token in ["", "a", "a.b", "a.b.c.d", "..", "e30.%%%.c2ln"] {
            assert_eq!(Claims::of(token).map(|_| ()), Err(Refusal::Malformed), "{token}");
        }
    }

    proptest! {
        #[test]
        fn no_token_is_too_much(token in "\\PC{0,200}", claims in "\\PC{0,200}") {
            let _ = Claims::of(&token);
            let _ = Claims::of(&self::token(&claims)).and_then(|claims| claims.admit(AUDIENCE, SystemTime::UNIX_EPOCH));
        }
    }
}
