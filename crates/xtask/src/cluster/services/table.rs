//! What is known of Services: their addresses, and the endpoints behind them. No IO: a watch's events in, addresses out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::Value;

use crate::cluster::network::NODE;

/// What the names of Services end with.
pub(super) const DOMAIN: &str = "svc.cluster.local";

/// The kinds that are watched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Service,
    EndpointSlice,
}

impl Kind {
    /// Of all objects of the kind.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Service => "/api/v1/services",
            Self::EndpointSlice => "/apis/discovery.k8s.io/v1/endpointslices",
        }
    }
}

/// Namespace and name.
type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct Table {
    services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, Slice>,
}

#[derive(Debug)]
struct Service {
    address: Ipv4Addr,
    /// By number, their names.
    ports: BTreeMap<u16, String>,
}

/// A part of a Service's endpoints, which have the same ports.
#[derive(Debug)]
struct Slice {
    service: Key,
    addresses: Vec<Ipv4Addr>,
    /// By name, their numbers.
    ports: BTreeMap<String, u16>,
}

impl Table {
    /// Takes an event of a watch: `ADDED`, `MODIFIED` or `DELETED`, and the object.
    pub(super) fn apply(&mut self, kind: Kind, event: &Value) {
        let object = event.get("object").unwrap_or(&Value::Null);
        let key = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let gone = text(event, "/type") == "DELETED";
        match kind {
            Kind::Service => put(&mut self.services, key, Service::read(object).filter(|_| !gone)),
            Kind::EndpointSlice => put(&mut self.slices, key, Slice::read(object).filter(|_| !gone)),
        }
    }

    /// Where Services that have endpoints are to be reached. Not those of a server of the node's on the same port: it listens on all of the node's addresses, which
    /// a Service's is one of.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddrV4> {
        let all = self.services.values().flat_map(|service| {
            let ports = service.ports.keys();
            ports.map(|port| SocketAddrV4::new(service.address, *port))
        });
        let led = |address: &SocketAddrV4| {
            let endpoint = self.endpoint(*address, 0);
            endpoint.is_some_and(|endpoint| endpoint != SocketAddrV4::new(NODE, address.port()))
        };
        all.filter(led).collect()
    }

    /// The endpoint whose turn it is at a Service's address.
    pub(super) fn endpoint(&self, address: SocketAddrV4, turn: usize) -> Option<SocketAddrV4> {
        let mut services = self.services.iter();
        let (key, service) = services.find(|(_, service)| service.address == *address.ip())?;
        let port = service.ports.get(&address.port())?;
        let slices = self.slices.values().filter(|slice| slice.service == *key);
        let endpoints: Vec<_> = slices.flat_map(|slice| slice.endpoints(port)).collect();
        endpoints.get(turn.checked_rem(endpoints.len())?).copied()
    }

    /// The address of a Service, by its whole name.
    pub(super) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let name = name.strip_suffix(DOMAIN)?.strip_suffix('.')?;
        let (service, namespace) = name.split_once('.')?;
        let service = self.services.get(&(namespace.to_owned(), service.to_owned()))?;
        Some(service.address)
    }
}

impl Service {
    /// None if it has no address of its own.
    fn read(object: &Value) -> Option<Self> {
        let address = text(object, "/spec/clusterIP").parse().ok()?;
        let ports = list(object, "/spec/ports").filter_map(|port| Some((number(port, "/port")?, text(port, "/name"))));
        Some(Self {
            address,
            ports: ports.collect(),
        })
    }
}

impl Slice {
    fn read(object: &Value) -> Option<Self> {
        let service = object
            .pointer("/metadata/labels/kubernetes.io~1service-name")?
            .as_str()?;
        let ready = list(object, "/endpoints").filter(|endpoint| {
            let condition = endpoint.pointer("/conditions/ready").and_then(Value::as_bool);
            condition.unwrap_or(true)
        });
        let addresses = ready.flat_map(|endpoint| list(endpoint, "/addresses"));
        let ports = list(object, "/ports").filter_map(|port| Some((text(port, "/name"), number(port, "/port")?)));
        Some(Self {
            service: (text(object, "/metadata/namespace"), service.to_owned()),
            addresses: addresses.filter_map(|address| address.as_str()?.parse().ok()).collect(),
            ports: ports.collect(),
        })
    }

