//! Measures the engine beside libmodsecurity with the same rules and requests, in one process: for `cargo xtask bench engine`.
//!
//! `bench --crs DIR [--libmodsecurity FILE] [--level N] [--only TEXT] [--rounds N] [--own] [--export]`, with the folder of the Core Rule Set's Go
//! module; `--own` measures what has no peer instead. One JSON object a line. `--export` measures nothing and writes the rules and the requests
//! in one object, for who measures with them what is around the engine.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a program for a terminal"
)]

mod hostile;
#[allow(dead_code, reason = "programs that compare verdicts need more of it")]
#[path = "../oracle/libmodsecurity.rs"]
mod libmodsecurity;
mod own;
#[allow(dead_code, reason = "the conformance suites need more of it")]
#[path = "../conformance/ftw/rules.rs"]
mod rules;
mod scenario;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::prelude::Engine as _;
use coraza_engine::Program;
use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use libmodsecurity::{Exchange, LibModSecurity};
use rules::{Setup, Sources};
use scenario::Scenario;

/// What is asked for.
struct Wanted {
    crs: PathBuf,
    level: u8,
    libmodsecurity: Option<String>,
    only: String,
    rounds: usize,
    /// Not scenarios, but what has no peer.
    own: bool,
    /// Only what would be measured.
    export: bool,
}

fn main() -> ExitCode {
    match wanted().and_then(|wanted| run(&wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Result<Wanted, String> {
    let mut wanted = Wanted {
        crs: PathBuf::new(),
        level: 1,
        libmodsecurity: None,
        only: String::new(),
        rounds: 7,
        own: false,
        export: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--own" => wanted.own = true,
            "--export" => wanted.export = true,
            _ => {
                let value = arguments.next().ok_or_else(|| format!("{flag} takes a value"))?;
                wanted.take(&flag, value)?;
            }
        }
    }
    Ok(wanted)
}

impl Wanted {
    fn take(&mut self, flag: &str, value: String) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| format!("{flag} takes a number"));
        match flag {
            "--crs" => self.crs = value.into(),
            "--libmodsecurity" => self.libmodsecurity = Some(value),
            "--level" => self.level = u8::try_from(number()?).unwrap_or(u8::MAX),
            "--only" => self.only = value,
            "--rounds" => self.rounds = number()?,
            _ => return Err(format!("unknown argument {flag}")),
        }
        Ok(())
    }
}

fn run(wanted: &Wanted) -> Result<(), String> {
    let folder = wanted.crs.join("rules");
    if wanted.own {
        return own::measure(&folder);
    }
    let setup = Setup::blocking(wanted.level);
    let Sources { texts, files } = rules::sources(&folder, &setup)?;
    if wanted.export {
        export(&texts, &files);
        return Ok(());
    }
    let program = rules::load(&folder, &setup)?;
    let peer = match &wanted.libmodsecurity {
        Some(path) => Some(LibModSecurity::load(path.as_ref(), &texts, &files)?),
        None => None,
    };
    let scenarios = scenario::all();
    for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(&wanted.only)) {
        check(&program, peer.as_ref(), wanted.level, scenario)?;
        let ours = fastest(wanted.rounds, || {
            ours(&program, scenario);
        });
        let theirs = peer.as_ref().map(|peer| {
            fastest(wanted.rounds, || {
                peer.run(&exchange(scenario, &response_headers()), true);
            })
        });
        let line = json!({
            "scenario": scenario.name,
            "level": wanted.level,
            "body": scenario.body.len(),
            "ours_us": micros(ours),
            "libmodsecurity_us": theirs.map(micros),
            "ratio": theirs.map(|theirs| ours.as_secs_f64() / theirs.as_secs_f64()),
        });
        println!("{line}");
    }
    Ok(())
}

/// Rules as a cache serves them, and requests; bytes in base64.
fn export(texts: &[String], files: &BTreeMap<String, Vec<u8>>) {
    let files: BTreeMap<_, _> = files
        .iter()
        .map(|(name, bytes)| (name, STANDARD.encode(bytes)))
        .collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = |scenario: &Scenario| {
        let headers = scenario.headers.iter();
        json!({
            "scenario": scenario.name,
            "method": scenario.method,
            "uri": scenario.uri,
            "headers": headers.map(|(name, value)| (text(name), text(value))).collect::<BTreeMap<_, _>>(),
            "body": STANDARD.encode(&scenario.body),
            "attack": scenario.attack,
        })
    };
    let requests: Vec<_> = scenario::all().iter().map(request).collect();
    println!(
        "{}",
        json!({ "rules": texts.join("\n"), "dataFiles": files, "requests": requests })
    );
}

