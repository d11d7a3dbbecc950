//! Tells about an object: its status if it differs, and then an Event if its state changed. Client.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{NamespaceResourceScope, Resource};
use serde::Serialize;
use tokio::task::JoinError;

use crate::context::Context;
use crate::status::events::{Event, Reporter};
use crate::status::writer::{Target, WriteError, Written, write};
use crate::watch::object::{Meta, ObjectKey};

/// The object that something is told about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which object.
    pub key: &'a ObjectKey,
    /// Its metadata as it was judged.
    pub meta: &'a Meta,
    /// Who tells.
    pub reporter: Reporter,
}

impl Subject<'_> {
    /// Makes the status of the object `desired` if it is `current`. Gives whether it was written: whoever loses a race against
    /// another change of the object tells nothing, since the watch brings that change and with it the next look.
    ///
    /// # Errors
    /// [`ReportError::Write`] if the API server doesn't answer or refuses.
    pub async fn write<K, S>(self, context: &Context, current: &S, desired: &S) -> Result<bool, ReportError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        S: Serialize + Debug,
    {
        let target = Target {
            namespace: &self.key.namespace,
            name: &self.key.name,
            resource_version: &self.meta.resource_version,
        };
        match write::<K, S>(&context.client, target, Some(current), desired).await {
            Ok(Written::Patched(_)) => Ok(true),
            Ok(Written::Unchanged | Written::Gone) | Err(WriteError::Conflict) => Ok(false),
            Err(error) => Err(ReportError::Write(error)),
        }
    }

    /// Sends an Event about the object.
    pub async fn record<K: Resource<DynamicType = ()>>(self, context: &Context, event: &Event) {
        let Self { key, meta, reporter } = self;
        tracing::info!(kind = %K::kind(&()), object = %key, reason = event.reason, "state changed");
        let regarding = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(meta.uid.clone()),
            resource_version: Some(meta.resource_version.clone()),
            field_path: None,
        };
        context.recorder.record(event, &regarding, reporter).await;
    }
}

/// Why an object has to be looked at again after a back-off.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A fault of ours: no input may do this.
    #[error("the compiler failed")]
    Compute(#[source] JoinError),
    /// The API server doesn't answer, or refuses.
    #[error("failed to report")]
    Write(#[source] WriteError),
}
