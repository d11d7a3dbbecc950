//! Answers of the cache: status, headers and body → what they say. Pure.

use std::borrow::Cow;

use serde::Deserialize;

use super::Want;
use super::body::{self, BodyError};
pub use super::body::{Content, SourceLines};
use crate::host::Pairs;
use crate::revision::Revision;

/// How much of a cache's reason is repeated.
const MAX_REASON: usize = 200;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The caller has the latest revision.
    NotModified {
        /// Whether the cache knows how to wait.
        waited: bool,
    },
    /// This is the latest revision.
    Latest(Revision),
    /// This is the revision that comes with it.
    Rules(Revision),
    /// Nothing.
    Failed(Failure),
}

/// Why a poll failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Envoy has no cluster of this name.
    #[error("envoy has no such cluster")]
    NoCluster,
    /// Envoy doesn't send it: a circuit breaker is open.
    #[error("envoy refused to send the request")]
    NotSent,
    /// The host dropped it, or doesn't tell what was answered.
    #[error("there was no answer")]
    Lost,
    /// Any status but 200 and 304.
    #[error("status {status}{}", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Status {
        /// The status.
        status: u16,
        /// What the cache says about it.
        reason: Option<String>,
    },
    /// The body is none.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The revision is older than what is known.
    #[error("the revision is older than the one in use")]
    Stale,
}

impl Failure {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoCluster => "no_cluster",
            Self::NotSent => "not_sent",
            Self::Lost => "lost",
            Self::Status { status: 401, .. } => "unauthorized",
            Self::Status { status: 403, .. } => "forbidden",
            Self::Status { status: 404, .. } => "not_found",
            Self::Status { status: 503, .. } => "unavailable",
            Self::Status { status: 504, .. } => "timeout",
            Self::Status { .. } => "status",
            Self::Body(_) => "body",
            Self::Stale => "stale",
        }
    }

    /// Whether something between here and the cache may have ended a wait so.
    pub(super) const fn may_be_a_cut(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 408 | 502 | 503 | 504,
                ..
            }
        )
    }
}

/// An answer with what came in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub answer: Answer,
    /// The rules, if that is what it has.
    pub content: Option<Content>,
    /// The body that they were in, in gzip: what other workers are given.
    pub gzip: Vec<u8>,
}

impl From<Failure> for Received {
    fn from(failure: Failure) -> Self {
        Self::without_content(Answer::Failed(failure))
    }
}

impl Received {
    fn without_content(answer: Answer) -> Self {
        Self {
            answer,
            content: None,
            gzip: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct ErrorJson<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

/// What an answer to a request for `want` says.
#[must_use]
pub fn decode(want: Want, headers: &Pairs, body: Vec<u8>, max_bytes: u64) -> Received {
    let status = headers
        .get(":status")
        .and_then(|status| std::str::from_utf8(status).ok()?.parse::<u16>().ok());
    match status {
        None => Failure::Lost.into(),
        Some(304) => Received::without_content(Answer::NotModified {
            waited: headers.get("preference-applied").is_some(),
        }),
        Some(200) => found(want, headers, body, max_bytes).unwrap_or_else(|error| Failure::Body(error).into()),
        Some(status) => Failure::Status {
            status,
            reason: reason(&body),
        }
        .into(),
    }
}

fn found(want: Want, headers: &Pairs, body: Vec<u8>, max_bytes: u64) -> Result<Received, BodyError> {
    let gzip = headers
        .get("content-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"));
    if want == Want::Latest {
        return body::latest(&body, gzip).map(|revision| Received::without_content(Answer::Latest(revision)));
    }
    let (revision, content) = body::rules(&body, gzip, max_bytes)?;
    let gzip = if gzip { body } else { body::compressed(&body)? };
    Ok(Received {
        answer: Answer::Rules(revision),
        content: Some(content),
        gzip,
    })
}

/// The rules in a body that another worker shared.
///
/// # Errors
/// [`BodyError`] if they aren't.
pub fn decode_stored(gzip: &[u8], max_bytes: u64) -> Result<(Revision, Content), BodyError> {
    body::rules(gzip, true, max_bytes)
}

/// The reason that our caches give in the body of an error.
fn reason(body: &[u8]) -> Option<String> {
    let json: ErrorJson<'_> = serde_json::from_slice(body).ok()?;
    Some(
        json.reason
            .chars()
            .filter(|char| !char.is_control())
            .take(MAX_REASON)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Pairs {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        Pairs::decode(Pairs::encode(&pairs)).expect("pairs")
    }

    fn answer(want: Want, fields: &[(&str, &str)], body: &str) -> Answer {
        decode(want, &headers(fields), body.into(), 1_000).answer
    }

    #[test]
    fn every_status_has_its_meaning() {
        let latest = r#"{"uuid":"u","timestamp":"1970-01-01T00:00:01Z"}"#;
        let revision = Revision::new("u", "1970-01-01T00:00:01Z").expect("revision");
        assert_eq!(
            answer(Want::Latest, &[(":status", "200")], latest),
            Answer::Latest(revision)
        );
        assert_eq!(
            answer(Want::Latest, &[(":status", "304")], ""),
            Answer::NotModified { waited: false }
        );
        let waited = [(":status", "304"), ("Preference-Applied", "wait=15")];
        assert_eq!(answer(Want::Latest, &waited, ""), Answer::NotModified { waited: true });
        for (status, name) in [
            ("401", "unauthorized"),
            ("403", "forbidden"),
            ("404", "not_found"),
            ("503", "unavailable"),
            ("504", "timeout"),
            ("302", "status"),
            ("500", "status"),
            ("204", "status"),
            ("x", "lost"),
            ("", "lost"),
        ] {
            match answer(Want::Rules, &[(":status", status)], "Forbidden") {
                Answer::Failed(failure) => assert_eq!(failure.name(), name, "{status}"),
                other => panic!("{status}: {other:?}"),
            }
        }
        assert_eq!(answer(Want::Latest, &[], latest), Answer::Failed(Failure::Lost));
        assert_eq!(
            answer(Want::Rules, &[(":status", "200")], latest),
            Answer::Failed(Failure::Body(BodyError::Empty))
        );
    }

    #[test]
    fn the_reason_of_the_cache_is_repeated_in_bounds() {
        let json = format!(r#"{{"error":"Forbidden","reason":"a\nb{}"}}"#, "c".repeat(1_000));
        let Answer::Failed(failure) = answer(Want::Rules, &[(":status", "403")], &json) else {
            panic!("failed")
        };
        let text = failure.to_string();
        assert!(text.starts_with("status 403: abccc") && text.len() < 220, "{text}");
    }

    #[test]
    fn what_came_plain_is_kept_compressed() {
        let body = r#"{"uuid":"u","timestamp":"","rules":"SecRuleEngine On"}"#;
        let received = decode(Want::Rules, &headers(&[(":status", "200")]), body.into(), 1_000);
        let (_, stored) = decode_stored(&received.gzip, 1_000).expect("stored");
        assert_eq!(Some(stored), received.content);
    }
}
