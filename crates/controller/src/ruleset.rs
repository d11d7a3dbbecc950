//! The reconciliation of a RuleSet: look up, resolve, compile, publish, report.
//!
//! Every replica does all but the last, so that a standby has everything compiled when it takes over; only the leader reports.

pub mod ledger;
pub mod memory;
pub mod report;
pub mod resolve;
pub mod triggers;
pub mod verdict;

use std::sync::Arc;

use coraza_api::{RuleSet, RuleSource};
use coraza_compiler::{Compilation, Options, ResolvedRuleSet};
use coraza_ruleset::{Revision, RuleSetKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

use crate::context::Context;
use crate::metrics::{Name, Validation};
use crate::publish::Delivery;
use crate::queue::Item;
use crate::queue::schedule::Outcome;
use crate::report::{ReportError, Subject};
use crate::ruleset::memory::{Compiled, Inputs};
use crate::ruleset::report::{Finding, Report};
use crate::ruleset::resolve::{Unresolved, resolve};
use crate::status::events::Reporter;
use crate::unreadable;
use crate::watch::index::object_key;
use crate::watch::object::{ObjectKey, RuleSetView, parse_revision};
use crate::watch::store::Object;

/// Reconciles the RuleSet of a key, whether it exists or not.
///
/// # Errors
/// [`ReportError`]: it is tried again after a back-off.
pub async fn reconcile(context: &Context, key: &RuleSetKey) -> Result<Outcome, ReportError> {
    // 1. Look up the RuleSet and all that it names. No client.
    let found = look_up(context, key);
    let (Some(Object::Known(ruleset)), Some(resolved)) = (&found.ruleset, found.resolved) else {
        let exists = found.ruleset.is_some() || found.named;
        keep_or_forget(context, key, exists, found.wanted);
        if let Some(Object::Unknown(object)) = &found.ruleset {
            unreadable::report::<RuleSet>(context, &object_key(key), object).await?;
        }
        return Ok(Outcome::Done);
    };

    // 2. Resolve, 3. compile and 4. publish: what is wrong keeps the last good content. No client.
    let epoch = context.leadership.epoch();
    let finding = match resolved {
        Err(unresolved) => Finding::Unresolved(unresolved),
        Ok(resolved) => match compile(context, Inputs::new(resolved, ruleset.allow_unsupported)).await {
            Ok(Err(error)) => Finding::Broken(error),
            Ok(Ok(compilation)) => publish(context, key, compilation, found.wanted, epoch),
            Err(error) => {
                context.publisher.retain(key, found.wanted);
                return Err(error);
            }
        },
    };
    if !matches!(finding, Finding::Good(..)) {
        context.publisher.retain(key, found.wanted);
    }

    // 5. Judge, no client, and 6. report, if this process leads. Client.
    let now = Time(jiff::Timestamp::now());
    let report = Report::new(key, ruleset, &finding, context.profile, &now);
    let leads = context.leadership.epoch().is_some();
    // A standby hears of no cache: what it can say is what the leader wrote.
    let conditions = if leads {
        &report.status.conditions
    } else {
        &ruleset.status.conditions
    };
    context
        .metrics
        .ruleset(&name(key), conditions, ruleset.sources.len(), ruleset.data.len());
    if leads {
        tell(context, ruleset, &object_key(key), &report).await?;
    }
    Ok(report.again.map_or(Outcome::Done, Outcome::Again))
}

/// What the index knows about a key.
struct Found {
    ruleset: Option<Object<RuleSetView>>,
    /// All that the RuleSet names; nothing without a RuleSet that can be read.
    resolved: Option<Result<ResolvedRuleSet, Unresolved>>,
    /// Whether an Engine names it.
    named: bool,
    /// The last good revision that a status tells of: the RuleSet's, else an Engine's.
    wanted: Option<Revision>,
}

fn look_up(context: &Context, key: &RuleSetKey) -> Found {
    let index = context.watched.index();
    let ruleset = index.rulesets.get(&object_key(key)).cloned();
    let sibling = |name: &Arc<str>| ObjectKey::new(key.namespace(), Arc::clone(name));
    let resolved = ruleset.as_ref().and_then(Object::known).map(|ruleset| {
        let source = |name: &Arc<str>| index.sources.get(&sibling(name)).cloned();
        let data = |name: &Arc<str>| index.data.get(&sibling(name)).cloned();
        resolve(key, ruleset, source, data)
    });
    let said = match &ruleset {
        Some(Object::Known(ruleset)) => ruleset.revision(),
        Some(Object::Unknown(unreadable)) => unreadable.revision,
        None => None,
    };
    let engines = index
        .engines_of(key)
        .filter_map(|engine| engine.status.revision.as_ref().and_then(parse_revision));
    Found {
        wanted: said.or_else(|| engines.max_by_key(|revision| revision.timestamp)),
        named: index.is_named(key),
        ruleset,
        resolved,
    }
}

/// There is no RuleSet that can be read: what is served stays if one exists or an Engine names it, and goes otherwise.
fn keep_or_forget(context: &Context, key: &RuleSetKey, exists: bool, wanted: Option<Revision>) {
    if exists {
        context.publisher.retain(key, wanted);
        return;
    }
    context.publisher.forget(key);
    context.metrics.forget_ruleset(&name(key));
    let freed = context.memory().forget(key);
    context.queue.add(freed.into_iter().map(Item::RuleSet));
}

/// Hands good content to the publisher and takes note of the bytes that it has.
fn publish(
    context: &Context,
    key: &RuleSetKey,
    compilation: Arc<Compilation>,
    known: Option<Revision>,
    epoch: Option<u64>,
) -> Finding {
    let Compilation { content, digest, .. } = &*compilation;
    let bytes = u64::try_from(content.size()).unwrap_or(u64::MAX);
    let started = Instant::now();
    let revision = context.publisher.serve(key, content.clone(), *digest, known);
    context.metrics.cache_set(&key.namespace().into(), started.elapsed());
    // The publisher knows what it was just told, unless an earlier look at the key is at work elsewhere, which is never the case.
    let nobody = Delivery {
        revision,
        bytes,
        connected: 0,
        acked: 0,
        nacked: Vec::new(),
        ever_connected: false,
    };
    let delivery = context.publisher.delivery(key).unwrap_or(nobody);
    context.metrics.delivery(&name(key), &delivery);
    let mut memory = context.memory();
    let age = memory.published_for(key, delivery.revision, epoch, context.started.elapsed());
    let freed = memory.ledger.served(key, delivery.revision, bytes);
    drop(memory);
    context.queue.add(freed.into_iter().map(Item::RuleSet));
    Finding::Good(compilation, delivery, age)
}

/// Compiles on a processor of its own, unless the same was compiled before.
async fn compile(context: &Context, inputs: Inputs) -> Result<Compiled, ReportError> {
    if let Some(compiled) = context.memory().compiled(&inputs) {
        return Ok(compiled);
    }
    let worker = context.clone();
    let compiled = context.compute(move || {
        let compiled = admit_and_compile(&worker, &inputs);
        worker.memory().remember(inputs, &compiled);
        compiled
    });
    compiled.await.map_err(ReportError::Compute)
}

/// Whether there is room for the content is judged first, and by us: what others have depends on the order of things, the rest
/// on the content alone.
fn admit_and_compile(context: &Context, inputs: &Inputs) -> Compiled {
    let ruleset = inputs.ruleset();
    let content = ruleset.content();
    let digest = content.digest();
    context.memory().ledger.admit(&ruleset.key, &content, digest)?;
    let options = Options {
        profile: context.profile,
        allow_unsupported: inputs.allow_unsupported(),
        limits: context.limits,
        ..Options::default()
    };
    let started = Instant::now();
    let compiled = context.compiler.compile(ruleset, &options).map(Arc::new);
    let validation = if compiled.is_ok() {
        Validation::Valid
    } else {
        Validation::Invalid
    };
    context
        .metrics
        .ruleset_validated(&ruleset.key.namespace().into(), validation, started.elapsed());
    if compiled.is_err() {
        let freed = context.memory().ledger.cancelled(&ruleset.key);
        context.queue.add(freed.into_iter().map(Item::RuleSet));
    }
    compiled
}

fn name(key: &RuleSetKey) -> Name {
    Name::new(key.namespace(), key.name())
}

/// Writes the status if it differs, and then tells of what changed by it.
async fn tell(context: &Context, ruleset: &RuleSetView, key: &ObjectKey, report: &Report) -> Result<(), ReportError> {
    let subject = Subject {
        key,
        meta: &ruleset.meta,
        reporter: Reporter::RuleSet,
    };
    let written = subject
        .write::<RuleSet, _>(context, &ruleset.status, &report.status)
        .await?;
    let Some(event) = report.event.as_ref().filter(|_| written) else {
        return Ok(());
    };
    subject.record::<RuleSet>(context, event).await;
    for (source, event) in &report.source_events {
        let key = ObjectKey::new(Arc::clone(&key.namespace), Arc::clone(source));
        let source = context
            .watched
            .index()
            .sources
            .get(&key)
            .and_then(Object::known)
            .map(Arc::clone);
        if let Some(source) = source {
            let subject = Subject {
                key: &key,
                meta: &source.meta,
                reporter: Reporter::RuleSource,
            };
            subject.record::<RuleSource>(context, event).await;
        }
    }
    Ok(())
}
