//! The command lines of etcd, the API server and the controller manager. No IO: paths and ports in, arguments out.
//!
//! All of them listen on 127.0.0.1; on a node of its own the API server listens on its other addresses too.

use std::path::{Path, PathBuf};

use super::network;
use super::pki::Pki;

/// The issuer that a cluster's own tokens name.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// What agents prove to istiod who they are with.
const ISTIO_AUDIENCE: &str = "istio-ca";

/// What the API server writes down: one line per answered request of our two processes, for who counts what they ask of it.
pub(super) const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [
    {
      "level": "Metadata",
      "users": ["system:serviceaccount:coraza-system:coraza-controller", "system:serviceaccount:coraza-system:coraza-cache"]
    },
    { "level": "None" }
  ]
}
"#;

/// The ports of one cluster.
pub(crate) struct Ports {
    /// Whether it is on a node of its own, with a Pod network.
    pub(crate) node: bool,
    /// Whether it has real nodes, with kubelets.
    pub(crate) kubelets: bool,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
    pub(crate) controller_manager: u16,
}

impl Ports {
    pub(crate) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }

    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }
}

/// Where [`AUDIT_POLICY`] is.
pub(super) fn audit_policy(dir: &Path) -> PathBuf {
    dir.join("audit-policy.json")
}

/// Where the API server writes it down, a JSON object a line.
pub(super) fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

pub(crate) fn etcd(dir: &Path, ports: &Ports) -> Vec<String> {
    let client = ports.etcd_url();
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // The data is thrown away with the cluster; waiting for the disk would take most of the time.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub(crate) fn apiserver(dir: &Path, pki: &Pki, ports: &Ports) -> Vec<String> {
    let mut arguments = if ports.node {
        vec![
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", network::NODE),
            // There is no kube-proxy: webhooks are called at the endpoints of their Services.
            "--enable-aggregator-routing=true".to_owned(),
        ]
    } else {
        vec![
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            // A loopback address can't be an endpoint of Service `kubernetes`, and nothing here has a Pod network.
            "--endpoint-reconciler-type=none".to_owned(),
        ]
    };
    arguments.extend([
        format!("--etcd-servers={}", ports.etcd_url()),
        format!("--audit-policy-file={}", audit_policy(dir).display()),
        format!("--audit-log-path={}", audit_log(dir).display()),
        format!("--secure-port={}", ports.apiserver),
        format!("--tls-cert-file={}", pki.path("apiserver.crt").display()),
        format!("--tls-private-key-file={}", pki.path("apiserver.key").display()),
        format!("--client-ca-file={}", pki.path("ca.crt").display()),
        format!(
            "--service-account-key-file={}",
            pki.path("service-accounts.key").display()
        ),
        format!(
            "--service-account-signing-key-file={}",
            pki.path("service-accounts.key").display()
        ),
        format!("--service-account-issuer={ISSUER}"),
        format!("--api-audiences={ISSUER},{ISTIO_AUDIENCE}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        format!("--service-cluster-ip-range={}", network::SERVICES),
    ]);
    if ports.kubelets {
        arguments.extend([
            "--allow-privileged=true".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--kubelet-certificate-authority={}", pki.path("ca.crt").display()),
            format!(
                "--kubelet-client-certificate={}",
                pki.path("kubelet-client.crt").display()
            ),
            format!("--kubelet-client-key={}", pki.path("kubelet-client.key").display()),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            // Pods of a node that is gone are made elsewhere within seconds.
            "--default-not-ready-toleration-seconds=5".to_owned(),
            "--default-unreachable-toleration-seconds=5".to_owned(),
        ]);
    }
    arguments
}

pub(crate) fn controller_manager(pki: &Pki, ports: &Ports) -> Vec<String> {
    let nodes = if ports.kubelets {
        ["--node-monitor-period=1s", "--node-monitor-grace-period=10s"].as_slice()
    } else {
        // There is no kubelet: these would evict and delete what a test makes look like Pods and Nodes.
        &["--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller"]
    };
    let mut arguments = vec![
        format!("--kubeconfig={}", pki.kubeconfig("controller-manager").display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.controller_manager),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        format!(
            "--service-account-private-key-file={}",
            pki.path("service-accounts.key").display()
        ),
        format!("--root-ca-file={}", pki.path("ca.crt").display()),
        // At the default rate it needs 6 s more to start.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ];
    arguments.extend(nodes.iter().map(|&argument| argument.to_owned()));
    arguments
}
