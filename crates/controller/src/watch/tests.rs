//! Watches as the API server drives them: what goes wrong deletes nothing and holds up nobody.

use std::collections::BTreeSet;

use coraza_api::istio::WasmPlugin;
use futures::stream;
use kube::core::Status;
use serde_json::{Value, json};

use super::*;
use crate::queue::{self, Item};
use crate::watch::foreign::ChildView;
use crate::watch::object::{DataView, EngineView, ObjectKey, RuleSetView, SourceView, View};
use crate::watch::store::Presence;

type Step = watcher::Result<watcher::Event<DynamicObject>>;

fn watched() -> (Watched, Queue) {
    let queue = Queue::new(8);
    let ready = coraza_runtime::readiness::Readiness::default().latch("watches");
    (
        Watched::new(queue.clone(), Arc::new(Compiler::new()), Metrics::default(), ready),
        queue,
    )
}

fn object<V: View>(name: &str, spec: &Value) -> DynamicObject {
    let metadata = json!({"namespace": "default", "name": name, "uid": name, "resourceVersion": "1"});
    let object =
        json!({"apiVersion": "waf.k8s.coraza.io/v1alpha1", "kind": V::KIND, "metadata": metadata, "spec": spec});
    serde_json::from_value(object).expect("a dynamic object")
}

fn source(name: &str) -> DynamicObject {
    object::<SourceView>(name, &json!({"rules": "SecRuleEngine On"}))
}

fn list(objects: Vec<DynamicObject>) -> Vec<Step> {
    let listed = objects.into_iter().map(|object| Ok(watcher::Event::InitApply(object)));
    [Ok(watcher::Event::Init)]
        .into_iter()
        .chain(listed)
        .chain([Ok(watcher::Event::InitDone)])
        .collect()
}

fn api_error(code: u16) -> kube::Error {
    kube::Error::Api(
        Status {
            code,
            ..Status::default()
        }
        .boxed(),
    )
}

fn sources(watched: &Watched) -> Vec<String> {
    watched
        .index()
        .sources
        .iter()
        .map(|(key, _)| key.name.to_string())
        .collect()
}

/// What was queued, without waiting for more.
async fn queued(queue: &Queue) -> BTreeSet<Item> {
    let mut items = BTreeSet::new();
    while let Ok(item) = tokio::time::timeout(Duration::ZERO, queue.next()).await {
        queue.finish(item.clone(), queue::schedule::Outcome::Done, Duration::ZERO);
        items.insert(item);
    }
    items
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_while_the_watch_was_down_and_compacted_is_reconciled() {
    let (watched, queue) = watched();
    let ruleset = object::<RuleSetView>("set", &json!({"sources": [{"name": "a"}, {"name": "b"}]}));
    watched.follow::<RuleSetView>(stream::iter(list(vec![ruleset]))).await;
    let expired = watcher::Error::WatchError(
        Status {
            code: 410,
            ..Status::default()
        }
        .boxed(),
    );
    let steps = list(vec![source("a"), source("b")]);
    watched.follow::<SourceView>(stream::iter(steps)).await;
    queued(&queue).await;
    let steps = [Err(expired)].into_iter().chain(list(vec![source("a")]));
    watched.follow::<SourceView>(stream::iter(steps)).await;
    assert_eq!(sources(&watched), ["a"]);
    let key = coraza_ruleset::RuleSetKey::new("default", "set").expect("a key");
    assert_eq!(
        queued(&queue).await,
        [Item::RuleSet(key), Item::RuleSource(ObjectKey::new("default", "b"))].into()
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_gone_deletes_nothing_and_is_tried_again() {
    let (watched, _) = watched();
    watched
        .follow::<SourceView>(stream::iter(list(vec![source("a")])))
        .await;
    let absent = || {
        let error = Err(watcher::Error::InitialListFailed(api_error(404)));
        [Ok(watcher::Event::Init), error]
    };
    let started = tokio::time::Instant::now();
    let steps = (0..20)
        .flat_map(|_| absent())
        .chain(list(vec![source("a"), source("b")]));
    watched.follow::<SourceView>(stream::iter(steps)).await;
    assert_eq!(sources(&watched), ["a", "b"]);
    let waited = started.elapsed();
    assert!(waited > 10 * MAX_RETRY / 2 && waited < 20 * MAX_RETRY, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_group_is_not_installed_is_known_to_be_absent() {
    let (watched, _) = watched();
    assert_eq!(watched.index().plugins.live.presence(), Presence::Unknown);
    // As a client makes it of a plain text: without a reason.
    let absent = Err(watcher::Error::InitialListFailed(api_error(404)));
    watched
        .follow::<ChildView<WasmPlugin>>(stream::iter([Ok(watcher::Event::Init), absent]))
        .await;
    assert_eq!(watched.index().plugins.live.presence(), Presence::Absent);
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_object_stops_nothing_and_its_key_stays() {
    let (watched, queue) = watched();
    watched
        .follow::<SourceView>(stream::iter(list(vec![source("a"), source("b")])))
        .await;
    queued(&queue).await;
    let broken = object::<SourceView>("a", &json!({"rules": {"not": "text"}}));
    let steps = [
        Ok(watcher::Event::Apply(broken)),
        Ok(watcher::Event::Delete(source("b"))),
    ];
    watched.follow::<SourceView>(stream::iter(steps)).await;
    assert_eq!(sources(&watched), ["a"]);
    assert_eq!(queued(&queue).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_synced_before_every_kind_was_listed() {
    let (watched, _) = watched();
    let waiting = {
        let watched = watched.clone();
        tokio::spawn(async move { watched.synced().await })
    };
    watched.follow::<RuleSetView>(stream::iter(list(Vec::new()))).await;
    watched.follow::<SourceView>(stream::iter(list(Vec::new()))).await;
    watched.follow::<DataView>(stream::iter(list(Vec::new()))).await;
    let absent = Err(watcher::Error::InitialListFailed(api_error(404)));
    watched
        .follow::<EngineView>(stream::iter([Ok(watcher::Event::Init), absent]))
        .await;
    assert!(!waiting.is_finished() && !watched.shared.ready.is_set());
    watched.follow::<EngineView>(stream::iter(list(Vec::new()))).await;
    waiting.await.expect("synced");
    assert!(watched.shared.ready.is_set());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_uninstalled_is_listed_anew() {
    let (watched, _) = watched();
    let gone = Err(watcher::Error::WatchStartFailed(api_error(404)));
    let steps = list(vec![source("a")])
        .into_iter()
        .chain([gone, Ok(watcher::Event::Delete(source("a")))]);
    watched.follow::<SourceView>(stream::iter(steps)).await;
    assert_eq!(
        sources(&watched),
        ["a"],
        "what follows on the old stream is not taken in"
    );
    let steps = [
        Ok(watcher::Event::Init),
        Err(watcher::Error::InitialListFailed(api_error(404))),
    ];
    watched.follow::<SourceView>(stream::iter(steps)).await;
    assert_eq!(watched.index().sources.presence(), store::Presence::Absent);
    assert_eq!(sources(&watched), ["a"], "nothing is deleted for it");
    watched.follow::<SourceView>(stream::iter(list(Vec::new()))).await;
    assert_eq!(watched.index().sources.presence(), store::Presence::Listed);
    assert!(sources(&watched).is_empty());
}
