//! A test's own enforcer of NetworkPolicies: what the policies of one moment let through, as nftables rules in each node's network. A real cluster
//! leaves this to its network plugin; ours has one that enforces nothing. What it doesn't know (endPort, SCTP) is an error, never let through.
//!
//! As in most network plugins, whoever is on the node itself (the kubelet's probes) reaches the node's Pods.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::environment::environment;

type Labels = BTreeMap<String, String>;

/// Policies in force. Dropping it lets everything through again.
#[derive(Debug)]
#[must_use = "nothing is enforced when this is dropped"]
pub struct Enforcer(());

impl Enforcer {
    /// Puts the policies of this moment in force, for the Pods of this moment.
    ///
    /// # Panics
    /// If nftables refuses.
    pub async fn apply(client: &Client) -> Self {
        let rules = World::read(client).await.rules();
        nft(&format!("{RESET}table inet policies {{\n{rules}}}\n"));
        Self(())
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        nft(RESET);
    }
}

/// Leaves no table of ours, whether there was one or not.
const RESET: &str = "table inet policies {}\ndelete table inet policies\n";

/// Has every node read these commands.
fn nft(commands: &str) {
    let environment = environment();
    let nft = environment.nft.as_ref().expect("a suite named node_*");
    let libraries = nft
        .parent()
        .and_then(|folder| folder.parent())
        .expect("a folder")
        .join("lib/x86_64-linux-gnu");
    for node in &environment.cluster.nodes.as_ref().expect("nodes").nodes {
        let mut running = Command::new("nsenter")
            .arg(format!("--net={}", node.namespace.display()))
            .arg(nft)
            .args(["--file", "-"])
            .env("LD_LIBRARY_PATH", &libraries)
            .stdin(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        let written = running.stdin.take().expect("a pipe").write_all(commands.as_bytes());
        let status = running.wait().expect("nft ends");
        assert!(written.is_ok() && status.success(), "nft refused:\n{commands}");
    }
}

/// Which way a policy looks.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// What policies are about.
struct World {
    pods: Vec<Pod>,
    namespaces: BTreeMap<String, Labels>,
    policies: Vec<NetworkPolicy>,
}

impl World {
    async fn read(client: &Client) -> Self {
        let all = ListParams::default();
        let pods = Api::<Pod>::all(client.clone()).list(&all).await.expect("Pods").items;
        let namespaces = Api::<Namespace>::all(client.clone())
            .list(&all)
            .await
            .expect("Namespaces");
        let policies = Api::<NetworkPolicy>::all(client.clone())
            .list(&all)
            .await
            .expect("NetworkPolicies");
        Self {
            pods: pods.into_iter().filter(|pod| address(pod).is_some()).collect(),
            namespaces: namespaces
                .into_iter()
                .map(|namespace| (namespace.name_any(), namespace.labels().clone()))
                .collect(),
            policies: policies.items,
        }
    }

    /// A chain for each Pod and way that a policy closes, and who is sent through it.
    fn rules(&self) -> String {
        let mut chains: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        for policy in &self.policies {
            let spec = policy.spec.clone().unwrap_or_default();
            let types = spec.policy_types.clone().unwrap_or_else(|| vec!["Ingress".to_owned()]);
            let chosen = |pod: &&Pod| {
                pod.namespace() == policy.namespace()
                    && matches(&spec.pod_selector.clone().unwrap_or_default(), pod.labels())
            };
            for pod in self.pods.iter().filter(chosen) {
                let own = address(pod).unwrap_or_default();
                for (way, kind, field) in [(Way::In, "Ingress", "daddr"), (Way::Out, "Egress", "saddr")] {
                    if !types.iter().any(|wanted| wanted == kind) {
                        continue;
                    }
                    let name = format!("{kind}_{}", own.replace('.', "_")).to_lowercase();
                    let chain = chains
                        .entry(name)
                        .or_insert((format!("ip {field} {own}"), BTreeSet::new()));
                    chain.1.extend(self.allowed(pod, &spec, way));
                }
            }
        }
        let mut text = String::new();
        let mut dispatch = String::new();
        for (name, (whose, allowed)) in chains {
            let allowed: String = allowed.iter().map(|rule| format!("  {rule} return\n")).collect();
            let _ = write!(text, " chain {name} {{\n{allowed}  counter drop\n }}\n");
            let _ = writeln!(dispatch, "  {whose} jump {name}");
        }
        let hook = "type filter hook forward priority 5; policy accept; ct state established,related accept";
        format!("{text} chain forward {{\n  {hook}\n{dispatch} }}\n")
    }

    /// What a policy lets through to or from a Pod, as matches of nftables.
    fn allowed(
        &self,
        pod: &Pod,
        spec: &k8s_openapi::api::networking::v1::NetworkPolicySpec,
        way: Way,
    ) -> BTreeSet<String> {
        let none = Vec::new();
        let (ingress, egress) = (spec.ingress.iter().flatten(), spec.egress.iter().flatten());
        type Rule<'a> = (Option<&'a Vec<NetworkPolicyPeer>>, Option<&'a Vec<NetworkPolicyPort>>);
        let rules: Vec<Rule<'_>> = match way {
            Way::In => ingress.map(|rule| (rule.from.as_ref(), rule.ports.as_ref())).collect(),
            Way::Out => egress.map(|rule| (rule.to.as_ref(), rule.ports.as_ref())).collect(),
        };
        let mut allowed = BTreeSet::new();
        for (peers, ports) in rules {
            // None at all is anybody, and an empty list too.
            let peers: Vec<Option<(String, Vec<&Pod>)>> = match peers.filter(|peers| !peers.is_empty()) {
                None => vec![None],
                Some(peers) => peers.iter().map(|peer| Some(self.peer(pod, peer))).collect(),
            };
            for peer in peers {
                let (addresses, others) = peer.map_or((None, self.pods.iter().collect()), |(a, p)| (Some(a), p));
                let field = match way {
                    Way::In => "saddr",
                    Way::Out => "daddr",
                };
                let from = match addresses {
                    None => String::new(),
                    Some(addresses) if addresses.is_empty() => continue,
                    Some(addresses) => format!("ip {field} {{ {addresses} }} "),
                };
                let named = match way {
                    Way::In => vec![pod],
                    Way::Out => others,
                };
                for port in ports.unwrap_or(&none) {
                    allowed.extend(numbers(port, &named).iter().map(|port| format!("{from}{port}")));
                }
                if ports.is_none_or(Vec::is_empty) {
                    allowed.insert(from);
                }
            }
        }
        allowed
    }

    /// The addresses of a peer, and the Pods that it means.
    fn peer(&self, pod: &Pod, peer: &NetworkPolicyPeer) -> (String, Vec<&Pod>) {
        if let Some(block) = &peer.ip_block {
            assert!(block.except.is_none(), "exceptions aren't known here");
            return (block.cidr.clone(), Vec::new());
        }
        let chosen = |other: &&Pod| {
            let namespace = other.namespace().unwrap_or_default();
            let near = match &peer.namespace_selector {
                None => other.namespace() == pod.namespace(),
                Some(selector) => matches(selector, self.namespaces.get(&namespace).unwrap_or(&Labels::new())),
            };
            near && peer
                .pod_selector
                .as_ref()
                .is_none_or(|selector| matches(selector, other.labels()))
        };
        let pods: Vec<&Pod> = self.pods.iter().filter(chosen).collect();
        let addresses: Vec<&str> = pods.iter().filter_map(|pod| address(pod)).collect();
        (addresses.join(", "), pods)
    }
}