    fn endpoints(&self, port: &str) -> impl Iterator<Item = SocketAddrV4> {
        let port = self.ports.get(port).copied();
        let addresses = self.addresses.iter();
        addresses.filter_map(move |address| Some(SocketAddrV4::new(*address, port?)))
    }
}

/// Puts what there is, or takes away what isn't there any more.
fn put<T>(map: &mut BTreeMap<Key, T>, key: Key, value: Option<T>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn text(object: &Value, path: &str) -> String {
    let text = object.pointer(path).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn number(object: &Value, path: &str) -> Option<u16> {
    u16::try_from(object.pointer(path)?.as_u64()?).ok()
}

fn list<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, object: &Value) -> Value {
        json!({ "type": kind, "object": object })
    }

    fn service(address: &str) -> Value {
        json!({
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": { "clusterIP": address, "ports": [{ "name": "http", "port": 80 }, { "name": "admin", "port": 81 }] },
        })
    }

    fn slice(name: &str, ready: bool, port: u16) -> Value {
        json!({
            "metadata": { "namespace": "shop", "name": name, "labels": { "kubernetes.io/service-name": "web" } },
            "endpoints": [{ "addresses": [NODE], "conditions": { "ready": ready } }],
            "ports": [{ "name": "http", "port": port }],
        })
    }

    #[test]
    fn a_service_leads_to_its_ready_endpoints_in_turn() {
        let mut table = Table::default();
        let address = "10.96.0.7:80".parse().unwrap();
        let endpoint = |port| Some(SocketAddrV4::new(NODE, port));
        table.apply(Kind::Service, &event("ADDED", &service("10.96.0.7")));
        assert!(table.addresses().is_empty(), "it has no endpoints");
        table.apply(Kind::EndpointSlice, &event("ADDED", &slice("web-0", true, 8000)));
        table.apply(Kind::EndpointSlice, &event("ADDED", &slice("web-1", true, 8001)));
        assert_eq!(
            table.addresses(),
            BTreeSet::from([address]),
            "its other port has no endpoints"
        );
        assert_eq!(
            [0, 1, 2].map(|turn| table.endpoint(address, turn)),
            [8000, 8001, 8000].map(endpoint)
        );
        table.apply(Kind::EndpointSlice, &event("MODIFIED", &slice("web-0", true, 80)));
        assert!(table.addresses().is_empty(), "its endpoint answers there by itself");
        table.apply(Kind::EndpointSlice, &event("MODIFIED", &slice("web-0", false, 8000)));
        assert_eq!(table.endpoint(address, 0), endpoint(8001));
        table.apply(Kind::EndpointSlice, &event("DELETED", &slice("web-1", true, 8001)));
        assert!(table.addresses().is_empty());
        assert_eq!(
            table.address("web.shop.svc.cluster.local"),
            Some(Ipv4Addr::new(10, 96, 0, 7))
        );
        table.apply(Kind::Service, &event("DELETED", &service("10.96.0.7")));
        assert_eq!(table.address("web.shop.svc.cluster.local"), None);
    }

    #[test]
    fn only_whole_names_of_services_with_an_address_have_one() {
        let mut table = Table::default();
        table.apply(Kind::Service, &event("ADDED", &service("None")));
        assert_eq!(table.address("web.shop.svc.cluster.local"), None);
        table.apply(Kind::Service, &event("MODIFIED", &service("10.96.0.7")));
        for name in [
            "web.shop.svc",
            "web",
            "shop.web.svc.cluster.local",
            "web.shop.svc.cluster.local.shop.svc.cluster.local",
        ] {
            assert_eq!(table.address(name), None, "{name}");
        }
    }
}
