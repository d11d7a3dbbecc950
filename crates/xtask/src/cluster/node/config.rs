//! The configuration files of a node's programs. No IO: paths in, text out.

use std::path::Path;

use serde_json::{Value, json};

use super::POD;
use crate::cluster::network::NODE;
use crate::tools::debian::NodeTools;

/// Where containerd listens, which is where kubelets look.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Of containerd 1.6. Cgroups are of version 1 and by cgroupfs, since there is no systemd, and nobody here may lower a process' badness.
pub(super) fn containerd(tools: &NodeTools) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.tracing"]
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{POD}"
restrict_oom_score_adj = true
disable_apparmor = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "/run/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"#,
        cni = tools.cni().display(),
        runc = tools.runc().display(),
    )
}

/// A cable per Pod to the node, which routes: so that also what goes between two Pods of one node passes the node's filters.
pub(super) fn cni(pods: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-addresses",
                "ranges": [[{ "subnet": pods }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// What differs between kubelets.
pub(super) struct Kubelet<'a> {
    pub(super) authority: &'a Path,
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
    pub(super) cgroup: &'a str,
    pub(super) resolver: &'a Path,
}

pub(super) fn kubelet(kubelet: &Kubelet<'_>) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": kubelet.authority },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": kubelet.certificate,
        "tlsPrivateKeyFile": kubelet.key,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": kubelet.cgroup,
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "clusterDNS": [NODE],
        "clusterDomain": "cluster.local",
        "resolvConf": kubelet.resolver,
        // The machine's disk is everybody's: how full it is says nothing of this node.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        // What Secrets hold that are filled later is mounted within seconds, not within a minute and a half.
        "syncFrequency": "5s",
        // A node that is gone is noticed within seconds.
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
    })
}

pub(super) fn proxy(node: &str, kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": kubeconfig },
        "clusterCIDR": crate::cluster::nodes::PODS,
        "hostnameOverride": node,
        "nodePortAddresses": ["primary"],
        // These are settings of the kernel, for the whole machine.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "oomScoreAdj": 0,
    })
}
