//! A real Prometheus: what it scrapes, what it evaluates, and what it answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::{self, Process};
use crate::wait::until;
use crate::{environment, http, port};

/// One job: whom to scrape, by the Pod that each is, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// Where it is scraped.
    pub path: &'static str,
    /// Whom.
    pub targets: Vec<(String, SocketAddr)>,
    /// Of a monitor of the Prometheus operator.
    pub metric_relabelings: Value,
}

/// A running Prometheus. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
}

/// An instant's value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, name included.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

#[derive(Deserialize)]
struct Answered {
    data: Answer,
}

#[derive(Deserialize)]
struct Answer {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    /// Starts one that scrapes and evaluates every second.
    ///
    /// # Panics
    /// If it can't be started, or isn't ready in time.
    pub async fn start(jobs: &[Job], rules: &Path) -> Self {
        let (address, folder) = (port::free(), process::folder("prometheus"));
        let configuration = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": jobs.iter().map(scrape).collect::<Vec<_>>(),
        });
        // JSON is YAML.
        let file = folder.join("prometheus.yaml");
        std::fs::write(&file, configuration.to_string()).expect("written");
        let mut command = Process::command(&environment().prometheus);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::start("prometheus", command);
        until("Prometheus", async || {
            assert!(process.ended().is_none(), "Prometheus ended: {}", process.log());
            match http::get(address, "/-/ready", None).await {
                Ok(answer) if answer.status.is_success() => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        Self {
            address,
            _process: process,
        }
    }

    /// What an expression is now, or why it can't be had.
    ///
    /// # Errors
    /// What Prometheus answers instead.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let answer = self.ask(&format!("query?query={}", escaped(expression))).await?;
        let answered: Answered = serde_json::from_value(answer).map_err(|error| error.to_string())?;
        let samples = answered.data.result.into_iter().map(|series| {
            let value = series.value.1.parse().map_err(|error| format!("{error}"))?;
            Ok(Sample {
                labels: series.metric,
                value,
            })
        });
        samples.collect()
    }

    /// An answer of its API.
    ///
    /// # Errors
    /// What it answers instead.
    pub async fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, &format!("/api/v1/{path}"), None).await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        if !answer.status.is_success() {
            return Err(answer.text());
        }
        Ok(answer.json())
    }
}

fn scrape(job: &Job) -> Value {
    let targets = job.targets.iter().map(|(pod, address)| {
        let labels = json!({ "pod": pod });
        json!({ "targets": [address.to_string()], "labels": labels })
    });
    json!({
        "job_name": job.name,
        "metrics_path": job.path,
        "honor_labels": true,
        "static_configs": targets.collect::<Vec<_>>(),
        "metric_relabel_configs": relabel_configs(&job.metric_relabelings),
    })
}

/// The Prometheus operator's keys are Prometheus' own, in camel case.
fn relabel_configs(relabelings: &Value) -> Value {
    let snake = |key: &str| {
        let parts = key.chars().map(|char| match char {
            'A'..='Z' => format!("_{}", char.to_ascii_lowercase()),
            _ => char.to_string(),
        });
        parts.collect::<String>()
    };
    let configs = relabelings
        .as_array()
        .expect("a list of relabelings")
        .iter()
        .map(|one| {
            let keys = one.as_object().expect("an object").iter();
            Value::Object(keys.map(|(key, value)| (snake(key), value.clone())).collect())
        });
    configs.collect()
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Runs promtool, and gives whether it was content and all that it said.
///
/// # Panics
/// If it can't be run.
#[must_use]
pub fn promtool(args: &[&str]) -> (bool, String) {
    let promtool: PathBuf = environment().prometheus.with_file_name("promtool");
    let output = Command::new(&promtool).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("failed to run {}: {error}", promtool.display()));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
