//! Workers: each takes one item after another from the queue and reconciles it. The one place that maps an error to a retry.

use std::collections::BTreeSet;

use coraza_ruleset::RuleSetKey;
use coraza_runtime::drain;
use coraza_runtime::log::chain;
use futures::StreamExt;
use tokio::time::Instant;

use crate::context::Context;
use crate::queue::Item;
use crate::queue::schedule::Outcome;
use crate::report::ReportError;
use crate::watch::index::ruleset_key;
use crate::watch::object::{ObjectKey, parse_revision};
use crate::{engine, istio, ruledata, ruleset, rulesource};

/// Returns when stock was taken. The first worker does it.
async fn taken_stock(context: &Context) {
    let take = || async {
        context.watched.synced().await;
        take_stock(context);
    };
    context.stock.get_or_init(take).await;
}

/// Takes stock of what exists, now that all of it is known: which RuleSets have to be said before anything is published, and how many
/// bytes are served by what the statuses say.
fn take_stock(context: &Context) {
    let index = context.watched.index();
    let rulesets = index.rulesets.iter().map(|(key, object)| {
        let status = object.known().and_then(|ruleset| ruleset.status.revision.clone());
        (ruleset_key(key), status)
    });
    let engines = index.engines.iter().filter_map(|(key, object)| {
        let engine = object.known()?;
        Some((
            RuleSetKey::new(&key.namespace, &engine.ruleset).ok(),
            engine.status.revision.clone(),
        ))
    });
    let mut memory = context.memory();
    let mut named = BTreeSet::new();
    for (key, status) in rulesets.chain(engines) {
        let Some(key) = key else { continue };
        if let Some(status) = status
            && let Some(revision) = parse_revision(&status)
        {
            memory.ledger.recalled(&key, revision, status.bytes);
        }
        named.insert(key);
    }
    drop(index);
    tracing::info!(rulesets = named.len(), "starting");
    memory.expect(named);
    let nothing = memory.said(None);
    drop(memory);
    if nothing {
        context.publisher.open();
    }
}

/// Works until the drain, from when all kinds were listed; the item that is being worked on is finished first.
pub async fn work(context: Context, mut drain: drain::Watch) {
    tokio::select! {
        () = taken_stock(&context) => {}
        () = drain.signaled() => return,
    }
    loop {
        let item = tokio::select! {
            item = context.queue.next() => item,
            () = drain.signaled() => return,
        };
        let started = Instant::now();
        let outcome = reconcile(&context, &item).await.unwrap_or_else(|error| {
            tracing::warn!(item = ?item, error = chain(&error), "failed to reconcile, trying again later");
            Outcome::Failed
        });
        // Whatever came of it, the publisher was told what to do with the key.
        if let Item::RuleSet(key) = &item
            && context.memory().said(Some(key))
        {
            tracing::info!("all rulesets known, publishing");
            context.publisher.open();
        }
        context.queue.finish(item, outcome, started.elapsed());
    }
}

async fn reconcile(context: &Context, item: &Item) -> Result<Outcome, ReportError> {
    match item {
        Item::RuleSet(key) => ruleset::reconcile(context, key).await,
        Item::RuleSource(key) => rulesource::reconcile(context, key).await,
        Item::RuleData(key) => ruledata::reconcile(context, key).await,
        Item::Engine(key) => engine::reconcile(context, key).await,
        Item::Istio => Ok(istio::reconcile(context).await),
    }
}

/// Follows the leadership: a new leader publishes under its epoch and looks at everything once more, for it may write now.
pub async fn follow_leadership(context: Context, mut drain: drain::Watch) {
    let mut leadership = context.leadership.clone();
    let mut current = None;
    loop {
        let epoch = leadership.epoch();
        if epoch != current {
            context.publisher.lead(epoch);
            context.metrics.leads(epoch.is_some());
            if epoch.is_some() {
                let items = context.watched.index().items();
                context.queue.add(items);
            }
            current = epoch;
        }
        tokio::select! {
            () = leadership.changed() => {}
            () = drain.signaled() => break,
        }
    }
    context.publisher.lead(None);
}

/// Looks again at each RuleSet whose delivery changed. When caches come or go, every key's does: then it is seen, too, which plugin they
/// serve.
pub async fn follow_deliveries(context: Context, mut drain: drain::Watch) {
    let mut changes = std::pin::pin!(context.publisher.changes());
    loop {
        tokio::select! {
            Some(key) = changes.next() => {
                context.queue.add([Item::RuleSet(key)]);
                let announced = context.announced().announce(&context.publisher.plugins());
                if announced {
                    let engines = context.watched.index().engine_items();
                    context.queue.add(engines);
                }
            }
            () = drain.signaled() => return,
        }
    }
}

/// Looks again at each Engine of which a data plane came, went or runs something else.
pub async fn follow_pollers(context: Context, mut drain: drain::Watch) {
    let mut changes = std::pin::pin!(context.publisher.poller_changes());
    loop {
        tokio::select! {
            Some(engine) = changes.next() => {
                let key = ObjectKey::new(engine.namespace(), engine.name());
                context.queue.add([Item::Engine(key)]);
            }
            () = drain.signaled() => return,
        }
    }
}

/// Tells the publisher which tokens are in use, as soon as that is known.
pub async fn open_grants(context: Context, mut drain: drain::Watch) {
    tokio::select! {
        () = context.watched.tokens_known() => engine::take_stock(&context),
        () = drain.signaled() => return,
    }
    // All tasks go on until the drain.
    drain.signaled().await;
}
