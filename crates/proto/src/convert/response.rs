//! `SubscribeResponse` of the wire ↔ [`Response`].

use std::time::Duration;

use bytes::Bytes;

use super::grant::decode_grants;
use super::{InvalidField, InvalidRuleSet, bounded, decode_ruleset, digest, key, token};
use crate::intern::Intern;
use crate::limits::MAX_GRANTS_PER_MESSAGE;
use crate::message::{Body, Response, Welcome};
use crate::v1alpha1::{self, subscribe_response::Response as Wire};

/// A controller's message that can't be understood, with the nonce to refuse it by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("response {nonce} is invalid")]
pub struct InvalidResponse {
    /// Of the message.
    pub nonce: u64,
    /// What is wrong with it.
    pub source: InvalidBody,
}

/// What is wrong with a controller's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBody {
    /// None of the kinds that this version knows.
    #[error("response is of an unknown kind")]
    Unknown,
    /// A field can't be.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// A RuleSet can't be.
    #[error(transparent)]
    RuleSet(#[from] InvalidRuleSet),
}

impl From<&Response> for v1alpha1::SubscribeResponse {
    fn from(response: &Response) -> Self {
        let Response { nonce, body } = response;
        let wire = match body {
            Body::Welcome(Welcome { epoch, lease_duration }) => Wire::Welcome(v1alpha1::Welcome {
                epoch: *epoch,
                lease_duration_ms: u64::try_from(lease_duration.as_millis()).unwrap_or(u64::MAX),
            }),
            Body::Upsert(ruleset) => Wire::Upsert(ruleset.into()),
            Body::Remove(key) => Wire::Remove(v1alpha1::Remove { key: Some(key.into()) }),
            Body::Recall { key, digest } => Wire::Recall(v1alpha1::Recall {
                key: Some(key.into()),
                digest: Bytes::copy_from_slice(digest.as_bytes()),
            }),
            Body::Grants(grants) => Wire::Grants(v1alpha1::Grants {
                grants: grants.iter().map(Into::into).collect(),
            }),
            Body::Revoke(tokens) => Wire::Revoke(v1alpha1::Revoke {
                tokens: tokens
                    .iter()
                    .map(|token| Bytes::copy_from_slice(token.as_bytes()))
                    .collect(),
            }),
            Body::SnapshotComplete => Wire::SnapshotComplete(v1alpha1::SnapshotComplete {}),
        };
        Self {
            nonce: *nonce,
            response: Some(wire),
        }
    }
}

/// What a controller's message says, content checked and interned.
///
/// # Errors
/// [`InvalidResponse`], to be answered by a NACK.
pub fn decode_response(wire: v1alpha1::SubscribeResponse, interner: &impl Intern) -> Result<Response, InvalidResponse> {
    let v1alpha1::SubscribeResponse { nonce, response } = wire;
    match decode_body(response, interner) {
        Ok(body) => Ok(Response { nonce, body }),
        Err(source) => Err(InvalidResponse { nonce, source }),
    }
}

fn decode_body(wire: Option<Wire>, interner: &impl Intern) -> Result<Body, InvalidBody> {
    Ok(match wire.ok_or(InvalidBody::Unknown)? {
        Wire::Welcome(v1alpha1::Welcome {
            epoch,
            lease_duration_ms,
        }) => Body::Welcome(Welcome {
            epoch,
            lease_duration: Duration::from_millis(lease_duration_ms),
        }),
        Wire::Upsert(ruleset) => Body::Upsert(decode_ruleset(&ruleset, interner)?),
        Wire::Remove(remove) => Body::Remove(key("remove.key", remove.key.as_ref())?),
        Wire::Recall(recall) => Body::Recall {
            key: key("recall.key", recall.key.as_ref())?,
            digest: digest("recall.digest", &recall.digest)?,
        },
        Wire::Grants(v1alpha1::Grants { grants }) => {
            bounded("grants.grants", grants.len(), MAX_GRANTS_PER_MESSAGE)?;
            Body::Grants(decode_grants(&grants)?)
        }
        Wire::Revoke(v1alpha1::Revoke { tokens }) => {
            bounded("revoke.tokens", tokens.len(), MAX_GRANTS_PER_MESSAGE)?;
            let tokens = tokens.iter().map(|bytes| token("revoke.tokens", bytes));
            Body::Revoke(tokens.collect::<Result<_, _>>()?)
        }
        Wire::SnapshotComplete(v1alpha1::SnapshotComplete {}) => Body::SnapshotComplete,
    })
}
