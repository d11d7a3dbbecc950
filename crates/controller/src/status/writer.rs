//! Writes statuses: one merge patch, only when something differs, and only over the version of the object that was judged.
//!
//! Not server-side apply: that would leave conditions in place that the Go operator wrote, and nobody removes.

use std::fmt::Debug;

use coraza_api::metadata::FIELD_MANAGER;
use http::header::{ACCEPT, HeaderValue};
use kube::api::{Patch, PatchParams};
use kube::core::{NamespaceResourceScope, PartialObjectMeta, Request, Resource};
use kube::{Client, Error};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Asks for the answer without the specification, which may be 1.5 MiB of rules that nobody reads.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Which object, in the version that the status was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub resource_version: &'a str,
}

/// What became of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The object had this status already; no call was made.
    Unchanged,
    /// It was written, and the object now has this version.
    Patched(String),
    /// The object is gone, and nobody needs its status.
    Gone,
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object changed since it was read: judge it again.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The API server refused it or wasn't reached.
    #[error("failed to write the status")]
    Api(#[source] Error),
    /// The status isn't JSON.
    #[error("failed to encode the status")]
    Encode(#[source] serde_json::Error),
    /// No request could be made of it.
    #[error("failed to make a request")]
    Request(#[source] kube::core::request::Error),
}

/// Makes an object's status `desired`, if it isn't that already.
///
/// # Errors
/// [`WriteError::Conflict`] if the object is not in the target's version any more; nothing was written then.
pub async fn write<K, S>(
    client: &Client,
    target: Target<'_>,
    current: Option<&S>,
    desired: &S,
) -> Result<Written, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    S: Serialize + Debug,
{
    let Some(status) = difference(current, desired).map_err(WriteError::Encode)? else {
        return Ok(Written::Unchanged);
    };
    let patch = json!({"metadata": {"resourceVersion": target.resource_version}, "status": status});
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut request = Request::new(K::url_path(&(), Some(target.namespace)))
        .patch_subresource("status", target.name, &parameters, &Patch::Merge(patch))
        .map_err(WriteError::Request)?;
    request.headers_mut().insert(ACCEPT, METADATA_ONLY);
    match client.request::<PartialObjectMeta<K>>(request).await {
        Ok(object) => Ok(Written::Patched(object.metadata.resource_version.unwrap_or_default())),
        Err(Error::Api(status)) if status.code == 409 => Err(WriteError::Conflict),
        Err(Error::Api(status)) if status.code == 404 => Ok(Written::Gone),
        Err(error) => Err(WriteError::Api(error)),
    }
}

/// The merge patch that makes `current` into `desired`: whole fields, so that a list loses what it should, and null for a field
/// that goes. Nothing if there is no difference.
fn difference<S: Serialize>(current: Option<&S>, desired: &S) -> Result<Option<Map<String, Value>>, serde_json::Error> {
    let current = current.map(fields).transpose()?.unwrap_or_default();
    let desired = fields(desired)?;
    let removed = current
        .keys()
        .filter(|name| !desired.contains_key(*name))
        .map(|name| (name.clone(), Value::Null));
    let removed: Vec<_> = removed.collect();
    let changed = desired
        .into_iter()
        .filter(|(name, value)| current.get(name) != Some(value));
    let patch: Map<String, Value> = changed.chain(removed).collect();
    Ok((!patch.is_empty()).then_some(patch))
}

fn fields<S: Serialize>(status: &S) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(status)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests;
