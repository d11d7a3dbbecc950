//! Load, and how long answers took: by wrk as fast as a few connections go, and by our own client at a fixed rate, whatever becomes of the
//! requests before.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::program::Program;
use crate::tools::debian::Peers;

/// How many seconds a request may take on the busiest machine.
const PATIENCE: u64 = 60;

/// A request, as the engine's example `bench` writes it.
#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) scenario: String,
    method: String,
    pub(super) uri: String,
    headers: BTreeMap<String, String>,
    /// In base64.
    body: String,
    pub(super) attack: bool,
}

impl Request {
    /// What wrk runs to send it, and to say what we want to know.
    fn script(&self) -> Result<String> {
        let mut script = format!(
            "wrk.method = {}\nwrk.body = {}\n",
            lua(self.method.as_bytes()),
            lua(&STANDARD.decode(&self.body)?)
        );
        // wrk counts the body itself.
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "Content-Length") {
            writeln!(
                script,
                "wrk.headers[{}] = {}",
                lua(name.as_bytes()),
                lua(value.as_bytes())
            )?;
        }
        script.push_str(
            "done = function(summary, latency, requests)\n\
             local wrong = summary.errors\n\
             local broken = wrong.connect + wrong.read + wrong.write + wrong.timeout\n\
             print(string.format('figures %d %d %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50), \
             latency:percentile(95), latency:percentile(99), wrong.status, broken))\n\
             end\n",
        );
        Ok(script)
    }
}

/// A string as Lua has it, whatever its bytes.
fn lua(bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
    format!("\"{bytes}\"")
}

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// In microseconds: p50, p95, p99.
    pub(super) latency: [f64; 3],
}

/// wrk, on a core of its own.
pub(super) struct Wrk {
    program: PathBuf,
    libraries: PathBuf,
    core: usize,
    dir: PathBuf,
}

impl Wrk {
    pub(super) fn new(peers: &Peers, core: usize, dir: &Path) -> Self {
        Self {
            program: peers.wrk.clone(),
            libraries: peers.libraries.clone(),
            core,
            dir: dir.to_owned(),
        }
    }

    /// Sends a request again and again, on so many connections, for so long; longer where nothing is answered by then.
    pub(super) async fn run(
        &self,
        port: u16,
        request: &Request,
        connections: usize,
        seconds: u64,
        blocked: bool,
    ) -> Result<Run> {
        let script = self.dir.join("request.lua");
        std::fs::write(&script, request.script()?)?;
        let url = format!("http://127.0.0.1:{port}{}", request.uri);
        let mut seconds = seconds;
        loop {
            let program = Program::new("taskset")
                .args(["-c", &self.core.to_string()])
                .arg(&self.program)
                .env("LD_LIBRARY_PATH", &self.libraries)
                .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
                .args(["--timeout", &format!("{PATIENCE}s"), "-s"])
                .arg(&script)
                .arg(&url);
            let report = program.stdout().await?;
            let run = run(&report, blocked);
            let run = run.with_context(|| format!("wrk reported of {}:\n{report}", request.scenario))?;
            if run.requests > 0 {
                return Ok(run);
            }
            seconds *= 2;
            ensure!(
                seconds < PATIENCE,
                "no {} was answered in {seconds} seconds",
                request.scenario
            );
        }
    }
}

/// What a report says, if all was answered, and as it should be.
fn run(report: &str, blocked: bool) -> Result<Run> {
    let line = report.lines().find_map(|line| line.strip_prefix("figures "));
    let numbers: Result<Vec<u64>, _> = line.context("no figures")?.split(' ').map(str::parse).collect();
    let numbers = numbers?;
    let [requests, micros, p50, p95, p99, refused, broken] = numbers[..] else {
        bail!("{} figures", numbers.len());
    };
    ensure!(broken == 0, "{broken} requests had no answer");
    let expected = if blocked { requests } else { 0 };
    ensure!(
        refused == expected,
        "{refused} of {requests} were refused, and {expected} should have been"
    );
    Ok(Run {
        requests,
        per_second: requests as f64 * 1e6 / micros.max(1) as f64,
        latency: [p50, p95, p99].map(|micros| micros as f64),
    })
}

/// GETs at a fixed rate for a while, each at its time: one that is answered late delays no other. Times until the whole answer, in rising
/// order. On a thread of its own, which nothing else keeps waiting.
pub(super) async fn at_rate(port: u16, path: String, every: Duration, count: u32) -> Result<Vec<Duration>> {
    let client = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(send_at_rate(port, path, every, count))
    };
    tokio::task::spawn_blocking(client).await?
}

async fn send_at_rate(port: u16, path: String, every: Duration, count: u32) -> Result<Vec<Duration>> {
    let request: Arc<[u8]> = format!(
        "GET {path} HTTP/1.1\r\nhost: shop.example.com\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\naccept: text/html,*/*;q=0.8\r\n\r\n"
    )
    .into_bytes()
    .into();
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut times = JoinSet::new();
    let began = tokio::time::Instant::now();
    for number in 0..count {
        tokio::time::sleep_until(began + every * number).await;
        let (request, idle) = (Arc::clone(&request), Arc::clone(&idle));
        times.spawn(async move {
            let started = Instant::now();
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut stream = match kept {
                Some(stream) => stream,
                None => TcpStream::connect(("127.0.0.1", port)).await?,
            };
            stream.write_all(&request).await?;
            let status = answer(&mut stream).await?;
            ensure!(status == 200, "status {status}");
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            anyhow::Ok(started.elapsed())
        });
    }
    let mut sorted = Vec::new();
    while let Some(time) = times.join_next().await {
        sorted.push(time??);
    }
    sorted.sort_unstable();
    Ok(sorted)
}

/// The status of an answer, which is read to its end: its length is in its head.
pub(super) async fn answer(stream: &mut TcpStream) -> Result<u16> {
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "the connection was closed");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let length = fields.find_map(|(name, value)| name.eq_ignore_ascii_case("content-length").then_some(value));
        let length: usize = length.unwrap_or("0").parse()?;
        if bytes.len() >= end + 4 + length {
            let status = head.split(' ').nth(1).context("an answer without a status")?;
            return Ok(status.parse()?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_runs_count() {
        let report = "Running 1s test\nfigures 100 2000000 10 20 30 0 0\n";
        let expected = Run {
            requests: 100,
            per_second: 50.0,
            latency: [10.0, 20.0, 30.0],
        };
        assert_eq!(run(report, false).unwrap(), expected);
        assert!(run(report, true).is_err(), "an attack got through");
        assert!(run("figures 100 2000000 10 20 30 100 0", true).is_ok());
        for wrong in ["", "figures 1", "figures 100 1 1 1 1 1 0", "figures 100 1 1 1 1 0 1"] {
            assert!(run(wrong, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn any_bytes_are_a_string_of_lua() {
        assert_eq!(lua(b"a\"\r\n\0"), r#""\097\034\013\010\000""#);
    }
}
