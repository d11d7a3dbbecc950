//! What the controller keeps of objects that aren't its own kinds: Gateways and their classes, its own Deployment, and the objects
//! that it makes. Pure.
//!
//! These views are equal when what they say is: an update of the status alone is no change.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use coraza_api::gateway::{Gateway, GatewayClass, GatewayClassSpec, GatewaySpec};
use coraza_api::metadata::annotation;
use coraza_compiler::Compiler;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::ApiResource;
use serde_json::Value;

use crate::watch::object::{Meta, Undecodable, View, annotation_of, meta, part};

/// A Gateway.
#[derive(Debug, PartialEq, Eq)]
pub struct GatewayView {
    /// The name of its class.
    pub class: Arc<str>,
}

impl View for GatewayView {
    const KIND: &'static str = "Gateway";

    fn resource() -> ApiResource {
        ApiResource::erase::<Gateway>(&())
    }

    fn decode(_: &ObjectMeta, mut body: Value, _: &Compiler) -> Result<Self, Undecodable> {
        let GatewaySpec { gateway_class_name } = part(&mut body, "spec")?;
        Ok(Self {
            class: gateway_class_name.into(),
        })
    }
}

/// A GatewayClass.
#[derive(Debug, PartialEq, Eq)]
pub struct GatewayClassView {
    /// Who implements Gateways of this class.
    pub controller: Arc<str>,
    /// The collector that its platform declares for access logs, if there is one.
    pub log_collector: Option<Arc<str>>,
}

impl View for GatewayClassView {
    const KIND: &'static str = "GatewayClass";

    fn resource() -> ApiResource {
        ApiResource::erase::<GatewayClass>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, _: &Compiler) -> Result<Self, Undecodable> {
        let GatewayClassSpec { controller_name } = part(&mut body, "spec")?;
        let collector = annotation_of(metadata, annotation::LOG_COLLECTOR).filter(|collector| !collector.is_empty());
        Ok(Self {
            controller: controller_name.into(),
            log_collector: collector.map(Into::into),
        })
    }
}

/// The Deployment that this process belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct DeploymentView {
    /// Which Deployment of this name it is.
    pub uid: Arc<str>,
}

impl View for DeploymentView {
    const KIND: &'static str = "Deployment";

    fn resource() -> ApiResource {
        ApiResource::erase::<Deployment>(&())
    }

    fn decode(metadata: &ObjectMeta, _: Value, _: &Compiler) -> Result<Self, Undecodable> {
        Ok(Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
        })
    }
}

/// Whom an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Of which kind.
    pub kind: String,
    /// Of which name.
    pub name: String,
    /// Which of that name.
    pub uid: String,
}

/// An object of a kind that we make: one of ours, or somebody else's.
pub struct ChildView<K> {
    /// Its metadata.
    pub meta: Meta,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whom it belongs to.
    pub owners: Vec<Owner>,
    /// Its specification; null if it isn't ours, for what others want is nobody's business here.
    pub spec: Value,
    kind: PhantomData<fn() -> K>,
}

impl<K> ChildView<K> {
    /// The Engine that it belongs to, as its owner references say.
    #[must_use]
    pub fn engine(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.kind == "Engine")
    }
}

/// By what it says, not by its version: a status of Istio's is no change.
impl<K> PartialEq for ChildView<K> {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            meta,
            labels,
            annotations,
            owners,
            spec,
            kind: _,
        } = self;
        (&meta.uid, meta.deleting) == (&other.meta.uid, other.meta.deleting)
            && *labels == other.labels
            && *annotations == other.annotations
            && *owners == other.owners
            && *spec == other.spec
    }
}

/// Without its specification, which may hold a token.
impl<K> fmt::Debug for ChildView<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildView")
            .field("meta", &self.meta)
            .field("owners", &self.owners)
            .finish_non_exhaustive()
    }
}

/// A kind that we make objects of.
pub trait ChildKind: Resource<DynamicType = ()> + Send + Sync + 'static {
    /// Its name.
    const KIND: &'static str;

    /// Whether an object, by its metadata, may be ours: of others the specification isn't kept.
    fn may_be_ours(metadata: &ObjectMeta) -> bool;
}

impl<K: ChildKind> View for ChildView<K> {
    const KIND: &'static str = K::KIND;

    fn resource() -> ApiResource {
        ApiResource::erase::<K>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, _: &Compiler) -> Result<Self, Undecodable> {
        let owners = metadata.owner_references.iter().flatten().map(|owner| Owner {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        });
        let spec = body.get_mut("spec").map(Value::take).unwrap_or_default();
        Ok(Self {
            meta: meta(metadata),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            owners: owners.collect(),
            spec: if K::may_be_ours(metadata) { spec } else { Value::Null },
            kind: PhantomData,
        })
    }
}
