//! `Token`: what a gateway calls the caches with, for one RuleSet, and when it is renewed. Pure but for [`request`].
//!
//! All tokens are of the one ServiceAccount `coraza-plugin`; the audience says what each is for. A token lives in the Engine's WasmPlugin
//! and nowhere else, so after a restart it is read back from there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coraza_api::metadata::PLUGIN_SERVICE_ACCOUNT;
use coraza_ruleset::grant::{EngineKey, Grant};
use coraza_ruleset::{RuleSetKey, Timestamp, TokenDigest};
use jiff::Timestamp as Time;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde::Deserialize;

use crate::engine::settings::TokenSettings;
use crate::watch::object::ObjectKey;

/// The longest time until somebody looks whether a token must be renewed: clocks may step, and a look costs no call.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);
/// How much longer than asked a token may live: API servers round up to ten minutes.
const MIN_LIFETIME: Duration = Duration::from_secs(600);

/// A token, and what it says of itself. Its signature isn't checked: whoever put one into our WasmPlugin gains nothing by it but the
/// RuleSet that the WasmPlugin enforces.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The secret.
    text: Arc<str>,
    subject: String,
    audiences: Vec<String>,
    issued: Time,
    expires: Time,
}

/// Without the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Token({:?}, {:?}, until {})",
            self.digest(),
            self.audiences,
            self.expires
        )
    }
}

/// The claims that matter.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audiences,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Token {
    /// The token of a text; nothing if that is no JWT with the claims that the API server's tokens have.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let claims = text.split('.').nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let Claims { sub, aud, iat, exp } = serde_json::from_slice(&claims).ok()?;
        Some(Self {
            text: text.into(),
            subject: sub,
            audiences: match aud {
                Audiences::One(audience) => vec![audience],
                Audiences::Many(audiences) => audiences,
            },
            issued: Time::from_second(iat).ok()?,
            expires: Time::from_second(exp).ok()?,
        })
    }

    /// The secret. For the WasmPlugin only.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// Which token it is.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&*self.text)
    }

    /// What lets it be used: this RuleSet, for this Engine. Nothing for an Engine of a name that no object can have.
    #[must_use]
    pub fn grant(&self, ruleset: &RuleSetKey, engine: &ObjectKey, uid: &str) -> Option<Grant> {
        Some(Grant {
            token: self.digest(),
            expires: Timestamp::from_unix_nanos(u64::try_from(self.expires.as_nanosecond()).unwrap_or_default()),
            key: ruleset.clone(),
            engine: EngineKey::new(&engine.namespace, &engine.name, uid).ok()?,
        })
    }

    /// When it is renewed and when it ends, in seconds since 1970, by the clock of who issued it.
    #[must_use]
    pub fn schedule(&self, settings: &TokenSettings) -> (i64, i64) {
        let renewal = i64::try_from(settings.renew_after.age(self.life()).as_secs()).unwrap_or(i64::MAX);
        (
            self.issued.as_second().saturating_add(renewal),
            self.expires.as_second(),
        )
    }

    /// How long it is good from its issue on.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::try_from(self.expires.duration_since(self.issued)).unwrap_or_default()
    }

    /// Whether it is one that we would have requested. One of the Go operator's isn't: that had a ServiceAccount per Engine.
    fn is_for(&self, ruleset: &RuleSetKey, settings: &TokenSettings) -> bool {
        self.subject == settings.subject
            && self.audiences.contains(&ruleset.audience())
            && self.life() <= settings.lifetime.max(MIN_LIFETIME)
    }
}

/// Both clocks: the wall's, by which tokens are issued, and one that never steps.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The wall's.
    pub wall: Time,
    /// Since some fixed moment.
    pub monotonic: Duration,
}

/// The tokens that Engines have.
#[derive(Debug, Default)]
pub struct Tokens {
    held: BTreeMap<ObjectKey, Held>,
}

/// What is known of an Engine's token.
#[derive(Debug)]
struct Held {
    uid: Arc<str>,
    ruleset: RuleSetKey,
    token: Token,
    /// When it began to age, by our own clocks: that of the API server may differ.
    since: Now,
    /// Every token that was granted and may still be good, with the end of its life.
    granted: Vec<(TokenDigest, Time)>,
}

impl Held {
    fn new(uid: &str, ruleset: &RuleSetKey, token: &Token, since: Now) -> Self {
        Self {
            uid: uid.into(),
            ruleset: ruleset.clone(),
            granted: vec![(token.digest(), token.expires)],
            token: token.clone(),
            since,
        }
    }

    /// By whichever clock is ahead: one that was set back must not keep a token for longer than its life.
    fn age(&self, now: Now) -> Duration {
        let wall = Duration::try_from(now.wall.duration_since(self.since.wall)).unwrap_or_default();
        wall.max(now.monotonic.saturating_sub(self.since.monotonic))
    }
}

