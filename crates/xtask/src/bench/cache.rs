//! The cache's HTTP server against nginx serving files of the same bytes, one core each in turn, and the cache's memory.
//!
//! The cache is the real one, fed over mTLS by the controller's own publisher with the whole Core Rule Set. Only the cluster is missing: token reviews are
//! answered by a stand-in (`crates/controller/examples/publish_files.rs`), which the memo asks once a minute.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::figure::{Figure, Target};
use super::wrk::Wrk;
use crate::cluster::port;
use crate::demo::certificates;
use crate::program::{Program, Running};
use crate::tools::{self, debian};
use crate::workspace;

const KEY: &str = "bench/crs";
/// Rounds in which cache and peer take turns; the median counts, so that a neighbour's burst on the machine doesn't.
const ROUNDS: usize = 3;
/// What serves has one core, what asks another.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: usize = 1;
/// Memory beyond bodies that the design allows.
const ALLOWANCE_MIB: f64 = 20.0;
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs everything and prints each figure as it is found.
pub(super) async fn measure() -> Result<Vec<Figure>> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > CLIENT_CORE,
        "the bench needs two cores, one for the server and one for the load"
    );
    let peers = debian::peers().await?;
    let crs = tools::core_rule_set().await?.join("rules/@owasp_crs");
    workspace::cargo()
        .args(["build", "--release", "--package", "coraza-cache"])
        .run()
        .await?;
    workspace::cargo()
        .args(["build", "--package", "coraza-controller", "--example", "publish_files"])
        .run()
        .await?;

    let folder = tempfile::Builder::new().prefix("coraza-bench-").tempdir()?;
    let dir = folder.path();
    certificates::create(dir)?;
    let [grpc, reviews, http, health, metrics, nginx] = port::free()?;
    let _publisher = start_publisher(dir, &crs, grpc, reviews)?;
    let cache = start_cache(dir, reviews, grpc, [http, health, metrics])?;
    let token = token();
    let authorization = format!("Authorization: Bearer {token}");
    let rules = format!("/rules/{KEY}");
    let gzip = until(|| async {
        let answer = get(http, &rules, &format!("{authorization}\r\nAccept-Encoding: gzip\r\n")).await?;
        ensure!(
            answer.head.contains("content-encoding: gzip"),
            "the body isn't compressed yet"
        );
        Ok(answer)
    });
    let gzip = gzip.await?;
    let latest = get(http, &format!("{rules}/latest"), &format!("{authorization}\r\n")).await?;
    let identity = get(http, &rules, &format!("{authorization}\r\n")).await?;
    let www = dir.join("www/rules");
    fs::create_dir_all(&www)?;
    fs::write(www.join("latest"), &latest.body)?;
    fs::write(www.join("crs"), &identity.body)?;
    fs::write(www.join("crs.gz"), &gzip.body)?;
    let _nginx = start_nginx(&peers.nginx, dir, nginx).await?;
    let their_latest = until(|| get(nginx, "/rules/latest", "")).await?;
    ensure!(their_latest.body == latest.body, "nginx serves something else");

    let wrk = Wrk {
        program: peers.wrk,
        libraries: peers.libraries,
        core: CLIENT_CORE,
    };
    let ours = format!("http://127.0.0.1:{http}/rules/{KEY}");
    let theirs = format!("http://127.0.0.1:{nginx}/rules");
    let conditional = |etag: &str| vec![authorization.clone(), format!("If-None-Match: {etag}")];
    let compressed = vec![authorization.clone(), "Accept-Encoding: gzip".to_owned()];
    let mut figures = Vec::new();
    for (name, path, status, our_headers, their_headers, target) in [
        (
            "cache/latest-200",
            "/latest",
            200,
            vec![authorization.clone()],
            vec![authorization.clone()],
            1.5,
        ),
        (
            "cache/latest-304",
            "/latest",
            304,
            conditional(latest.etag()?),
            conditional(their_latest.etag()?),
            1.5,
        ),
        ("cache/crs-gzip-200", "", 200, compressed.clone(), compressed, 1.0),
    ] {
        let script = dir.join(format!("{status}.lua"));
        fs::write(&script, expect_status(status))?;
        let their_url = format!("{theirs}{}", if path.is_empty() { "/crs" } else { path });
        let (mut cache_rates, mut nginx_rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            cache_rates.push(
                wrk.requests_per_second(&format!("{ours}{path}"), &our_headers, &script)
                    .await?,
            );
            nginx_rates.push(wrk.requests_per_second(&their_url, &their_headers, &script).await?);
        }
        let figure = Figure::beside(
            name,
            median(cache_rates)?,
            "requests/s",
            ("nginx", median(nginx_rates)?),
            target,
        );
        println!("{figure}");
        figures.push(figure);
    }
    let bodies = mebibytes(identity.body.len() + gzip.body.len());
    let resident = resident_mebibytes(&cache)?;
    let memory = Figure::alone(
        "cache/memory-crs",
        resident,
        "MiB",
        Target::AtMost(2.0 * bodies + ALLOWANCE_MIB),
    );
    println!("{memory}");
    figures.push(memory);
    Ok(figures)
}

