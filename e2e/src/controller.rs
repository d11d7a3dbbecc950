//! `coraza-controller` as a process, on addresses that it keeps over restarts.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::certificates::Identity;
use crate::environment;
use crate::http::{self, Answer};
use crate::port;
use crate::process::{self, Process};
use crate::wait::until;

/// How to start one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in the Lease and in logs.
    pub name: String,
    /// The namespace of its Lease: controllers of one fleet share it.
    pub namespace: String,
    /// Its certificate; without one its folder is empty until somebody fills it.
    pub identity: Option<Identity>,
    /// The kubeconfig of what it may do.
    pub kubeconfig: PathBuf,
    /// Flags beyond those that the harness needs.
    pub flags: Vec<String>,
}

/// A running controller.
#[derive(Debug)]
pub struct Controller {
    /// Where caches subscribe.
    pub grpc: SocketAddr,
    /// Where `/healthz` and `/readyz` are.
    pub health: SocketAddr,
    /// Where `/metrics` and `/debug/caches` are.
    pub metrics: SocketAddr,
    /// The folder with its certificate.
    pub tls_dir: PathBuf,
    /// The process, to be killed, frozen and terminated.
    pub process: Process,
    settings: Settings,
}

impl Controller {
    /// Starts one; it isn't ready yet.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let tls_dir = process::folder(&settings.name);
        if let Some(identity) = &settings.identity {
            identity.write(&tls_dir);
        }
        let [grpc, health, metrics] = std::array::from_fn(|_| port::free());
        let process = Process::start(&settings.name, command(&settings, &tls_dir, [grpc, health, metrics]));
        Self {
            grpc,
            health,
            metrics,
            tls_dir,
            process,
            settings,
        }
    }

    /// Starts it again, after its end, with the same certificate on the same addresses.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn restart(&mut self) {
        self.process.kill();
        let addresses = [self.grpc, self.health, self.metrics];
        self.process = Process::start(&self.settings.name, command(&self.settings, &self.tls_dir, addresses));
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        let what = format!("{} to be ready", self.settings.name);
        until(&what, async || ready(&self.process, self.health).await).await;
    }

    /// A page of its metrics port.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn page(&self, path: &str) -> anyhow::Result<Answer> {
        http::get(self.metrics, path, None).await
    }
}

/// Whether a process says that it is ready, and if not, what it says.
pub(crate) async fn ready(process: &Process, health: SocketAddr) -> Result<(), String> {
    if let Some(status) = process.ended() {
        process.show_log();
        panic!("{} ended: {status}", process.name());
    }
    match http::get(health, "/readyz", None).await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn command(settings: &Settings, tls_dir: &std::path::Path, addresses: [SocketAddr; 3]) -> std::process::Command {
    let [grpc, health, metrics] = addresses;
    let mut command = Process::command(&environment().controller);
    command
        .env("KUBECONFIG", &settings.kubeconfig)
        .env("POD_NAMESPACE", &settings.namespace)
        .env("POD_NAME", &settings.name);
    command
        .arg(format!("--grpc-bind-address={grpc}"))
        .arg(format!("--health-probe-bind-address={health}"));
    command
        .arg(format!("--metrics-bind-address={metrics}"))
        .arg(format!("--tls-dir={}", tls_dir.display()));
    if !settings.flags.iter().any(|flag| flag.starts_with("--metrics-secure")) {
        command.arg("--metrics-secure=false");
    }
    command.args(&settings.flags);
    command
}
