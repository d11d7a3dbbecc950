//! Objects of kinds that have no type here, as JSON: what Istio and the Gateway API have.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

/// Who owns the fields that tests apply.
const FIELD_MANAGER: &str = "e2e";

/// A kind of object.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
}

/// `Gateway` of the Gateway API.
pub const GATEWAY: Kind = Kind::of("gateway.networking.k8s.io", "v1", "Gateway");
/// `HTTPRoute` of the Gateway API.
pub const HTTP_ROUTE: Kind = Kind::of("gateway.networking.k8s.io", "v1", "HTTPRoute");
/// `WasmPlugin` of Istio.
pub const WASM_PLUGIN: Kind = Kind::of("extensions.istio.io", "v1alpha1", "WasmPlugin");
/// `ServiceEntry` of Istio.
pub const SERVICE_ENTRY: Kind = Kind::of("networking.istio.io", "v1", "ServiceEntry");
/// `DestinationRule` of Istio.
pub const DESTINATION_RULE: Kind = Kind::of("networking.istio.io", "v1", "DestinationRule");
/// `NetworkPolicy` of Kubernetes.
pub const NETWORK_POLICY: Kind = Kind::of("networking.k8s.io", "v1", "NetworkPolicy");
/// `Telemetry` of Istio.
pub const TELEMETRY: Kind = Kind::of("telemetry.istio.io", "v1", "Telemetry");

impl Kind {
    const fn of(group: &'static str, version: &'static str, name: &'static str) -> Self {
        Self { group, version, name }
    }

    /// The objects of this kind in a namespace.
    #[must_use]
    pub fn within(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }

    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.name);
        // Istio's plurals aren't all what English would have.
        let plural = match self.name {
            "ServiceEntry" => "serviceentries",
            "Telemetry" => "telemetries",
            "NetworkPolicy" => "networkpolicies",
            _ => return ApiResource::from_gvk(&kind),
        };
        ApiResource::from_gvk_with_plural(&kind, plural)
    }

    /// Creates or changes an object to have this spec.
    ///
    /// # Panics
    /// If the API server refuses it; [`try_apply`](Self::try_apply) says how.
    pub async fn apply(&self, client: &Client, namespace: &str, name: &str, spec: Value) {
        let applied = self.try_apply(client, namespace, name, spec).await;
        applied.unwrap_or_else(|error| panic!("{} {namespace}/{name} was refused: {error}", self.name));
    }

    /// As [`apply`](Self::apply), for what may be refused.
    ///
    /// # Errors
    /// The API server's.
    pub async fn try_apply(&self, client: &Client, namespace: &str, name: &str, spec: Value) -> kube::Result<()> {
        let mut object = DynamicObject::new(name, &self.resource());
        object.data = serde_json::json!({ "spec": spec });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.within(client, namespace);
        api.patch(name, &params, &Patch::Apply(&object)).await.map(drop)
    }

    /// An object as it is now, if it is there.
    ///
    /// # Panics
    /// If the API server doesn't say.
    pub async fn get(&self, client: &Client, namespace: &str, name: &str) -> Option<Value> {
        let found = self.within(client, namespace).get_opt(name).await;
        let found = found.unwrap_or_else(|error| panic!("failed to get {} {namespace}/{name}: {error}", self.name));
        found.map(|object| serde_json::to_value(object).expect("an object is JSON"))
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// If there is none.
    pub async fn delete(&self, client: &Client, namespace: &str, name: &str) {
        let deleted = self
            .within(client, namespace)
            .delete(name, &DeleteParams::default())
            .await;
        deleted.unwrap_or_else(|error| panic!("failed to delete {} {namespace}/{name}: {error}", self.name));
    }
}
