//! Provisions an Engine: the NetworkPolicy first, so that a gateway that gets the plugin reaches a cache; then token, WasmPlugin and
//! Telemetry. Client.

use std::time::Duration;

use coraza_api::condition::reason;
use coraza_api::engine::FailurePolicy;
use coraza_api::istio::{Telemetry, WasmPlugin};
use coraza_ruleset::RuleSetKey;
use coraza_runtime::log::chain;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use serde_json::Value;

use crate::context::Context;
use crate::engine::apply::{Applied, ApplyError, apply, delete};
use crate::engine::build::{self, INSTANCE, Plugin, REDRIVE, TOKEN};
use crate::engine::child::Child;
use crate::engine::module::Module;
use crate::engine::resolve::{Logs, ResolvedEngine};
use crate::engine::token::{Choice, Token, TokenError, request};
use crate::engine::{enforced, live_token, name, now, outcome};
use crate::queue::Item;
use crate::queue::schedule::Outcome as Ended;
use crate::status::conditions::Outcome;
use crate::watch::foreign::ChildView;
use crate::watch::object::ObjectKey;
use crate::watch::store::{Object, Presence};

/// How long a new token waits for caches that don't answer before the gateways get it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same while no cache is there: one that comes gets all tokens before it is ready.
const PATIENCE_ALONE: Duration = Duration::from_secs(2);

/// What was done for an Engine and what came of it.
#[derive(Debug, Default)]
pub struct Work {
    /// What there is to say: the first thing that went wrong, else that all is well. Nothing if it stays as it was.
    pub outcome: Option<Outcome>,
    /// It must be tried again.
    pub retry: bool,
    /// The WasmPlugin was created.
    pub created: bool,
    /// When to look again.
    pub again: Option<Duration>,
    /// This process leads no longer: there is nothing to say.
    pub deposed: bool,
}

impl Work {
    /// What went wrong first is what is said.
    fn say(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Something failed that may succeed another time.
    fn failed(&mut self, reason: &'static str, what: &str, error: &(dyn std::error::Error + 'static)) {
        self.retry = true;
        self.say(outcome::failed(reason, what, &chain(error)));
    }

    pub(super) fn apply_failed(&mut self, reason: &'static str, what: &str, error: &ApplyError) {
        match error {
            ApplyError::NotLeading => self.deposed = true,
            // The watch tells when it is gone.
            ApplyError::Foreign { .. } | ApplyError::Deleting { .. } => {
                self.say(outcome::failed(reason, what, &chain(error)));
            }
            // A kind that was just installed can be listed before it can be written: the watch has nothing more to tell then.
            ApplyError::Absent { .. } | ApplyError::Api { .. } | ApplyError::Answer { .. } => {
                self.failed(reason, what, error);
            }
        }
    }

    /// When to look at the Engine again.
    #[must_use]
    pub fn ended(&self) -> Ended {
        if self.retry {
            return Ended::Failed;
        }
        self.again.map_or(Ended::Done, Ended::Again)
    }

    /// What is wrong with what the Engine names is said if nothing else went wrong.
    #[must_use]
    pub fn or_trouble(mut self, trouble: Option<Outcome>) -> Self {
        let well = |outcome: &Outcome| outcome.reason == reason::CONFIGURED;
        if trouble.is_some() && self.outcome.as_ref().is_none_or(well) {
            self.outcome = trouble;
        }
        self
    }
}

/// Makes an Engine's objects as they should be, with something new for Istio to push if a gateway must be driven.
pub async fn provision(
    context: &Context,
    engine: &ResolvedEngine,
    live: Option<&ChildView<WasmPlugin>>,
    redrive: bool,
) -> Work {
    let mut work = Work::default();
    let ours = live.filter(|live| live.owners.iter().any(|owner| owner.uid == engine.uid));
    policy(context, engine, &mut work).await;
    // A gateway that has a plugin keeps it, with a good token, whatever became of its policy.
    if work.deposed || (work.outcome.is_some() && ours.is_none()) {
        return work;
    }
    match context.watched.index().plugins.live.presence() {
        Presence::Listed => {}
        Presence::Unknown => {
            work.say(outcome::plugins_unknown());
            return work;
        }
        Presence::Absent => {
            work.say(outcome::not_installed("WasmPlugin", "extensions.istio.io/v1alpha1"));
            return work;
        }
    }
    if let Some(former) = live.filter(|live| ours.is_none() && is_former(engine, live)) {
        // Its owner is gone, and the garbage collector may take its time. The watch tells when it is.
        if let Err(error) = delete::<WasmPlugin>(context, &name::plugin(&engine.key), &former.meta.uid).await {
            work.apply_failed(reason::PROVISIONING_FAILED, "take a former WasmPlugin away", &error);
        }
        work.again = Some(Duration::from_secs(1));
        return work;
    }
    let announced = context.announced().current();
    let module = Module::of(
        engine.image.as_deref(),
        &context.settings,
        announced,
        ours.and_then(module_of),
    );
    let Some(module) = module else {
        work.say(outcome::no_module());
        return work;
    };
    let Some(token) = token(context, &engine.key, &engine.uid, &engine.ruleset, ours, &mut work).await else {
        return work;
    };
    let drive = redrive.then(|| {
        tracing::warn!(engine = %engine.key, "a ready gateway pod does not poll, having istio push once more");
        Value::from(Timestamp::now().as_second().to_string())
    });
    let drive = drive.or_else(|| ours?.spec.pointer("/pluginConfig")?.get(REDRIVE).cloned());
    plugin(context, engine, (&module, &token, drive), &mut work).await;
    telemetry(context, engine, &mut work).await;
    if !work.deposed {
        let plugin = name::plugin(&engine.key);
        work.say(outcome::configured(engine, &plugin, &module, &context.notes()));
    }
    work
}

