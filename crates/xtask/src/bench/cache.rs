//! The cache's HTTP server against nginx serving files of the same bytes, one core each in turn, and the cache's memory.
//!
//! Rates are requests by second of the server's own CPU time: what a core to itself would serve, also on a machine that others use meanwhile.
//!
//! The cache is the real one, fed over mTLS by the controller's own publisher with the whole Core Rule Set. Only the cluster is missing: token reviews are
//! answered by a stand-in (`crates/controller/examples/publish_files.rs`), which the memo asks once a minute.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::figure::{Figure, Target};
use super::http::{ask, get, until};
use super::usage::{ALLOWANCE_MIB, cpu_seconds, mebibytes, resident_mebibytes};
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
const ACCEPT_GZIP: &str = "Accept-Encoding: gzip\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// The processes and what they serve.
struct Stand {
    cache: Running,
    _publisher: Running,
    nginx: Running,
    /// Of the cache and of nginx.
    ports: [u16; 2],
    authorization: String,
    /// Lengths of the full body, plain and compressed.
    bodies: [usize; 2],
}

/// The same question to both.
struct Case {
    name: &'static str,
    paths: [String; 2],
    /// What is asked besides the token, in the cache's terms and in nginx's.
    headers: [String; 2],
    status: u16,
    least_ratio: f64,
}

/// Runs everything and prints each figure as it is found.
pub(super) async fn measure() -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > CLIENT_CORE,
        "the bench needs two cores, one for the server and one for the load"
    );
    let peers = debian::peers().await?;
    let folder = tempfile::Builder::new().prefix("coraza-bench-").tempdir()?;
    let stand = set_up(folder.path(), &peers.nginx).await?;
    let wrk = Wrk {
        program: peers.wrk,
        libraries: peers.libraries,
        core: CLIENT_CORE,
    };
    let mut figures = Vec::new();
    for case in cases(&stand).await? {
        figures.push(compare(&stand, &wrk, &case).await?);
    }
    let bodies: usize = stand.bodies.iter().sum();
    let most = 2.0 * mebibytes(bodies) + ALLOWANCE_MIB;
    let resident = resident_mebibytes(&stand.cache)?;
    figures.push(Figure::alone("cache/memory-crs", resident, "MiB", Target::AtMost(most)));
    figures.iter().for_each(|figure| println!("{figure}"));
    Ok(())
}

async fn set_up(dir: &Path, nginx: &Path) -> Result<Stand> {
    let crs = tools::core_rule_set().await?.join("rules/@owasp_crs");
    let build = ["build", "--release", "--package", "coraza-cache"];
    workspace::cargo().args(build).run().await?;
    let build = ["build", "--package", "coraza-controller", "--example", "publish_files"];
    workspace::cargo().args(build).run().await?;
    certificates::create(dir)?;
    let [grpc, reviews, http, health, metrics, nginx_port] = port::free()?;
    let publisher = start_publisher(dir, &crs, grpc, reviews)?;
    let cache = start_cache(dir, reviews, grpc, [http, health, metrics])?;

    let authorization = format!("Authorization: Bearer {}\r\n", token());
    let rules = format!("/rules/{KEY}");
    let gzip = until(PATIENCE, || async {
        let answer = get(http, &rules, &format!("{authorization}{ACCEPT_GZIP}")).await?;
        ensure!(
            answer.head.contains("content-encoding: gzip"),
            "the body isn't compressed yet"
        );
        Ok(answer)
    });
    let gzip = gzip.await?;
    let identity = get(http, &rules, &authorization).await?;
    let latest = get(http, &format!("{rules}/latest"), &authorization).await?;
    let www = dir.join("www/rules");
    fs::create_dir_all(&www)?;
    for (name, body) in [
        ("latest", &latest.body),
        ("crs", &identity.body),
        ("crs.gz", &gzip.body),
    ] {
        fs::write(www.join(name), body)?;
    }
    Ok(Stand {
        cache,
        _publisher: publisher,
        nginx: start_nginx(nginx, dir, nginx_port)?,
        ports: [http, nginx_port],
        authorization,
        bodies: [identity.body.len(), gzip.body.len()],
    })
}

async fn cases(stand: &Stand) -> Result<[Case; 3]> {
    let [http, nginx] = stand.ports;
    let latest = [format!("/rules/{KEY}/latest"), "/rules/latest".to_owned()];
    let rules = [format!("/rules/{KEY}"), "/rules/crs".to_owned()];
    let [ours, theirs] = &latest;
    let ours = get(http, ours, &stand.authorization).await?;
    let theirs = until(PATIENCE, || get(nginx, theirs, "")).await?;
    ensure!(ours.body == theirs.body, "nginx serves something else");
    let unchanged = [&ours, &theirs].map(|answer| Ok(format!("If-None-Match: {}\r\n", answer.etag()?)));
    let [ours, theirs]: [Result<String>; 2] = unchanged;
    let case = |name, paths: &[String; 2], headers, status, least_ratio| Case {
        name,
        paths: paths.clone(),
        headers,
        status,
        least_ratio,
    };
    Ok([
        case("cache/latest-200", &latest, Default::default(), 200, 1.5),
        case("cache/latest-304", &latest, [ours?, theirs?], 304, 1.5),
        case(
            "cache/crs-gzip-200",
            &rules,
            [ACCEPT_GZIP; 2].map(str::to_owned),
            200,
            1.0,
        ),
    ])
}

/// Both in turns. What is asked is asked once by itself before, since wrk doesn't tell one good status from another.
async fn compare(stand: &Stand, wrk: &Wrk, case: &Case) -> Result<Figure> {
    let [mut ours, mut theirs] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (rates, side) in [(&mut ours, 0), (&mut theirs, 1)] {
            let sides = case.paths.iter().zip(&case.headers).zip(stand.ports);
            let ((path, headers), port) = sides.into_iter().nth(side).context("two sides")?;
            let headers = format!("{}{headers}", stand.authorization);
            let answer = ask(port, path, &headers).await?;
            ensure!(answer.status()? == case.status, "{}: {}", case.name, answer.head);
            let server = [&stand.cache, &stand.nginx]
                .into_iter()
                .nth(side)
                .context("two sides")?;
            let before = cpu_seconds(server)?;
            let requests = wrk
                .requests(&format!("http://127.0.0.1:{port}{path}"), &headers)
                .await?;
            rates.push(requests / (cpu_seconds(server)? - before));
        }
    }
    let peer = ("nginx", median(theirs)?);
    Ok(Figure::beside(
        case.name,
        median(ours)?,
        "requests/cpu-s",
        peer,
        Target::Ratio(case.least_ratio),
    ))
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
        .arg("--metrics-secure=false")
        .start_logged(&dir.join("cache.log"))
}

/// nginx as one would set it up to be fast: files kept open, no access log, connections kept.
fn start_nginx(nginx: &Path, dir: &Path, port: u16) -> Result<Running> {
    let config = dir.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path tmp/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log nginx.log;\nuser root;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nsendfile on;\nkeepalive_requests 100000000;\nopen_file_cache max=16;\nopen_file_cache_valid 1h;\n\
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

/// A token that looks like a ServiceAccount's, also in length. Its claims are `{"aud":["coraza-cache:bench/crs"],"exp":9999999999}`; nobody here checks more.
fn token() -> String {
    format!(
        "e30.eyJhdWQiOlsiY29yYXphLWNhY2hlOmJlbmNoL2NycyJdLCJleHAiOjk5OTk5OTk5OTl9.{}",
        "s".repeat(1_000)
    )
}

fn median(mut rates: Vec<f64>) -> Result<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().context("no rates")
}
