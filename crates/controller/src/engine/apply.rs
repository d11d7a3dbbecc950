//! Makes objects as they should be, with as few calls as that takes: none if they are. Client.
//!
//! An object that isn't there is created, and nothing else: one that somebody else makes at the same time stays theirs. One that is ours is
//! changed by server-side apply, bound to its UID. What of its specification isn't ours to want is taken away by a merge patch, since
//! applying takes away only what was applied before.

use std::sync::Arc;

use coraza_api::metadata::FIELD_MANAGER;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde_json::{Value, json};

use crate::context::Context;
use crate::engine::child::{Child, Difference};
use crate::queue::Item;
use crate::watch::foreign::{ChildKind, ChildView};
use crate::watch::index::IndexedChild;
use crate::watch::object::{ObjectKey, View as _, decode};
use crate::watch::store::{Object, Presence};

/// What was done about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is as it should be; no call was made.
    Unchanged,
    /// It was created.
    Created,
    /// It was changed.
    Changed,
}

/// Why an object isn't as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Its kind isn't installed.
    #[error("{kind} is not installed in this cluster")]
    Absent {
        /// Which kind.
        kind: &'static str,
    },
    /// An object of its name is somebody else's.
    #[error("{kind} {key} exists and belongs to {owner}, so it stays as it is: rename or delete it")]
    Foreign {
        /// Of which kind.
        kind: &'static str,
        /// Which one.
        key: ObjectKey,
        /// Whose.
        owner: String,
    },
    /// One of its name is on its way out.
    #[error("{kind} {key} is being deleted, and is made again when it is gone")]
    Deleting {
        /// Of which kind.
        kind: &'static str,
        /// Which one.
        key: ObjectKey,
    },
    /// This process leads no longer, and another one does its work.
    #[error("this controller leads no longer")]
    NotLeading,
    /// The API server refused or wasn't reached.
    #[error("the API server did not take {kind} {key}")]
    Api {
        /// Of which kind.
        kind: &'static str,
        /// Which one.
        key: ObjectKey,
        /// What it said.
        #[source]
        source: kube::Error,
    },
    /// The API server answered with something else.
    #[error("the API server's answer about {kind} {key} can't be read")]
    Answer {
        /// Of which kind.
        kind: &'static str,
        /// Which one.
        key: ObjectKey,
    },
}

impl ApplyError {
    /// Whether the API server found the object itself wrong: asking again would be in vain.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Api { source: kube::Error::Api(status), .. } if matches!(status.code, 400 | 422))
    }
}

/// Makes an object of ours as it should be. From here on a change of it by somebody else is looked at on behalf of `by`.
///
/// # Errors
/// [`ApplyError`]
pub async fn apply<K>(context: &Context, by: Item, child: Child) -> Result<Applied, ApplyError>
where
    K: IndexedChild + Resource<Scope = NamespaceResourceScope>,
{
    let child = Arc::new(child);
    let (live, presence) = {
        let mut index = context.watched.index();
        let children = K::children_mut(&mut index);
        children.want(by, Arc::clone(&child));
        (children.live.get(&child.key).cloned(), children.live.presence())
    };
    if presence == Presence::Absent {
        return Err(ApplyError::Absent { kind: K::KIND });
    }
    let writer = Writer::<K>::new(context, &child);
    let live = match live {
        Some(Object::Known(live)) => live,
        // It was decoded by its metadata only: that never fails for what the API server sends.
        Some(Object::Unknown(_)) => writer.read().await?,
        None => match writer.find_or_create(presence).await? {
            None => return Ok(Applied::Created),
            Some(live) => live,
        },
    };
    if !child.owns(&live) {
        return Err(writer.foreign(&live));
    }
    if live.meta.deleting {
        let (kind, key) = (K::KIND, child.key.clone());
        return Err(ApplyError::Deleting { kind, key });
    }
    let difference = child.difference(&live);
    if difference.is_none() {
        return Ok(Applied::Unchanged);
    }
    writer.correct(&live.meta.uid, difference).await?;
    Ok(Applied::Changed)
}

/// Deletes an object, if it still is the one with this UID.
///
/// # Errors
/// [`ApplyError`]
pub async fn delete<K>(context: &Context, key: &ObjectKey, uid: &str) -> Result<(), ApplyError>
where
    K: IndexedChild + Resource<Scope = NamespaceResourceScope>,
{
    K::children_mut(&mut context.watched.index()).unwant(key);
    if context.leadership.epoch().is_none() {
        return Err(ApplyError::NotLeading);
    }
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api::<K>(&context.client, &key.namespace)
        .delete(&key.name, &parameters)
        .await
    {
        Ok(_) => {
            tracing::info!(kind = K::KIND, object = %key, "deleted");
            Ok(())
        }
        // It is gone, or another one has its name.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ApplyError::Api {
            kind: K::KIND,
            key: key.clone(),
            source,
        }),
    }
}