/// Keeps what an Engine has as it is, but for a token that must be renewed.
pub async fn hold(context: &Context, key: &ObjectKey, uid: &str, live: Option<&ChildView<WasmPlugin>>) -> Work {
    let mut work = Work::default();
    let Some((live, ruleset)) = live.and_then(|live| Some((live, enforced(key, uid, live)?))) else {
        return work;
    };
    let Some(token) = token(context, key, uid, &ruleset, Some(live), &mut work).await else {
        return work;
    };
    let mut child = held(context, key, uid, live);
    if let Some(config) = child.spec.pointer_mut("/pluginConfig").and_then(Value::as_object_mut) {
        config.insert(TOKEN.to_owned(), token.secret().into());
    }
    if let Err(error) = apply::<WasmPlugin>(context, Item::Engine(key.clone()), child).await {
        work.apply_failed(reason::PROVISIONING_FAILED, "renew the token of the WasmPlugin", &error);
    }
    work
}

/// The WasmPlugin as it was wanted last, or else as it is.
fn held(context: &Context, key: &ObjectKey, uid: &str, live: &ChildView<WasmPlugin>) -> Child {
    let name = name::plugin(key);
    let index = context.watched.index();
    let wanted = index.plugins.wanted(&name).map(|wanted| wanted.child.as_ref());
    let same = |child: &&Child| {
        let instance = |spec: &Value| {
            spec.pointer("/pluginConfig")
                .and_then(|config| config.get(INSTANCE))
                .cloned()
        };
        child.owns(live) && instance(&child.spec) == instance(&live.spec)
    };
    wanted.filter(same).cloned().unwrap_or_else(|| Child {
        key: name,
        labels: live.labels.clone(),
        annotations: live.annotations.clone(),
        owner: live
            .owners
            .iter()
            .find(|owner| owner.uid == uid)
            .map(|owner| OwnerReference {
                api_version: coraza_api::Engine::api_version(&()).into_owned(),
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }),
        spec: live.spec.clone(),
    })
}

async fn policy(context: &Context, engine: &ResolvedEngine, work: &mut Work) {
    let child = build::policy(engine, &context.settings);
    let name = child.key.clone();
    if let Err(error) = apply::<NetworkPolicy>(context, Item::Engine(engine.key.clone()), child).await {
        work.apply_failed(reason::NETWORK_POLICY_FAILED, "apply the NetworkPolicy", &error);
        return;
    }
    // Those that the Go operator made, or that were made for an Engine of this name before.
    let stale: Vec<_> = {
        let index = context.watched.index();
        let policies = index.policies_of(&engine.key).filter(|(key, _)| **key != name);
        policies
            .map(|(key, policy)| (key.clone(), policy.meta.uid.clone()))
            .collect()
    };
    for (key, uid) in stale {
        if let Err(error) = delete::<NetworkPolicy>(context, &key, &uid).await {
            work.apply_failed(reason::NETWORK_POLICY_FAILED, "delete an older NetworkPolicy", &error);
        }
    }
}

