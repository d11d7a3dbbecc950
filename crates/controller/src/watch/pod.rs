//! What the controller keeps of gateway pods: which Gateway they are of, their addresses, whether they are ready. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use coraza_api::metadata::label;
use coraza_compiler::Compiler;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::ApiResource;
use serde_json::Value;

use crate::queue::Item;
use crate::watch::index::{Index, Indexed};
use crate::watch::object::{ObjectKey, Undecodable, View, part};
use crate::watch::store::{Change, Object, Store};

/// A pod with the label of a Gateway. Only those are watched.
#[derive(Debug, PartialEq, Eq)]
pub struct PodView {
    /// The name of its Gateway.
    pub gateway: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is ready, and not about to end.
    pub ready: bool,
}

impl View for PodView {
    const KIND: &'static str = "Pod";

    fn resource() -> ApiResource {
        ApiResource::erase::<Pod>(&())
    }

    fn decode(metadata: &ObjectMeta, mut body: Value, _: &Compiler) -> Result<Self, Undecodable> {
        let status: Option<PodStatus> = part(&mut body, "status")?;
        let status = status.unwrap_or_default();
        let gateway = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(label::GATEWAY_NAME));
        let ready = status.conditions.iter().flatten();
        let ready = ready
            .filter(|condition| condition.type_ == "Ready")
            .any(|condition| condition.status == "True");
        let addresses = status
            .pod_ips
            .iter()
            .flatten()
            .filter_map(|address| address.ip.parse().ok());
        Ok(Self {
            gateway: gateway.map(String::as_str).unwrap_or_default().into(),
            addresses: addresses.collect(),
            ready: ready && metadata.deletion_timestamp.is_none(),
        })
    }
}

impl Indexed for PodView {
    fn store(index: &mut Index) -> &mut Store<Self> {
        &mut index.pods
    }

    fn changed(index: &mut Index, change: &Change<Self>) -> Vec<Item> {
        let gateway = |object: &Option<Object<Self>>| {
            let pod = object.as_ref()?.known()?;
            Some(Arc::clone(&pod.gateway))
        };
        let after = gateway(&change.after);
        index.gateway_pods.set(&change.key, after.iter().cloned().collect());
        let gateways = [gateway(&change.before), after.clone()].into_iter().flatten();
        let keys = gateways.map(|gateway| ObjectKey::new(Arc::clone(&change.key.namespace), gateway));
        keys.flat_map(|gateway| {
            index
                .gateway_users
                .to(&gateway)
                .cloned()
                .map(Item::Engine)
                .collect::<Vec<_>>()
        })
        .collect()
    }

    fn appeared(index: &Index) -> Vec<Item> {
        index.engine_items()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Value, deleted: bool) -> PodView {
        let metadata = json!({
            "labels": {"gateway.networking.k8s.io/gateway-name": "gateway"},
            "deletionTimestamp": deleted.then_some("2026-01-01T00:00:00Z"),
        });
        let metadata = serde_json::from_value(metadata).expect("metadata");
        let mut body = json!({"spec": {"containers": "never looked at"}});
        if !status.is_null() {
            body["status"] = status;
        }
        PodView::decode(&metadata, body, &Compiler::new()).expect("a pod")
    }

    #[test]
    fn a_pod_is_ready_as_its_condition_says_until_it_is_deleted() {
        let status = |ready| json!({"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]});
        for (status, deleted, ready) in [
            (Value::Null, false, false),
            (json!({}), false, false),
            (status("False"), false, false),
            (status("True"), false, true),
            (status("True"), true, false),
        ] {
            assert_eq!(pod(status.clone(), deleted).ready, ready, "{status} {deleted}");
        }
    }

    #[test]
    fn all_addresses_are_kept_that_are_some() {
        let pod = pod(
            json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {"ip": "?"}]}),
            false,
        );
        assert_eq!(&*pod.gateway, "gateway");
        assert_eq!(
            pod.addresses,
            ["10.0.0.1", "fd00::1"].map(|address| address.parse::<IpAddr>().expect("an address"))
        );
    }
}
