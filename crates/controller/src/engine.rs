//! The reconciliation of an Engine: look up, resolve, token, build, apply, report.
//!
//! Every replica looks up, so that a standby knows the tokens that are in use; only the leader writes.

pub mod apply;
pub mod build;
pub mod child;
pub mod enforce;
pub mod enforcement;
pub mod fail_reload;
pub mod module;
pub mod name;
pub mod outcome;
pub mod provision;
pub mod report;
pub mod resolve;
pub mod settings;
pub mod sweep;
pub mod token;
pub mod triggers;

use std::sync::Arc;

use coraza_api::Engine;
use coraza_api::istio::WasmPlugin;
use coraza_ruleset::RuleSetKey;
use jiff::Timestamp;

use crate::context::Context;
use crate::engine::build::INSTANCE;
use crate::engine::enforcement::Pod;
use crate::engine::provision::Work;
use crate::engine::resolve::{Provision, Resolved, Surroundings, resolve};
use crate::engine::token::{Now, Token};
use crate::metrics::Name;
use crate::queue::schedule::Outcome;
use crate::report::ReportError;
use crate::unreadable;
use crate::watch::foreign::ChildView;
use crate::watch::index::Index;
use crate::watch::object::{EngineView, ObjectKey, RuleSetView};
use crate::watch::store::{Object, Presence};

/// Reconciles the Engine of a key, whether it exists or not.
///
/// # Errors
/// [`ReportError`]: it is tried again after a back-off.
pub async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Outcome, ReportError> {
    // 1. Look up the Engine and all that it names, and 2. resolve. No client.
    let Some(found) = look_up(context, key) else {
        return sweep::gone(context, key).await;
    };
    let Found { engine, .. } = &found;
    let engine = match engine {
        Object::Known(engine) => engine,
        Object::Unknown(object) => {
            let work = provision::hold(context, key, &object.meta.uid, found.plugin.as_deref()).await;
            let conditions = unreadable::report::<Engine>(context, key, object).await?;
            context.metrics.engine_conditions(&metric_name(key), &conditions);
            return Ok(work.ended());
        }
    };
    if context.leadership.epoch().is_none() {
        stand_by(context, key, engine, &found);
        return Ok(Outcome::Done);
    }
    if engine.meta.deleting {
        return sweep::going(context, key, engine).await;
    }

    // 3. Take the Go operator's finalizer away, which would keep the Engine from being deleted. Client.
    sweep::remove_finalizer(context, key, engine).await?;

    // 4. See what the gateways enforce. No client.
    let seen = found
        .pods
        .as_ref()
        .and_then(|pods| enforce::look(context, key, engine, pods));
    let redrive = seen.as_ref().is_some_and(enforce::Seen::redrive);

    // 5. Token, 6. build, 7. apply: what the Engine's state allows of it. Client.
    let live = found.plugin.as_deref();
    let work = match &found.resolved {
        Some(Resolved::Rejected(outcome)) => sweep::rejected(context, key, outcome).await,
        Some(Resolved::Accepted(resolved, trouble, Provision::Full)) => {
            let work = provision::provision(context, resolved, live, redrive).await;
            work.or_trouble(trouble.clone())
        }
        Some(
            Resolved::Accepted(_, Some(outcome), Provision::Hold)
            | Resolved::Invalid(outcome)
            | Resolved::Undetermined(outcome),
        ) => provision::hold(context, key, &engine.meta.uid, live)
            .await
            .or_trouble(Some(outcome.clone())),
        Some(Resolved::Accepted(_, None, Provision::Hold)) | None => Work::default(),
    };

    // 8. Report. Client.
    report::report(context, key, engine, &found, seen.as_ref(), work).await
}

/// What the index knows about an Engine that exists.
pub struct Found {
    engine: Object<EngineView>,
    /// What came of it; nothing if it can't be read.
    resolved: Option<Resolved>,
    /// Its RuleSet.
    ruleset: Option<Object<RuleSetView>>,
    /// The WasmPlugin of its name, whoever's that is.
    plugin: Option<Arc<ChildView<WasmPlugin>>>,
    /// What is known about WasmPlugins as a whole.
    plugins: Presence,
    /// The ready pods of its Gateway, if it may have that and they are known.
    pods: Option<Vec<Pod>>,
}