fn start_publisher(dir: &Path, crs: &Path, grpc: u16, reviews: u16) -> Result<Running> {
    let program = Program::new(workspace::target_dir().join("debug/examples/publish_files"));
    let program = program
        .arg(format!("127.0.0.1:{grpc}"))
        .arg(dir.join("coraza-controller"));
    program
        .arg(format!("127.0.0.1:{reviews}"))
        .arg(KEY)
        .arg(crs)
        .start_logged(&dir.join("publisher.log"))
}

fn start_cache(dir: &Path, reviews: u16, grpc: u16, [http, health, metrics]: [u16; 3]) -> Result<Running> {
    let kubeconfig = dir.join("kubeconfig");
    let cluster = format!("{{name: c, cluster: {{server: 'http://127.0.0.1:{reviews}'}}}}");
    let context = "{name: c, context: {cluster: c, user: u}}";
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{cluster}]\ncontexts: [{context}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    );
    fs::write(&kubeconfig, text)?;
    // The process sees one core, and starts one serving thread.
    let program = Program::new("taskset")
        .args(["-c", SERVER_CORE])
        .arg(workspace::target_dir().join("release/coraza-cache"));
    let program = program
        .env("KUBECONFIG", &kubeconfig)
        .arg(format!("--controller-address=127.0.0.1:{grpc}"));
    let program = program
        .arg("--tls-dir")
        .arg(dir.join("coraza-cache"))
        .arg("--cache-server-bind-address=127.0.0.1");
    let program = program
        .arg(format!("--cache-server-port={http}"))
        .arg(format!("--health-probe-bind-address=127.0.0.1:{health}"));
    program
        .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
        .start_logged(&dir.join("cache.log"))
}

/// nginx as one would set it up to be fast: files kept open, no access log, connections kept.
async fn start_nginx(nginx: &Path, dir: &Path, port: u16) -> Result<Running> {
    let config = dir.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path tmp/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log nginx.log;\nuser root;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 100000000;\nopen_file_cache max=16;\nopen_file_cache_valid 1h;\n\
         default_type application/json;\ngzip_static on;\n{temporary}\
         server {{ listen 127.0.0.1:{port} backlog=4096; root www; }}\n}}\n"
    );
    fs::create_dir_all(dir.join("tmp"))?;
    fs::write(&config, text)?;
    let program = Program::new("taskset").args(["-c", SERVER_CORE]).arg(nginx);
    program
        .arg("-p")
        .arg(dir)
        .arg("-e")
        .arg(dir.join("nginx.log"))
        .arg("-c")
        .arg(&config)
        .start_logged(&dir.join("nginx.out"))
}

/// Makes wrk count answers of another status, which a run must not have.
fn expect_status(status: u16) -> String {
    format!(
        "threads = {{}}\nfunction setup(thread) table.insert(threads, thread) end\nfunction init() wrong = 0 end\n\
         function response(status) if status ~= {status} then wrong = wrong + 1 end end\n\
         function done() local sum = 0\nfor _, thread in ipairs(threads) do sum = sum + thread:get('wrong') end\n\
         if sum > 0 then print('unexpected answers: ' .. sum) end end\n"
    )
}

/// A token that looks like a ServiceAccount's, also in length. Its claims are `{"aud":["coraza-cache:bench/crs"],"exp":9999999999}`; nobody here checks more.
fn token() -> String {
    format!(
        "e30.eyJhdWQiOlsiY29yYXphLWNhY2hlOmJlbmNoL2NycyJdLCJleHAiOjk5OTk5OTk5OTl9.{}",
        "s".repeat(1_000)
    )
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn etag(&self) -> Result<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let etag = lines.find_map(|(name, value)| name.eq_ignore_ascii_case("etag").then_some(value));
        etag.context("an answer without an ETag")
    }
}

async fn get(port: u16, path: &str, headers: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("an answer without an end of its head")?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes)?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "{path}: {}",
        head.lines().next().unwrap_or_default()
    );
    Ok(Answer { head, body })
}

/// Tries until it works; the last error when it doesn't.
async fn until<F: Future<Output = Result<T>>, T>(mut attempt: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn median(mut rates: Vec<f64>) -> Result<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().context("no rates")
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn resident_mebibytes(process: &Running) -> Result<f64> {
    let pid = process.pid().context("the cache has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: f64 = resident.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}
