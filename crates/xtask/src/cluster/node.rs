//! `cluster node`: what a machine has to run to be a node: containerd, kubelet and kube-proxy, in namespaces of their own that it finds itself in.
//!
//! It sees the machine's file system, with what a node keeps in `/var/lib`, `/var/log` and `/run` its own. Nothing of it outlives its process
//! namespace, whose first process waits for this one.

mod config;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::pki::Pki;
use crate::program::{Program, Running};
use crate::tools;
use crate::tools::debian::NodeTools;

/// How long containerd may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const POLL: Duration = Duration::from_millis(50);

/// The image of a Pod's sandbox, and of Pods that tests look around from (`tools/pod`).
pub(crate) const POD: &str = "localhost/pod:1";

/// The tag that each image has besides its own, so that tests have something to upgrade to.
const NEXT: &str = "next";

/// What a kubelet would set in the kernel for the whole machine. It is shown that they are set.
const KERNEL: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// What a node keeps on disk: container images don't belong into memory.
const ON_DISK: [&str; 2] = ["containerd", "kubelet"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The node's name
    #[arg(long)]
    name: String,
    /// Its address
    #[arg(long)]
    address: Ipv4Addr,
    /// The addresses of its Pods
    #[arg(long)]
    pods: String,
    /// The cgroup below which its Pods are
    #[arg(long)]
    cgroup: String,
    /// Archives of images to import
    #[arg(long)]
    image: Vec<PathBuf>,
}

/// A node in a cluster's folder.
struct Node<'a> {
    dir: &'a Path,
    args: &'a Args,
    tools: NodeTools,
}

pub(crate) async fn run(dir: &Path, args: &Args) -> Result<()> {
    let node = Node {
        dir,
        args,
        tools: tools::debian::node().await?,
    };
    node.settle().await?;
    let mut containerd = node.start_containerd().await?;
    node.import().await?;
    let mut kubelet = node.start_kubelet().await?;
    let mut proxy = node.start_proxy().await?;
    let (name, status) = tokio::select! {
        status = containerd.wait() => ("containerd", status?),
        status = kubelet.wait() => ("kubelet", status?),
        status = proxy.wait() => ("kube-proxy", status?),
    };
    bail!("{name} ended: {status}; see {}", node.log(name).display());
}

impl Node<'_> {
    /// Makes the file system, the name and the network a node's. What is mounted here nobody else sees.
    async fn settle(&self) -> Result<()> {
        let own = self.dir.join(&self.args.name);
        for (path, value) in KERNEL {
            let shown = own.join("kernel").join(path.replace('/', "_"));
            fs::create_dir_all(own.join("kernel"))?;
            fs::write(&shown, value)?;
            mount(&["--bind", &shown.display().to_string(), &format!("/proc/sys/{path}")]).await?;
        }
        for place in ["/run", "/var/lib", "/var/log"] {
            mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", place]).await?;
        }
        for name in ON_DISK {
            let (from, to) = (own.join(name), format!("/var/lib/{name}"));
            fs::create_dir_all(&from)?;
            fs::create_dir_all(&to)?;
            mount(&["--bind", &from.display().to_string(), &to]).await?;
        }
        // Volumes that a kubelet mounts have to be seen by containers that start later.
        mount(&["--make-rshared", "/"]).await?;
        Program::new("hostname").arg(&self.args.name).stdout().await?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("failed to have the node forward")?;
        fs::create_dir_all("/run/cni")?;
        fs::write("/run/cni/10-pods.conflist", config::cni(&self.args.pods).to_string())?;
        Ok(())
    }

    async fn start_containerd(&self) -> Result<Running> {
        let file = self.file("containerd.toml");
        fs::write(&file, config::containerd(&self.tools))?;
        let mut containerd = self
            .tools
            .program("containerd")
            .arg("--config")
            .arg(file)
            .start_logged(&self.log("containerd"))?;
        let answers = async {
            while self.tools.program("ctr").arg("version").stdout().await.is_err() {
                if let Some(status) = containerd.ended() {
                    bail!("containerd ended: {status}");
                }
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        let answer = tokio::time::timeout(PATIENCE, answers).await;
        answer
            .context("containerd doesn't answer")
            .flatten()
            .with_context(|| format!("see {}", self.log("containerd").display()))?;
        Ok(containerd)
    }

    /// Gives containerd the images, each under two tags.
    async fn import(&self) -> Result<()> {
        for archive in &self.args.image {
            let ctr = || self.tools.program("ctr").args(["--namespace=k8s.io", "images"]);
            ctr().arg("import").arg(archive).stdout().await?;
        }
        let listed = self
            .tools
            .program("ctr")
            .args(["--namespace=k8s.io", "images", "list", "--quiet"])
            .stdout()
            .await?;
        for name in listed.lines().filter(|name| !name.starts_with("sha256:")) {
            let Some((repository, _)) = name.rsplit_once(':') else {
                continue;
            };
            let tag = ["--namespace=k8s.io", "images", "tag", "--force", name];
            let next = format!("{repository}:{NEXT}");
            self.tools.program("ctr").args(tag).arg(next).stdout().await?;
        }
        Ok(())
    }

    async fn start_kubelet(&self) -> Result<Running> {
        let tools = tools::cluster().await?;
        let name = &self.args.name;
        let file = self.file("kubelet.json");
        let certificate = |suffix: &str| self.dir.join(format!("{name}-serving.{suffix}"));
        let config = config::kubelet(&config::Kubelet {
            authority: &self.dir.join("ca.crt"),
            certificate: &certificate("crt"),
            key: &certificate("key"),
            cgroup: &self.args.cgroup,
            resolver: &self.file("resolv.conf"),
        });
        fs::write(&file, config.to_string())?;
        fs::write(self.file("resolv.conf"), "")?;
        self.tools
            .with_path(Program::new(tools.beside("kubelet")?))
            .arg(format!("--config={}", file.display()))
            .arg(format!("--kubeconfig={}", Pki::kubeconfig_in(self.dir, name).display()))
            .arg(format!("--hostname-override={name}"))
            .arg(format!("--node-ip={}", self.args.address))
            .start_logged(&self.log("kubelet"))
    }

    async fn start_proxy(&self) -> Result<Running> {
        let tools = tools::cluster().await?;
        let file = self.file("kube-proxy.json");
        let kubeconfig = Pki::kubeconfig_in(self.dir, "kube-proxy");
        fs::write(&file, config::proxy(&self.args.name, &kubeconfig).to_string())?;
        self.tools
            .with_path(Program::new(tools.beside("kube-proxy")?))
            .arg(format!("--config={}", file.display()))
            .start_logged(&self.log("kube-proxy"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(&self.args.name).join(name)
    }

    fn log(&self, program: &str) -> PathBuf {
        self.dir.join(format!("{}-{program}.log", self.args.name))
    }
}

async fn mount(args: &[&str]) -> Result<()> {
    Program::new("mount").args(args).stdout().await.map(drop)
}