/// The address of a Pod that has one and runs.
fn address(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    status.pod_ip.as_deref().filter(|_| !over)
}

/// A port of a policy as matches: a named one stands for whatever each Pod calls so.
fn numbers(port: &NetworkPolicyPort, pods: &[&Pod]) -> BTreeSet<String> {
    assert!(port.end_port.is_none(), "ranges aren't known here");
    let protocol = port.protocol.as_deref().unwrap_or("TCP").to_lowercase();
    assert!(
        ["tcp", "udp"].contains(&protocol.as_str()),
        "{protocol} isn't known here"
    );
    match &port.port {
        None => BTreeSet::from([format!("meta l4proto {protocol}")]),
        Some(IntOrString::Int(number)) => BTreeSet::from([format!("{protocol} dport {number}")]),
        Some(IntOrString::String(name)) => {
            let containers = pods
                .iter()
                .filter_map(|pod| pod.spec.as_ref())
                .flat_map(|spec| &spec.containers);
            let ports = containers.flat_map(|container| container.ports.iter().flatten());
            let named = ports.filter(|port| port.name.as_ref() == Some(name));
            named
                .map(|port| format!("{protocol} dport {}", port.container_port))
                .collect()
        }
    }
}

/// Whether labels are what a selector wants.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let named = selector.match_labels.iter().flatten();
    let equal = named.into_iter().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten();
    equal
        && expressions.into_iter().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.iter().flatten().any(|wanted| wanted == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("operator {other} isn't known here"),
            }
        })
}
