//! The command lines of etcd, the API server and the controller manager. No IO: paths and ports in, arguments out.

use std::path::Path;

use super::pki::Pki;

/// The issuer that a cluster's own tokens name.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// The ports of one cluster, all on 127.0.0.1.
pub(crate) struct Ports {
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

pub(crate) fn apiserver(pki: &Pki, ports: &Ports) -> Vec<String> {
    vec![
        format!("--etcd-servers={}", ports.etcd_url()),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address can't be an endpoint of Service `kubernetes`, and nothing here has a Pod network.
        "--endpoint-reconciler-type=none".to_owned(),
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
        format!("--api-audiences={ISSUER}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
    ]
}

pub(crate) fn controller_manager(pki: &Pki, ports: &Ports) -> Vec<String> {
    vec![
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
        // There is no kubelet: these would evict and delete what a test makes look like Pods and Nodes.
        "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller"
            .to_owned(),
        // At the default rate it needs 6 s more to start.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]
}