fn look_up(context: &Context, key: &ObjectKey) -> Option<Found> {
    let index = context.watched.index();
    let engine = index.engines.get(key)?.clone();
    let plugin = index
        .plugins
        .live
        .get(&name::plugin(key))
        .and_then(Object::known)
        .map(Arc::clone);
    let known = engine.known();
    let ruleset = known.and_then(|engine| {
        let name = ObjectKey::new(Arc::clone(&key.namespace), Arc::clone(&engine.ruleset));
        index.rulesets.get(&name).cloned()
    });
    let resolved = known.map(|engine| {
        let around = Surroundings {
            gateways: &index.gateways,
            classes: &index.classes,
            claimants: claimants(&index, key, engine),
            ruleset: ruleset.clone(),
            enforced: plugin
                .as_deref()
                .and_then(|plugin| enforced(key, &engine.meta.uid, plugin)),
        };
        resolve(key, engine, &around)
    });
    let gateway = match &resolved {
        Some(Resolved::Accepted(..)) => known.and_then(|engine| engine.target()),
        _ => None,
    };
    let pods =
        gateway.and_then(|gateway| enforce::ready_pods(&index, &ObjectKey::new(Arc::clone(&key.namespace), gateway)));
    Some(Found {
        pods,
        plugins: index.plugins.live.presence(),
        engine,
        resolved,
        ruleset,
        plugin,
    })
}

fn claimants(index: &Index, key: &ObjectKey, engine: &EngineView) -> Vec<(ObjectKey, Object<EngineView>)> {
    let Some(target) = engine.target() else {
        return Vec::new();
    };
    let gateway = ObjectKey::new(Arc::clone(&key.namespace), target);
    let claimants = index.gateway_users.to(&gateway);
    claimants
        .filter_map(|key| Some((key.clone(), index.engines.get(key)?.clone())))
        .collect()
}

/// The RuleSet that the gateways are told to enforce by an Engine's WasmPlugin: one of its own namespace, whatever somebody may have
/// written there.
fn enforced(key: &ObjectKey, uid: &str, plugin: &ChildView<WasmPlugin>) -> Option<RuleSetKey> {
    let owned = plugin.owners.iter().any(|owner| owner.uid == uid);
    let instance = plugin.spec.pointer("/pluginConfig")?.get(INSTANCE)?.as_str()?;
    let ruleset: RuleSetKey = instance.parse().ok()?;
    (owned && ruleset.namespace() == &*key.namespace).then_some(ruleset)
}

/// The token that an Engine's WasmPlugin carries.
fn live_token(plugin: &ChildView<WasmPlugin>) -> Option<Token> {
    Token::parse(plugin.spec.pointer("/pluginConfig")?.get(build::TOKEN)?.as_str()?)
}

/// Follows what the leader writes: a standby that takes over grants what is in use.
fn stand_by(context: &Context, key: &ObjectKey, engine: &EngineView, found: &Found) {
    follow_token(context, key, &engine.meta.uid, found.plugin.as_deref(), found.plugins);
    report::measure(context, key, engine, &engine.status.conditions);
}

fn follow_token(
    context: &Context,
    key: &ObjectKey,
    uid: &str,
    plugin: Option<&ChildView<WasmPlugin>>,
    plugins: Presence,
) {
    let live = plugin.and_then(|plugin| Some((enforced(key, uid, plugin)?, live_token(plugin)?)));
    match live {
        Some((ruleset, token)) => {
            provision::revoke_others(context, key, Some((uid, &ruleset)));
            let grant = token.grant(&ruleset, key, uid);
            context.tokens().follow((key, uid), &ruleset, &token, now(context));
            if let Some(grant) = grant {
                context.publisher.grant(grant);
            }
        }
        None if plugins == Presence::Listed => provision::revoke_others(context, key, None),
        None => {}
    }
}

/// Tells the publisher of every token that is in use, once that is known: caches that ask before keep the ones that they have.
pub fn take_stock(context: &Context) {
    let engines: Vec<_> = {
        let index = context.watched.index();
        let plugin = |key: &ObjectKey| {
            index
                .plugins
                .live
                .get(&name::plugin(key))
                .and_then(Object::known)
                .map(Arc::clone)
        };
        let mut modules = std::collections::BTreeMap::new();
        let engines = index.engines.iter().map(|(key, engine)| {
            let uid = match engine {
                Object::Known(engine) => &engine.meta.uid,
                Object::Unknown(unreadable) => &unreadable.meta.uid,
            };
            (key.clone(), uid.clone(), plugin(key))
        });
        let engines: Vec<_> = engines.collect();
        for (_, _, plugin) in &engines {
            if let Some(digest) = plugin
                .as_deref()
                .and_then(|plugin| provision::module_of(plugin)?.digest())
            {
                *modules.entry(digest).or_insert(0_usize) += 1;
            }
        }
        if let Some((digest, _)) = modules.into_iter().max_by_key(|(_, count)| *count) {
            context.announced().resume(digest);
        }
        engines
    };
    for (key, uid, plugin) in engines {
        follow_token(context, &key, &uid, plugin.as_deref(), Presence::Unknown);
    }
    context.publisher.open_grants();
}

/// Both clocks, now.
pub(crate) fn now(context: &Context) -> Now {
    Now {
        wall: Timestamp::now(),
        monotonic: context.started.elapsed(),
    }
}

fn metric_name(key: &ObjectKey) -> Name {
    Name::new(Arc::clone(&key.namespace), Arc::clone(&key.name))
}

#[cfg(test)]
mod tests;
