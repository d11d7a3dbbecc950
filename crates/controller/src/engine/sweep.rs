//! Takes away what was made for an Engine that is gone, is going, or may have nothing: the WasmPlugin first and the NetworkPolicy after, so
//! that no gateway runs a plugin that reaches no cache. Client.

use std::sync::Arc;

use coraza_api::Engine;
use coraza_api::istio::{Telemetry, WasmPlugin};
use coraza_api::metadata::{FIELD_MANAGER, LEGACY_ENGINE_FINALIZER};
use coraza_runtime::log::chain;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::context::Context;
use crate::engine::apply::{ApplyError, delete};
use crate::engine::provision::{Work, revoke_others};
use crate::engine::{metric_name, name};
use crate::queue::Item;
use crate::queue::schedule::Outcome as Ended;
use crate::report::ReportError;
use crate::status::conditions::Outcome;
use crate::status::writer::WriteError;
use crate::watch::foreign::ChildView;
use crate::watch::object::{EngineView, ObjectKey};
use crate::watch::store::Object;

/// An Engine is gone.
pub async fn gone(context: &Context, key: &ObjectKey) -> Result<Ended, ReportError> {
    context.metrics.forget_engine(&metric_name(key));
    context.trackers().forget(key);
    clear_or_retry(context, key).await
}

/// An Engine's deletion was asked for, and waits for finalizers.
pub async fn going(context: &Context, key: &ObjectKey, engine: &EngineView) -> Result<Ended, ReportError> {
    let ended = clear_or_retry(context, key).await?;
    if ended == Ended::Done {
        remove_finalizer(context, key, engine).await?;
    }
    Ok(ended)
}

/// An Engine has no target of its own: nothing may be made for it.
pub async fn rejected(context: &Context, key: &ObjectKey, outcome: &Outcome) -> Work {
    let mut work = Work::default();
    match clear(context, key).await {
        Err(ApplyError::NotLeading) => work.deposed = true,
        Err(error) => {
            tracing::warn!(engine = %key, error = chain(&error), "failed to clear a rejected engine away, trying again later");
            work.retry = true;
        }
        Ok(()) => {}
    }
    work.or_trouble(Some(outcome.clone()))
}

async fn clear_or_retry(context: &Context, key: &ObjectKey) -> Result<Ended, ReportError> {
    match clear(context, key).await {
        Ok(()) | Err(ApplyError::NotLeading) => Ok(Ended::Done),
        Err(error) => {
            tracing::warn!(engine = %key, error = chain(&error), "failed to clear an engine away, trying again later");
            Ok(Ended::Failed)
        }
    }
}

/// Revokes an Engine's tokens and deletes its objects.
async fn clear(context: &Context, key: &ObjectKey) -> Result<(), ApplyError> {
    revoke_others(context, key, None);
    if context.leadership.epoch().is_none() {
        return Err(ApplyError::NotLeading);
    }
    let (plugin, telemetry, policies) = {
        let mut index = context.watched.index();
        index.unwant(&Item::Engine(key.clone()));
        let policies = index.policies_of(key);
        let policies: Vec<_> = policies
            .map(|(name, policy)| (name.clone(), policy.meta.uid.clone()))
            .collect();
        (
            owned(key, index.plugins.live.get(&name::plugin(key))),
            owned(key, index.telemetries.live.get(&name::telemetry(key))),
            policies,
        )
    };
    if let Some(uid) = plugin {
        delete::<WasmPlugin>(context, &name::plugin(key), &uid).await?;
    }
    if let Some(uid) = telemetry {
        delete::<Telemetry>(context, &name::telemetry(key), &uid).await?;
    }
    for (name, uid) in policies {
        delete::<NetworkPolicy>(context, &name, &uid).await?;
    }
    Ok(())
}

/// The UID of an object that was made for an Engine of this name, whichever that was.
fn owned<K>(key: &ObjectKey, live: Option<&Object<ChildView<K>>>) -> Option<String> {
    let live = live.and_then(Object::known).map(Arc::clone)?;
    let made_for = live.engine().is_some_and(|owner| owner.name == *key.name);
    (made_for && !live.meta.deleting).then(|| live.meta.uid.clone())
}

/// Takes the Go operator's finalizer away: we need none, and with it the Engine would stay for ever.
pub async fn remove_finalizer(context: &Context, key: &ObjectKey, engine: &EngineView) -> Result<(), ReportError> {
    if !engine
        .finalizers
        .iter()
        .any(|finalizer| finalizer == LEGACY_ENGINE_FINALIZER)
    {
        return Ok(());
    }
    let rest: Vec<_> = engine
        .finalizers
        .iter()
        .filter(|finalizer| *finalizer != LEGACY_ENGINE_FINALIZER)
        .collect();
    let patch = json!({"metadata": {"resourceVersion": engine.meta.resource_version, "finalizers": rest}});
    let engines: Api<Engine> = Api::namespaced(context.client.clone(), &key.namespace);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match engines
        .patch_metadata(&key.name, &parameters, &Patch::Merge(patch))
        .await
    {
        Ok(_) => {
            tracing::info!(engine = %key, "finalizer of the Go operator removed");
            Ok(())
        }
        // It changed or is gone: the watch brings the next look.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(ReportError::Write(WriteError::Api(error))),
    }
}
