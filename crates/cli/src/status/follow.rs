//! Engines and RuleSets as they are, and as they become. Client.

use std::collections::BTreeMap;
use std::fmt::Debug;

use coraza_api::{Engine, RuleSet};
use futures::stream::{self, Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::status::StatusError;

/// Namespace and name.
type Key = (String, String);

/// All that are looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    pub(crate) engines: BTreeMap<Key, Engine>,
    pub(crate) rule_sets: BTreeMap<Key, RuleSet>,
}

impl Objects {
    /// Those of a namespace, or of all.
    pub(crate) async fn list(client: &Client, namespace: Option<&str>) -> Result<Self, StatusError> {
        let (engines, rule_sets) =
            tokio::try_join!(list(client, namespace, "Engines"), list(client, namespace, "RuleSets"))?;
        Ok(Self { engines, rule_sets })
    }
}

async fn list<K: Followed>(
    client: &Client,
    namespace: Option<&str>,
    kind: &'static str,
) -> Result<BTreeMap<Key, K>, StatusError> {
    let objects = api::<K>(client, namespace).list(&ListParams::default()).await;
    let objects = objects.map_err(|source| StatusError::Read { kind, source })?;
    Ok(objects.into_iter().map(|object| (key(&object), object)).collect())
}

trait Followed:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Send + 'static
{
}
impl Followed for Engine {}
impl Followed for RuleSet {}

fn api<K: Followed>(client: &Client, namespace: Option<&str>) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn key<K: Followed>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// What changed.
enum Change {
    Engine(watcher::Result<Event<Engine>>),
    RuleSet(watcher::Result<Event<RuleSet>>),
}

/// Whether a watch has told of all that there is.
struct Listing<K> {
    /// What a list has told so far; nothing between lists.
    coming: Option<BTreeMap<Key, K>>,
    complete: bool,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self {
            coming: None,
            complete: false,
        }
    }
}

/// All of them after each change, once both kinds were listed. A watch that ends is begun again; one that can't be had ends it.
pub(crate) fn follow(
    client: &Client,
    namespace: Option<&str>,
) -> impl Stream<Item = Result<Objects, StatusError>> + use<> {
    let engines = watcher(api::<Engine>(client, namespace), watcher::Config::default())
        .default_backoff()
        .map(Change::Engine);
    let rule_sets = watcher(api::<RuleSet>(client, namespace), watcher::Config::default())
        .default_backoff()
        .map(Change::RuleSet);
    let state = (Objects::default(), Listing::default(), Listing::default());
    let events = stream::select(engines.boxed(), rule_sets.boxed());
    stream::unfold((events, Some(state)), |(mut events, state)| async move {
        let (mut objects, mut engines, mut rule_sets) = state?;
        loop {
            let failed = match events.next().await? {
                Change::Engine(event) => take(event, &mut objects.engines, &mut engines, "Engines"),
                Change::RuleSet(event) => take(event, &mut objects.rule_sets, &mut rule_sets, "RuleSets"),
            };
            match failed {
                Err(error) => return Some((Err(error), (events, None))),
                Ok(true) if engines.complete && rule_sets.complete => {
                    return Some((Ok(objects.clone()), (events, Some((objects, engines, rule_sets)))));
                }
                Ok(_) => {}
            }
        }
    })
}

/// Takes an event in; whether the objects may be others now.
fn take<K: Followed>(
    event: watcher::Result<Event<K>>,
    objects: &mut BTreeMap<Key, K>,
    listing: &mut Listing<K>,
    kind: &'static str,
) -> Result<bool, StatusError> {
    match event {
        Ok(Event::Init) => listing.coming = Some(BTreeMap::new()),
        Ok(Event::InitApply(object)) => {
            listing.coming.get_or_insert_default().insert(key(&object), object);
        }
        Ok(Event::InitDone) => {
            *objects = listing.coming.take().unwrap_or_default();
            listing.complete = true;
            return Ok(true);
        }
        Ok(Event::Apply(object)) => {
            objects.insert(key(&object), object);
            return Ok(true);
        }
        Ok(Event::Delete(object)) => return Ok(objects.remove(&key(&object)).is_some()),
        // The watcher begins again by itself; what it can't be told at all is told at once.
        Err(watcher::Error::InitialListFailed(source)) if !listing.complete => {
            return Err(StatusError::Read { kind, source });
        }
        Err(source @ watcher::Error::NoResourceVersion) => {
            return Err(StatusError::Watch {
                kind,
                source: Box::new(source),
            });
        }
        Err(_) => {}
    }
    Ok(false)
}
