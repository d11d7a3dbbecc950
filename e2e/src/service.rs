//! Services without Pods: their endpoints are servers on the node.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// Creates or changes a Service of one port, whose endpoints are these. Each has an EndpointSlice, since ports are a slice's and not an endpoint's.
///
/// # Panics
/// If the API server refuses.
pub async fn create(client: &Client, namespace: &str, name: &str, port: u16, endpoints: &[SocketAddr]) {
    let params = PatchParams::apply("e2e").force();
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "ports": [{ "name": "http", "port": port, "protocol": "TCP" }] },
    });
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let applied = services.patch(name, &params, &Patch::Apply(&service)).await;
    applied.unwrap_or_else(|error| panic!("Service {namespace}/{name} was refused: {error}"));
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    for (number, endpoint) in endpoints.iter().enumerate() {
        let slice_name = format!("{name}-{number}");
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": slice_name, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [endpoint.ip()], "conditions": { "ready": true } }],
            "ports": [{ "name": "http", "port": endpoint.port(), "protocol": "TCP" }],
        });
        let applied = slices.patch(&slice_name, &params, &Patch::Apply(&slice)).await;
        applied.unwrap_or_else(|error| panic!("EndpointSlice {namespace}/{slice_name} was refused: {error}"));
    }
}
