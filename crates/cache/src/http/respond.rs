//! Answers: an entry or an error → status, headers, body. Pure, and the only place where anything is given a status.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};

use super::negotiate::{self, Encoding};
use super::route::{InvalidRoute, Resource};
use crate::auth::Refusal;
use crate::store::{Entry, Pieces};

/// RFC 7240; not among the names that `http` knows.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// When to return if the API server can't be asked: it is looked for again at every request.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// Why a request isn't answered with a RuleSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It asks for nothing that there could be.
    #[error(transparent)]
    Route(#[from] InvalidRoute),
    /// It has a body.
    #[error("a request must not have a body")]
    Body,
    /// Its token doesn't open the RuleSet.
    #[error(transparent)]
    Auth(#[from] Refusal),
    /// The cache holds no such RuleSet.
    #[error("the cache has no such RuleSet: it does not exist or never compiled")]
    NotFound,
}

/// Whether `entry` must be sent, or the caller has it.
#[must_use]
pub fn is_news(entry: &Entry, headers: &HeaderMap) -> bool {
    !negotiate::has_latest(headers, entry.etag(), entry.revision())
}

/// The answer with an entry.
#[must_use]
pub fn found(entry: &Entry, resource: Resource, headers: &HeaderMap) -> Response<Pieces> {
    let (pieces, encoding) = match resource {
        Resource::Latest => (entry.latest(), Encoding::Identity),
        Resource::Rules => match negotiate::encoding(headers) {
            Encoding::Gzip => entry
                .gzip()
                .map_or_else(|| (entry.identity(), Encoding::Identity), |gzip| (gzip, Encoding::Gzip)),
            Encoding::Identity => (entry.identity(), Encoding::Identity),
        },
    };
    let mut response = Response::new(pieces);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if encoding == Encoding::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    with_validators(headers, entry);
    response
}

/// The answer to a caller who has what there is.
#[must_use]
pub fn not_modified(entry: &Entry) -> Response<Pieces> {
    let mut response = Response::new(Pieces::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    with_validators(response.headers_mut(), entry);
    response
}

fn with_validators(headers: &mut HeaderMap, entry: &Entry) {
    headers.insert(ETAG, entry.etag().clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
}

/// Says that waiting works here, and how long the caller may have waited.
pub fn preference_applied<B>(response: &mut Response<B>, wait: Duration) {
    if let Ok(value) = HeaderValue::try_from(format!("wait={}", wait.as_secs())) {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

/// The answer to a request that failed: `{"error","reason"}`.
#[must_use]
pub fn failed(error: &HttpError) -> Response<Pieces> {
    let status = status(error);
    let mut response = Response::new(Pieces::from(error_body(status, error)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match error {
        HttpError::Route(InvalidRoute::Method) => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        HttpError::Body => {
            // The body would be read as the next request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        HttpError::Auth(refusal) => {
            if status == StatusCode::UNAUTHORIZED {
                headers.insert(WWW_AUTHENTICATE, challenge(*refusal));
            }
            if let Some(delay) = retry_after(*refusal) {
                headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
            }
        }
        HttpError::Route(_) | HttpError::NotFound => {}
    }
    response
}

fn status(error: &HttpError) -> StatusCode {
    match error {
        HttpError::Route(InvalidRoute::Unknown) | HttpError::NotFound => StatusCode::NOT_FOUND,
        HttpError::Route(InvalidRoute::Method) => StatusCode::METHOD_NOT_ALLOWED,
        HttpError::Route(InvalidRoute::Path | InvalidRoute::Key(_)) => StatusCode::BAD_REQUEST,
        HttpError::Body => StatusCode::PAYLOAD_TOO_LARGE,
        HttpError::Auth(refusal) => match refusal {
            Refusal::Missing | Refusal::Malformed | Refusal::Expired | Refusal::Revoked | Refusal::Unknown => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::OtherAudience | Refusal::OtherNamespace => StatusCode::FORBIDDEN,
            Refusal::Exhausted { .. } | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

/// RFC 6750, 3: a request without a token isn't told of an error.
fn challenge(refusal: Refusal) -> HeaderValue {
    HeaderValue::from_static(match refusal {
        Refusal::Missing => "Bearer realm=\"coraza-cache\"",
        Refusal::Malformed => "Bearer realm=\"coraza-cache\", error=\"invalid_token\", error_description=\"malformed\"",
        Refusal::Expired => "Bearer realm=\"coraza-cache\", error=\"invalid_token\", error_description=\"expired\"",
        Refusal::Revoked => "Bearer realm=\"coraza-cache\", error=\"invalid_token\", error_description=\"revoked\"",
        _ => "Bearer realm=\"coraza-cache\", error=\"invalid_token\", error_description=\"unknown\"",
    })
}

fn retry_after(refusal: Refusal) -> Option<Duration> {
    match refusal {
        Refusal::Exhausted { retry_after } => Some(retry_after),
        Refusal::Unavailable => Some(UNAVAILABLE_RETRY),
        _ => None,
    }
}

fn error_body(status: StatusCode, error: &HttpError) -> Bytes {
    let name = status.canonical_reason().unwrap_or("error");
    let body = serde_json::json!({ "error": name, "reason": error.to_string() });
    format!("{body}\n").into()
}

#[cfg(test)]
mod tests;
