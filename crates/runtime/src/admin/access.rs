//! Who may read the admin server: whose token it is by TokenReview, and whether he may by SubjectAccessReview, as with servers of Kubernetes
//! itself. No IO of its own: whoever has a client sends the reviews.
//!
//! Verdicts are remembered by the token's digest, and reviews are bounded in time and number, so that nobody makes this process call the
//! API server as often as he likes.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Request, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::log::chain;

/// Where TokenReviews are created.
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Where SubjectAccessReviews are created.
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// How long a yes is remembered: a scraper comes every 15 to 60 s.
const REMEMBER_YES: Duration = Duration::from_secs(60);
/// How long a no is remembered: a right that was just given counts soon.
const REMEMBER_NO: Duration = Duration::from_secs(10);
/// How many verdicts are remembered. Scrapers are few; the others are strangers, who only displace each other's.
const MAX_REMEMBERED: usize = 256;
/// How many callers are reviewed a second.
const REVIEWS_PER_SECOND: u32 = 10;
/// How long both reviews may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a request to the API server; gives back the object of its answer, or why there is none.
type Sender =
    Box<dyn Fn(Request<Vec<u8>>) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> + Send + Sync>;

/// What is said to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Allowed,
    /// Nobody knows who this is.
    Unauthenticated,
    /// He may not.
    Forbidden,
    /// It can't be found out now.
    Unavailable,
}

/// Judges callers.
pub struct Access {
    send: Sender,
    // A std mutex: it is held for a look-up or an insertion, never across an await.
    state: Mutex<State>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

/// What was asked: the digest of a token, a verb, a path.
type Question = ([u8; 32], String, String);

#[derive(Default)]
struct State {
    remembered: HashMap<Question, (Verdict, Instant)>,
    /// The second that reviews are counted in, and how many there were.
    second: Option<(Instant, u32)>,
}

impl Access {
    /// Judges by what the API server says, which `send` sends requests to. Its errors are logged: they must name neither a request's body nor
    /// a token.
    #[must_use]
    pub fn new<A, E>(send: impl Fn(Request<Vec<u8>>) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<Value, E>> + Send + 'static,
        E: Error,
    {
        Self {
            send: Box::new(move |request| {
                let answer = send(request);
                Box::pin(async move { answer.await.map_err(|error| chain(&error)) })
            }),
            state: Mutex::default(),
        }
    }

    /// Whether the bearer of a token may use a verb (`get`) on a path that is no resource (`/metrics`).
    pub async fn judge(&self, token: Option<&str>, verb: &str, path: &str) -> Verdict {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Verdict::Unauthenticated;
        };
        let question = (Sha256::digest(token).into(), verb.to_owned(), path.to_owned());
        if let Some(verdict) = self.known(&question, Instant::now()) {
            return verdict;
        }
        let verdict = match tokio::time::timeout(TIMEOUT, self.review(token, verb, path)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                tracing::warn!(path, error, "failed to review a caller");
                Verdict::Unavailable
            }
            Err(_elapsed) => {
                tracing::warn!(path, timeout = ?TIMEOUT, "failed to review a caller in time");
                Verdict::Unavailable
            }
        };
        self.remember(question, verdict, Instant::now());
        verdict
    }

    async fn review(&self, token: &str, verb: &str, path: &str) -> Result<Verdict, String> {
        let review = self.create(TOKEN_REVIEWS, &token_review(token)).await?;
        let Some(user) = authenticated(&review) else {
            return Ok(Verdict::Unauthenticated);
        };
        let review = self.create(ACCESS_REVIEWS, &access_review(user, verb, path)).await?;
        Ok(if is_allowed(&review) {
            Verdict::Allowed
        } else {
            Verdict::Forbidden
        })
    }

    /// Has the API server create an object, and gives it back as that filled it in.
    async fn create(&self, path: &'static str, object: &Value) -> Result<Value, String> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes());
        (self.send)(request.map_err(|error| chain(&error))?).await
    }

    /// The verdict as it is remembered, or the one of those who come when too many were reviewed.
    fn known(&self, question: &Question, now: Instant) -> Option<Verdict> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.remembered.get(question) {
            Some((verdict, until)) if now < *until => return Some(*verdict),
            // Who was let in before is reviewed again, however many strangers come.
            Some((Verdict::Allowed, _)) => return None,
            _ => {}
        }
        match &mut state.second {
            Some((began, count)) if now.duration_since(*began) < Duration::from_secs(1) => {
                if *count >= REVIEWS_PER_SECOND {
                    return Some(Verdict::Unavailable);
                }
                *count += 1;
            }
            second => *second = Some((now, 1)),
        }
        None
    }

    fn remember(&self, question: Question, verdict: Verdict, now: Instant) {
        let time = match verdict {
            Verdict::Allowed => REMEMBER_YES,
            Verdict::Unauthenticated | Verdict::Forbidden => REMEMBER_NO,
            Verdict::Unavailable => return,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.remembered.len() >= MAX_REMEMBERED {
            // Strangers first: a scraper's is of use again.
            state.remembered.retain(|_, (verdict, _)| *verdict == Verdict::Allowed);
        }
        if state.remembered.len() >= MAX_REMEMBERED {
            state.remembered.retain(|_, (_, until)| now < *until);
        }
        if state.remembered.len() < MAX_REMEMBERED {
            state.remembered.insert(question, (verdict, now + time));
        }
    }
}

fn token_review(token: &str) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}})
}

/// The user of a token that is good, as the review has it.
fn authenticated(review: &Value) -> Option<&Value> {
    let status = review.get("status")?;
    let good = status.get("authenticated").and_then(Value::as_bool) == Some(true);
    let user = status.get("user")?;
    let named = user
        .get("username")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    (good && named).then_some(user)
}

fn access_review(user: &Value, verb: &str, path: &str) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.get("username"),
            "uid": user.get("uid"),
            "groups": user.get("groups"),
            "extra": user.get("extra"),
            "nonResourceAttributes": {"verb": verb, "path": path},
        },
    })
}

/// Whether a review says yes. One authorizer that denies outweighs all others.
fn is_allowed(review: &Value) -> bool {
    let said = |field| review.pointer(field).and_then(Value::as_bool) == Some(true);
    said("/status/allowed") && !said("/status/denied")
}

#[cfg(test)]
mod tests;
