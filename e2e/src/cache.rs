//! `coraza-cache` as a process, and what its callers read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use crate::certificates::Identity;
use crate::http::{self, Answer};
use crate::process::{self, Process};
use crate::wait::until;
use crate::{controller, environment, port};

/// How to start one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The replica's name.
    pub name: String,
    /// The operator's namespace: where the ServiceAccount of gateways' tokens is.
    pub namespace: String,
    /// Its certificate; without one its folder is empty until somebody fills it.
    pub identity: Option<Identity>,
    /// Where controllers publish.
    pub controllers: Vec<SocketAddr>,
    /// The kubeconfig of what it may do.
    pub kubeconfig: PathBuf,
    /// Whether it serves rules over TLS, with the same certificate.
    pub http_tls: bool,
    /// Flags beyond those that the harness needs.
    pub flags: Vec<String>,
}

/// A running cache.
#[derive(Debug)]
pub struct Cache {
    /// Where rules are read.
    pub http: SocketAddr,
    /// Where `/healthz` and `/readyz` are.
    pub health: SocketAddr,
    /// Where `/metrics` is.
    pub metrics: SocketAddr,
    /// Where the plugin is served, by one that was given `--plugin-file`.
    pub plugin: SocketAddr,
    /// The folder with its certificate.
    pub tls_dir: PathBuf,
    /// The process, to be killed, frozen and terminated.
    pub process: Process,
    settings: Settings,
}

/// The answer of `/rules/{namespace}/{name}/latest`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    /// The revision.
    pub uuid: String,
    /// RFC 3339, in nanoseconds.
    pub timestamp: String,
}

/// The answer of `/rules/{namespace}/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rules {
    /// The revision.
    pub uuid: String,
    /// RFC 3339, in nanoseconds.
    pub timestamp: String,
    /// Whose the lines of the text are.
    pub sources: Vec<SourceLines>,
    /// The text of all sources.
    pub rules: String,
    /// By name, in base64.
    #[serde(default)]
    pub data_files: BTreeMap<String, String>,
}

/// A source of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceLines {
    /// The RuleSource's name.
    pub name: String,
    /// How many of the lines are its.
    pub lines: usize,
}

impl Cache {
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
        let [http, health, metrics, plugin] = std::array::from_fn(|_| port::free());
        let addresses = [http, health, metrics, plugin];
        let process = Process::start(&settings.name, command(&settings, &tls_dir, addresses));
        Self {
            http,
            health,
            metrics,
            plugin,
            tls_dir,
            process,
            settings,
        }
    }

    /// Starts it again, after its end, with nothing in memory, on the same addresses.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn restart(&mut self) {
        self.process.kill();
        let addresses = [self.http, self.health, self.metrics, self.plugin];
        self.process = Process::start(&self.settings.name, command(&self.settings, &self.tls_dir, addresses));
    }

    /// Waits until `/readyz` says so: it has had a complete snapshot.
    pub async fn ready(&self) {
        let what = format!("{} to be ready", self.settings.name);
        until(&what, async || controller::ready(&self.process, self.health).await).await;
    }

    /// Any path, with a token.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str, token: &str) -> Result<Answer> {
        http::get(self.http, path, Some(token)).await
    }

    /// The revision that it serves, or what it answers instead.
    ///
    /// # Errors
    /// The status and body of any answer but 200.
    pub async fn latest(&self, namespace: &str, ruleset: &str, token: &str) -> Result<Latest, String> {
        ok(self.get(&format!("/rules/{namespace}/{ruleset}/latest"), token).await)
    }

    /// The rules that it serves, or what it answers instead.
    ///
    /// # Errors
    /// The status and body of any answer but 200.
    pub async fn rules(&self, namespace: &str, ruleset: &str, token: &str) -> Result<Rules, String> {
        ok(self.get(&format!("/rules/{namespace}/{ruleset}"), token).await)
    }
}

fn ok<T: for<'de> Deserialize<'de>>(answer: Result<Answer>) -> Result<T, String> {
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    if answer.status != ::http::StatusCode::OK {
        return Err(format!("{} {}", answer.status, answer.text()));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
}

fn command(settings: &Settings, tls_dir: &Path, addresses: [SocketAddr; 4]) -> std::process::Command {
    let [http, health, metrics, plugin] = addresses;
    let mut command = Process::command(&environment().cache);
    command
        .env("KUBECONFIG", &settings.kubeconfig)
        .env("POD_NAMESPACE", &settings.namespace)
        .env("POD_NAME", &settings.name);
    command
        .arg(format!("--cache-server-port={}", http.port()))
        .arg(format!("--plugin-port={}", plugin.port()))
        .arg(format!(
            "--cache-server-bind-address={}",
            environment().cluster.bind_address()
        ))
        .arg(format!("--health-probe-bind-address={health}"));
    command
        .arg(format!("--metrics-bind-address={metrics}"))
        .arg(format!("--tls-dir={}", tls_dir.display()));
    if settings.http_tls {
        command.arg(format!("--http-tls-dir={}", tls_dir.display()));
    }
    if !settings.flags.iter().any(|flag| flag.starts_with("--metrics-secure")) {
        command.arg("--metrics-secure=false");
    }
    command.args(
        settings
            .controllers
            .iter()
            .map(|address| format!("--controller-address={address}")),
    );
    command.args(&settings.flags);
    command
}