/// The token that the gateways are to have: granted, and known to the caches if it is new. Nothing if there is none.
async fn token(
    context: &Context,
    key: &ObjectKey,
    uid: &str,
    ruleset: &RuleSetKey,
    live: Option<&ChildView<WasmPlugin>>,
    work: &mut Work,
) -> Option<Token> {
    revoke_others(context, key, Some((uid, ruleset)));
    let settings = &context.settings.tokens;
    let found = live.and_then(live_token);
    let choice = context
        .tokens()
        .choose((key, uid), ruleset, found, settings, now(context));
    let grant = |token: &Token| {
        if let Some(grant) = token.grant(ruleset, key, uid) {
            context.publisher.grant(grant);
        }
    };
    let last = match choice {
        Choice::Keep(token, again) => {
            grant(&token);
            work.again = Some(again);
            return Some(token);
        }
        Choice::Renew(last) => last,
    };
    if context.leadership.epoch().is_none() {
        work.deposed = true;
        return None;
    }
    match request(&context.client, &context.settings.namespace, ruleset, settings.lifetime).await {
        Ok(token) => {
            tracing::info!(engine = %key, token = ?token, "token issued");
            context.tokens().renewed((key, uid), ruleset, &token, now(context));
            grant(&token);
            let alone = context.publisher.connected() == 0;
            let patience = if alone { PATIENCE_ALONE } else { PATIENCE };
            if !context.publisher.acknowledged(&token.digest(), patience).await && !alone {
                tracing::warn!(engine = %key, "a cache has not acknowledged the new token, going on without it");
            }
            work.again = Some(
                settings
                    .renew_after
                    .age(token.life())
                    .min(crate::engine::token::MAX_WAIT),
            );
            Some(token)
        }
        Err(error) => {
            let reason = match error {
                TokenError::NoAccount { .. } => reason::SERVICE_ACCOUNT_FAILED,
                TokenError::Refused(_) | TokenError::Unreadable => reason::TOKEN_FAILED,
            };
            work.failed(reason, "get a token for the gateways", &error);
            last.inspect(grant)
        }
    }
}

/// Takes back the tokens of an Engine that are for another RuleSet than this, or for an Engine of its name that was before it.
pub(super) fn revoke_others(context: &Context, key: &ObjectKey, except: Option<(&str, &RuleSetKey)>) {
    let revoked = context.tokens().revoked(key, except);
    for digest in revoked {
        tracing::info!(engine = %key, token = ?digest, "token revoked");
        context.publisher.revoke(&digest);
    }
}

async fn plugin(
    context: &Context,
    engine: &ResolvedEngine,
    (module, token, redrive): (&Module, &Token, Option<Value>),
    work: &mut Work,
) {
    let build = |fail_reload| {
        let plugin = Plugin {
            module,
            token: token.secret(),
            fail_reload,
            redrive: redrive.clone(),
        };
        build::plugin(engine, &context.settings, &plugin)
    };
    let by = Item::Engine(engine.key.clone());
    let fail_reload =
        engine.failure_policy == FailurePolicy::Fail && context.fail_reload.supported(&context.client).await;
    let mut applied = apply::<WasmPlugin>(context, by.clone(), build(fail_reload)).await;
    if fail_reload && applied.as_ref().is_err_and(ApplyError::is_refusal) {
        let without = apply::<WasmPlugin>(context, by, build(false)).await;
        if without.is_ok() {
            context.fail_reload.refused().await;
        }
        applied = without;
    }
    match applied {
        Ok(applied) => work.created = applied == Applied::Created,
        Err(error) => {
            work.apply_failed(reason::PROVISIONING_FAILED, "apply the WasmPlugin", &error);
            // A refusal may quote what it refuses.
            if let Some(outcome) = &mut work.outcome {
                outcome.message = outcome.message.replace(token.secret(), "(token)");
            }
        }
    }
}

async fn telemetry(context: &Context, engine: &ResolvedEngine, work: &mut Work) {
    let name = name::telemetry(&engine.key);
    if engine.logs == Logs::Collected {
        let child = build::telemetry(engine, &context.settings);
        if let Err(error) = apply::<Telemetry>(context, Item::Engine(engine.key.clone()), child).await {
            work.apply_failed(reason::PROVISIONING_FAILED, "apply the Telemetry", &error);
        }
        return;
    }
    match &engine.logs {
        Logs::Unknown => return,
        Logs::Impossible(why) => work.say(outcome::no_collector(why)),
        Logs::Off | Logs::Collected => {}
    }
    let live = {
        let index = context.watched.index();
        index.telemetries.live.get(&name).and_then(Object::known).cloned()
    };
    if let Some(live) = live.filter(|live| live.owners.iter().any(|owner| owner.uid == engine.uid))
        && let Err(error) = delete::<Telemetry>(context, &name, &live.meta.uid).await
    {
        work.apply_failed(reason::PROVISIONING_FAILED, "delete the Telemetry", &error);
    }
}

/// Whether a WasmPlugin was made for an Engine of the same name that is gone.
fn is_former(engine: &ResolvedEngine, live: &ChildView<WasmPlugin>) -> bool {
    let owner = live.engine();
    owner.is_some_and(|owner| owner.name == *engine.key.name && owner.uid != engine.uid)
}

/// The module that a WasmPlugin names.
pub(super) fn module_of(plugin: &ChildView<WasmPlugin>) -> Option<Module> {
    let text = |field: &str| plugin.spec.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
    Some(Module {
        url: text("url")?,
        sha256: text("sha256"),
    })
}