/// Both engines must say of a request the same, and at paranoia level 1 what it is (higher ones take some that are harmless for attacks):
/// one that doesn't see an attack would be fast for no good reason.
fn check(program: &Arc<Program>, peer: Option<&LibModSecurity>, level: u8, scenario: &Scenario) -> Result<(), String> {
    let report = ours(program, scenario);
    let status = report.interruption.map(|interruption| interruption.status);
    let expected = if level == 1 || scenario.attack {
        scenario.attack.then_some(403)
    } else {
        status
    };
    if status != expected {
        return Err(format!("{}: {status:?}, expected {expected:?}", scenario.name));
    }
    let Some(peer) = peer else { return Ok(()) };
    let outcome = peer.run(&exchange(scenario, &response_headers()), true);
    if outcome.status != expected {
        let log = outcome.log.join("\n");
        return Err(format!(
            "{}: libmodsecurity {:?}, expected {expected:?}\n{log}",
            scenario.name, outcome.status
        ));
    }
    Ok(())
}

/// What takes longer isn't run a second time: it is far from whatever it is compared with.
const SLOW: Duration = Duration::from_secs(1);

/// The CPU time of one run, at best: what others do on the machine can only add to it.
fn fastest(rounds: usize, mut run: impl FnMut()) -> Duration {
    // The first runs fill caches, and say how many make a round of a tenth of a second.
    let warm = cpu_time(&mut run, 1);
    if warm > SLOW {
        return warm;
    }
    let warm = cpu_time(&mut run, 2) / 2;
    let repeats = (Duration::from_millis(100).as_nanos() / warm.as_nanos().max(1)).clamp(1, 100_000);
    let repeats = u32::try_from(repeats).unwrap_or(1);
    let times = (0..rounds).map(|_| cpu_time(&mut run, repeats) / repeats);
    times.min().unwrap_or(warm)
}

fn cpu_time(run: &mut impl FnMut(), repeats: u32) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            time.tv_sec.unsigned_abs(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    };
    let started = now();
    for _ in 0..repeats {
        run();
    }
    now().saturating_sub(started)
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

const RESPONSE_BODY: &[u8] = b"<p>Thank you</p>";

fn ours(program: &Arc<Program>, scenario: &Scenario) -> Report {
    let connection = Connection {
        client_address: b"192.0.2.7",
        client_port: 40_000,
        server_address: b"192.0.2.1",
        server_port: 80,
    };
    let transaction = Transaction::new(program, &connection, &Identity::default());
    let ended = phases(transaction, scenario).unwrap_or_else(|interrupted| interrupted.transaction);
    ended.log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    scenario: &Scenario,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let line = RequestLine {
        method: scenario.method.as_bytes(),
        uri: scenario.uri.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = scenario
        .headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()));
    let response = response_headers();
    let response = response.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    transaction
        .request_headers(&line, headers)?
        .append(&scenario.body)?
        .request_body()?
        .response_headers(200, b"HTTP/1.1", response)?
        .append(RESPONSE_BODY)?
        .response_body()
}

fn response_headers() -> [(Vec<u8>, Vec<u8>); 2] {
    let length = RESPONSE_BODY.len().to_string().into_bytes();
    [
        ("Content-Type".into(), "text/html".into()),
        ("Content-Length".into(), length),
    ]
}

fn exchange<'a>(scenario: &'a Scenario, response_headers: &'a [(Vec<u8>, Vec<u8>)]) -> Exchange<'a> {
    Exchange {
        client: ("192.0.2.7", 40_000),
        server: ("192.0.2.1", 80),
        method: scenario.method.as_bytes(),
        uri: scenario.uri.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &scenario.headers,
        body: &scenario.body,
        response_status: 200,
        response_headers,
        response_body: RESPONSE_BODY,
    }
}
