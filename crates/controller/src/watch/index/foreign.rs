//! The kinds in the index that aren't our own. Pure.

use std::sync::Arc;

use coraza_api::istio::{DestinationRule, ServiceEntry, Telemetry, WasmPlugin};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::engine::triggers;
use crate::queue::Item;
use crate::watch::foreign::{ChildKind, ChildView, DeploymentView, GatewayClassView, GatewayView};
use crate::watch::index::{Children, Index, Indexed};
use crate::watch::object::ObjectKey;
use crate::watch::store::{Change, Event, Object, Store};

impl Indexed for GatewayView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.gateways
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        triggers::of_gateway(&change.key, &index.gateway_users)
    }

    fn appeared(index: &Index) -> Vec<Item> {
        index.engine_items()
    }
}

impl Indexed for GatewayClassView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.classes
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let gateways = index.gateways.iter();
        let of_class =
            gateways.filter(|(_, gateway)| gateway.known().is_some_and(|known| known.class == change.key.name));
        of_class
            .flat_map(|(key, _)| triggers::of_gateway(key, &index.gateway_users))
            .collect()
    }

    fn appeared(index: &Index) -> Vec<Item> {
        index.engine_items()
    }
}

impl Indexed for DeploymentView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.deployments
    }

    fn changed(_: &mut Index, _: &Change<Self>) -> Vec<Item> {
        vec![Item::Istio]
    }

    fn appeared(_: &Index) -> Vec<Item> {
        vec![Item::Istio]
    }
}

/// A kind that we make objects of and that the index has a place for.
pub trait IndexedChild: ChildKind {
    /// Its place.
    fn children(index: &Index) -> &Children<Self>
    where
        Self: Sized;

    /// Its place, to be changed.
    fn children_mut(index: &mut Index) -> &mut Children<Self>
    where
        Self: Sized;

    /// Who an object was made for, as it says itself.
    fn made_for(key: &ObjectKey, view: &ChildView<Self>) -> Option<Item>
    where
        Self: Sized;

    /// What must be reconciled when it becomes known whether the kind exists.
    fn appeared(index: &Index) -> Vec<Item>;
}

impl<K: IndexedChild> Indexed for ChildView<K> {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut K::children_mut(index).live
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let wanted = K::children(index).wanted(&change.key);
        let seen = |object: &Option<Object<Self>>| {
            let view = object.as_ref().and_then(Object::known).map(Arc::clone)?;
            K::made_for(&change.key, &view)
        };
        triggers::of_child(change, wanted, [seen(&change.before), seen(&change.after)])
    }

    fn appeared(index: &Index) -> Vec<Item> {
        K::appeared(index)
    }

    fn is_outdated(index: &Index, event: &Event<Self>) -> bool {
        let (Event::Apply(key, Object::Known(view)) | Event::InitApply(key, Object::Known(view))) = event else {
            return false;
        };
        let known = K::children(index).live.get(key).and_then(Object::known);
        // An object in a list must be taken note of, or it would be swept away at its end.
        matches!(event, Event::Apply(..))
            && known.is_some_and(|known| known.meta.uid == view.meta.uid && known.meta.version() > view.meta.version())
    }
}

macro_rules! indexed_children {
    ($($kind:ident in $field:ident for $made_for:expr, $appeared:expr;)*) => {$(
        impl IndexedChild for $kind {
            fn children(index: &Index) -> &Children<Self> {
                &index.$field
            }

            fn children_mut(index: &mut Index) -> &mut Children<Self> {
                &mut index.$field
            }

            fn made_for(key: &ObjectKey, view: &ChildView<Self>) -> Option<Item> {
                $made_for(key, view)
            }

            fn appeared(index: &Index) -> Vec<Item> {
                $appeared(index)
            }
        }
    )*};
}

indexed_children!(
    WasmPlugin in plugins for owning_engine, Index::engine_items;
    Telemetry in telemetries for owning_engine, Index::engine_items;
    NetworkPolicy in policies for policy_engine, with_bereaved;
    ServiceEntry in service_entries for of_istio, istio;
    DestinationRule in destination_rules for of_istio, istio;
);

fn owning_engine<K>(key: &ObjectKey, view: &ChildView<K>) -> Option<Item> {
    let engine = view.engine()?;
    Some(Item::Engine(ObjectKey::new(
        Arc::clone(&key.namespace),
        engine.name.as_str(),
    )))
}

fn policy_engine(_: &ObjectKey, view: &ChildView<NetworkPolicy>) -> Option<Item> {
    triggers::engine_of_policy(view).map(Item::Engine)
}

/// Once all policies are known, those that vanished Engines left are swept.
fn with_bereaved(index: &Index) -> Vec<Item> {
    let engines = index.items().into_iter();
    engines.filter(|item| matches!(item, Item::Engine(_))).collect()
}

fn of_istio<K>(_: &ObjectKey, _: &ChildView<K>) -> Option<Item> {
    Some(Item::Istio)
}

fn istio(_: &Index) -> Vec<Item> {
    vec![Item::Istio]
}