/// What to do about an Engine's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Go on with this one; look again after this long.
    Keep(Token, Duration),
    /// Get a new one. The old one, if there is one that is still good, serves until then.
    Renew(Option<Token>),
}

impl Tokens {
    /// The token that an Engine should have for a RuleSet. `live` is the one in its WasmPlugin: after a restart it is the one to go on
    /// with, and a standby follows it.
    pub fn choose(
        &mut self,
        engine: (&ObjectKey, &str),
        ruleset: &RuleSetKey,
        live: Option<Token>,
        settings: &TokenSettings,
        now: Now,
    ) -> Choice {
        let (key, uid) = engine;
        let fits = |held: &Held| &*held.uid == uid && held.ruleset == *ruleset;
        if !self.held.get(key).is_some_and(fits) {
            let Some(live) = live.filter(|live| live.is_for(ruleset, settings)) else {
                return Choice::Renew(None);
            };
            let since = Now {
                wall: live.issued,
                monotonic: now.monotonic,
            };
            self.replace(key, Held::new(uid, ruleset, &live, since));
        }
        let Some(held) = self.held.get(key) else {
            return Choice::Renew(None);
        };
        let (age, life) = (held.age(now), held.token.life());
        let renewal = settings.renew_after.age(life);
        if age >= renewal {
            Choice::Renew((age < life).then(|| held.token.clone()))
        } else {
            Choice::Keep(held.token.clone(), renewal.saturating_sub(age).min(MAX_WAIT))
        }
    }

    /// A standby saw this token in the Engine's WasmPlugin, where the leader has put it.
    pub fn follow(&mut self, engine: (&ObjectKey, &str), ruleset: &RuleSetKey, live: &Token, now: Now) {
        let (key, uid) = engine;
        if self.held.get(key).is_none_or(|held| held.token != *live) {
            let since = Now {
                wall: live.issued,
                monotonic: now.monotonic,
            };
            self.replace(key, Held::new(uid, ruleset, live, since));
        }
    }

    /// A new token was requested just now.
    pub fn renewed(&mut self, engine: (&ObjectKey, &str), ruleset: &RuleSetKey, token: &Token, now: Now) {
        self.replace(engine.0, Held::new(engine.1, ruleset, token, now));
    }

    /// Every token of an Engine that must not be used any more: all of them if it is gone, or those that were for another RuleSet or
    /// another Engine of its name.
    #[must_use]
    pub fn revoked(&mut self, engine: &ObjectKey, except: Option<(&str, &RuleSetKey)>) -> Vec<TokenDigest> {
        let keep = self
            .held
            .get(engine)
            .is_some_and(|held| except.is_some_and(|(uid, ruleset)| &*held.uid == uid && held.ruleset == *ruleset));
        if keep {
            return Vec::new();
        }
        let held = self.held.remove(engine);
        held.into_iter()
            .flat_map(|held| held.granted)
            .map(|(digest, _)| digest)
            .collect()
    }

    /// Puts a token into the place of the Engine's last one, whose grants go on for as long as they are good.
    fn replace(&mut self, key: &ObjectKey, mut held: Held) {
        if let Some(before) = self.held.remove(key) {
            let good =
                |(digest, expires): &(TokenDigest, Time)| *expires > held.since.wall && *digest != held.token.digest();
            let rest: Vec<_> = before.granted.into_iter().filter(good).collect();
            held.granted.extend(rest);
        }
        self.held.insert(key.clone(), held);
    }
}

/// Asks the API server for a token that may read a RuleSet. Client.
///
/// # Errors
/// [`TokenError`]
pub async fn request(
    client: &kube::Client,
    namespace: &str,
    ruleset: &RuleSetKey,
    lifetime: Duration,
) -> Result<Token, TokenError> {
    let spec = TokenRequestSpec {
        audiences: vec![ruleset.audience()],
        expiration_seconds: Some(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
        bound_object_ref: None,
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let answer = accounts
        .create_token_request(PLUGIN_SERVICE_ACCOUNT, &PostParams::default(), &request)
        .await;
    match answer {
        Ok(answer) => {
            let text = answer.status.map(|status| status.token).unwrap_or_default();
            Token::parse(&text).ok_or(TokenError::Unreadable)
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Err(TokenError::NoAccount {
            namespace: namespace.to_owned(),
        }),
        Err(error) => Err(TokenError::Refused(error)),
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The chart creates it.
    #[error(
        "the ServiceAccount {PLUGIN_SERVICE_ACCOUNT} is missing in the namespace {namespace}: create it, it needs no rights"
    )]
    NoAccount {
        /// The operator's namespace.
        namespace: String,
    },
    /// The API server refused it or wasn't reached.
    #[error("the API server gives no token")]
    Refused(#[source] kube::Error),
    /// The API server's answer is no JWT.
    #[error("the API server's answer is empty or no JSON Web Token")]
    Unreadable,
}

#[cfg(test)]
mod tests;
