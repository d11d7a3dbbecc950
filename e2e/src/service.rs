//! Services without Pods: their endpoints are servers on the node.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// A port of a Service.
#[derive(Debug, Clone)]
pub struct Port<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number.
    pub number: u16,
    /// The servers behind it. The same number of them each time that the Service is changed: it isn't looked whether there were more.
    pub endpoints: Vec<SocketAddr>,
}

/// Creates or changes a Service of one port, `http`, whose endpoints are these.
///
/// # Panics
/// If the API server refuses.
pub async fn create(client: &Client, namespace: &str, name: &str, port: u16, endpoints: &[SocketAddr]) {
    let port = Port {
        name: "http",
        number: port,
        endpoints: endpoints.to_vec(),
    };
    create_with(client, namespace, name, &[port]).await;
}

/// Creates or changes a Service of some ports. Each endpoint of each has an EndpointSlice, since ports are a slice's and not an endpoint's.
///
/// # Panics
/// If the API server refuses.
pub async fn create_with(client: &Client, namespace: &str, name: &str, ports: &[Port<'_>]) {
    let params = PatchParams::apply("e2e").force();
    let listed = ports
        .iter()
        .map(|Port { name, number, .. }| json!({ "name": name, "port": number, "protocol": "TCP" }));
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "ports": listed.collect::<Vec<_>>() },
    });
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let applied = services.patch(name, &params, &Patch::Apply(&service)).await;
    applied.unwrap_or_else(|error| panic!("Service {namespace}/{name} was refused: {error}"));
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let all = ports.iter().flat_map(|port| {
        let numbered = port.endpoints.iter().enumerate();
        numbered.map(|(number, endpoint)| (port.name, number, endpoint))
    });
    for (port, number, endpoint) in all {
        let slice_name = format!("{name}-{port}-{number}");
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": slice_name, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [endpoint.ip()], "conditions": { "ready": true } }],
            "ports": [{ "name": port, "port": endpoint.port(), "protocol": "TCP" }],
        });
        let applied = slices.patch(&slice_name, &params, &Patch::Apply(&slice)).await;
        applied.unwrap_or_else(|error| panic!("EndpointSlice {namespace}/{slice_name} was refused: {error}"));
    }
}
