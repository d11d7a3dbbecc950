//! `SubscribeRequest` of the wire ↔ [`Request`].

use std::collections::BTreeMap;

use bytes::Bytes;
use coraza_ruleset::{Grant, Revision, RuleSetKey, TokenDigest};
use uuid::Uuid;

use super::grant::decode_grants;
use super::report::decode_report;
use super::{InvalidField, InvalidRuleSet, bounded, decode_ruleset, digest, key, shown, timestamp};
use crate::intern::Intern;
use crate::limits::{MAX_ERROR_DETAIL, MAX_GRANTS, is_name, truncated};
use crate::message::{Hello, Request};
use crate::v1alpha1::{self, subscribe_request::Request as Wire};

/// Why a cache's message can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// None of the kinds that this version knows: a newer cache's, perhaps, and to be passed over.
    #[error("request is of an unknown kind")]
    Unknown,
    /// A field can't be.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// What came back isn't what was asked for. The stream is sound; only this answer isn't.
    #[error("recalled ruleset of {key} is invalid")]
    Recalled {
        /// Whose content was asked for.
        key: RuleSetKey,
        /// What is wrong with it.
        source: Box<InvalidRuleSet>,
    },
}

impl From<&Request> for v1alpha1::SubscribeRequest {
    fn from(request: &Request) -> Self {
        let wire = match request {
            Request::Hello(hello) => Wire::Hello(hello.into()),
            Request::Ack { nonce } => Wire::Ack(v1alpha1::Ack { nonce: *nonce }),
            Request::Nack { nonce, detail } => Wire::Nack(v1alpha1::Nack {
                nonce: *nonce,
                error_detail: truncated(detail, MAX_ERROR_DETAIL).to_owned(),
            }),
            Request::Recalled { key, ruleset } => Wire::Recalled(v1alpha1::Recalled {
                key: Some(key.into()),
                ruleset: ruleset.as_ref().map(Into::into),
            }),
            Request::Report(pollers) => Wire::Report(pollers.as_slice().into()),
        };
        Self { request: Some(wire) }
    }
}

impl From<&Hello> for v1alpha1::Hello {
    fn from(hello: &Hello) -> Self {
        let Hello {
            replica,
            process_id,
            holdings,
            max_ruleset_bytes,
            plugin_digest,
            grants,
        } = hello;
        let holding = |(key, revision): (&RuleSetKey, &Revision)| v1alpha1::Holding {
            key: Some(key.into()),
            digest: Bytes::copy_from_slice(revision.digest.as_bytes()),
            timestamp: revision.timestamp.unix_nanos(),
        };
        Self {
            replica: replica.clone(),
            process_id: process_id.to_string(),
            holdings: holdings.iter().map(holding).collect(),
            max_ruleset_bytes: *max_ruleset_bytes,
            plugin_digest: plugin_digest
                .map(|digest| Bytes::copy_from_slice(&digest))
                .unwrap_or_default(),
            grants: grants.values().map(Into::into).collect(),
        }
    }
}

/// What a cache's message says, recalled content interned.
///
/// # Errors
/// [`InvalidRequest`]; see there which of them end a stream.
pub fn decode_request(wire: v1alpha1::SubscribeRequest, interner: &impl Intern) -> Result<Request, InvalidRequest> {
    Ok(match wire.request.ok_or(InvalidRequest::Unknown)? {
        Wire::Hello(hello) => Request::Hello(decode_hello(hello)?),
        Wire::Ack(v1alpha1::Ack { nonce }) => Request::Ack { nonce },
        Wire::Nack(v1alpha1::Nack { nonce, error_detail }) => Request::Nack {
            nonce,
            // Cut, not refused: the refusal that it describes is true however long its words are.
            detail: truncated(&error_detail, MAX_ERROR_DETAIL).to_owned(),
        },
        Wire::Recalled(recalled) => decode_recalled(&recalled, interner)?,
        Wire::Report(report) => Request::Report(decode_report(&report)?),
    })
}

fn decode_recalled(wire: &v1alpha1::Recalled, interner: &impl Intern) -> Result<Request, InvalidRequest> {
    let key = key("recalled.key", wire.key.as_ref())?;
    let ruleset = wire
        .ruleset
        .as_ref()
        .map(|ruleset| decode_ruleset(ruleset, interner))
        .transpose();
    match ruleset {
        Ok(ruleset) => Ok(Request::Recalled { key, ruleset }),
        Err(source) => Err(InvalidRequest::Recalled {
            key,
            source: Box::new(source),
        }),
    }
}

fn decode_hello(wire: v1alpha1::Hello) -> Result<Hello, InvalidField> {
    let v1alpha1::Hello {
        replica,
        process_id,
        holdings,
        max_ruleset_bytes,
        plugin_digest,
        grants,
    } = wire;
    if !is_name(&replica) {
        return Err(InvalidField::Name {
            field: "hello.replica",
            value: shown(&replica),
        });
    }
    let field = "hello.process_id";
    let process_id = Uuid::try_parse(&process_id).map_err(|_| InvalidField::Uuid {
        field,
        value: shown(&process_id),
    })?;
    let field = "hello.plugin_digest";
    let plugin_digest = if plugin_digest.is_empty() {
        None
    } else {
        Some(*digest(field, &plugin_digest)?.as_bytes())
    };
    Ok(Hello {
        replica,
        process_id,
        holdings: decode_holdings(&holdings)?,
        max_ruleset_bytes,
        plugin_digest,
        grants: decode_held_grants(&grants)?,
    })
}

fn decode_held_grants(wire: &[v1alpha1::Grant]) -> Result<BTreeMap<TokenDigest, Grant>, InvalidField> {
    let field = "hello.grants";
    bounded(field, wire.len(), MAX_GRANTS)?;
    let mut held = BTreeMap::new();
    for grant in decode_grants(wire)? {
        let token = grant.token;
        if held.insert(token, grant).is_some() {
            return Err(InvalidField::DuplicateToken { field, token });
        }
    }
    Ok(held)
}

fn decode_holdings(wire: &[v1alpha1::Holding]) -> Result<BTreeMap<RuleSetKey, Revision>, InvalidField> {
    let mut holdings = BTreeMap::new();
    for holding in wire {
        let key = key("holding.key", holding.key.as_ref())?;
        let revision = Revision {
            digest: digest("holding.digest", &holding.digest)?,
            timestamp: timestamp("holding.timestamp", holding.timestamp)?,
        };
        if holdings.insert(key.clone(), revision).is_some() {
            return Err(InvalidField::Duplicate {
                field: "hello.holdings",
                key,
            });
        }
    }
    Ok(holdings)
}