fn api<K: ChildKind>(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ChildView::<K>::resource())
}

/// The calls about one object.
struct Writer<'a, K> {
    context: &'a Context,
    child: &'a Child,
    api: Api<DynamicObject>,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<'a, K> Writer<'a, K>
where
    K: IndexedChild + Resource<Scope = NamespaceResourceScope>,
{
    fn new(context: &'a Context, child: &'a Child) -> Self {
        Self {
            context,
            child,
            api: api::<K>(&context.client, &child.key.namespace),
            kind: std::marker::PhantomData,
        }
    }

    /// Creates the object; gives the one that there is if the watch has not told of it.
    async fn find_or_create(&self, presence: Presence) -> Result<Option<Arc<ChildView<K>>>, ApplyError> {
        if presence == Presence::Unknown {
            let live = self.api.get_opt(&self.child.key.name).await;
            if let Some(live) = live.map_err(|source| self.refused(source))? {
                return self.view(live).map(Some);
            }
        }
        match self.create().await? {
            Some(()) => Ok(None),
            None => self.read().await.map(Some),
        }
    }

    /// Creates the object. Nothing if there is one of its name.
    async fn create(&self) -> Result<Option<()>, ApplyError> {
        self.check_leadership()?;
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let object = serde_json::from_value(self.child.body::<K>(None)).map_err(|_| self.unreadable())?;
        match self.api.create(&parameters, &object).await {
            Ok(created) => {
                tracing::info!(kind = K::KIND, object = %self.child.key, "created");
                self.context.watched.written::<ChildView<K>>(created);
                Ok(Some(()))
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(source) => Err(self.refused(source)),
        }
    }

    async fn correct(&self, uid: &str, difference: Difference) -> Result<(), ApplyError> {
        let Difference { lacks, mut surplus } = difference;
        if lacks {
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(self.child.body::<K>(Some(uid)));
            let live = self.patch(&parameters, &patch).await?;
            surplus = self.child.difference(&live).surplus;
        }
        if let Some(Value::Object(mut patch)) = surplus {
            patch.insert("metadata".to_owned(), json!({"uid": uid}));
            let parameters = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            self.patch(&parameters, &Patch::Merge(Value::Object(patch))).await?;
        }
        tracing::info!(kind = K::KIND, object = %self.child.key, "corrected");
        Ok(())
    }

    async fn patch(&self, parameters: &PatchParams, patch: &Patch<Value>) -> Result<Arc<ChildView<K>>, ApplyError> {
        self.check_leadership()?;
        let patched = self.api.patch(&self.child.key.name, parameters, patch).await;
        let patched = patched.map_err(|source| self.refused(source))?;
        self.context.watched.written::<ChildView<K>>(patched.clone());
        self.view(patched)
    }

    async fn read(&self) -> Result<Arc<ChildView<K>>, ApplyError> {
        let live = self.api.get(&self.child.key.name).await;
        self.view(live.map_err(|source| self.refused(source))?)
    }

    fn view(&self, object: DynamicObject) -> Result<Arc<ChildView<K>>, ApplyError> {
        let decoded = decode::<ChildView<K>>(object, &self.context.compiler);
        let known = decoded.and_then(|(_, object)| object.known().map(Arc::clone));
        known.ok_or_else(|| self.unreadable())
    }

    fn check_leadership(&self) -> Result<(), ApplyError> {
        match self.context.leadership.epoch() {
            Some(_) => Ok(()),
            None => Err(ApplyError::NotLeading),
        }
    }

    fn refused(&self, source: kube::Error) -> ApplyError {
        match source {
            // Of an object that isn't there: there is no such path.
            kube::Error::Api(status) if status.code == 404 && status.details.is_none() => {
                ApplyError::Absent { kind: K::KIND }
            }
            source => ApplyError::Api {
                kind: K::KIND,
                key: self.child.key.clone(),
                source,
            },
        }
    }

    fn unreadable(&self) -> ApplyError {
        ApplyError::Answer {
            kind: K::KIND,
            key: self.child.key.clone(),
        }
    }

    fn foreign(&self, live: &ChildView<K>) -> ApplyError {
        let owner = live.owners.first();
        ApplyError::Foreign {
            kind: K::KIND,
            key: self.child.key.clone(),
            owner: owner.map_or_else(
                || "nobody that we know".to_owned(),
                |owner| format!("{} {}", owner.kind, owner.name),
            ),
        }
    }
}
