//! What there is no peer for: compiling, memory, how many tests are left out, and requests made to be expensive. Reads rules.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coraza_engine::seclang::rules::Rules;
use coraza_engine::seclang::{lower, parse};
use coraza_engine::{Options, Program, ProgramBuilder};
use serde_json::json;

use crate::hostile;
use crate::rules::{self, Setup, Sources};
use crate::scenario::{self, Scenario};

/// How often each is measured; the fastest counts.
const ROUNDS: usize = 5;

/// What a request has besides names and values of headers and arguments: its line, method, protocol, four forms of its address, its query.
const REQUEST_VARIABLES: usize = 8;

/// What a byte of a request made to be expensive may cost: all rules together no more than what random text cost in one regular expression
/// of the Core Rule Set, 932235, before there was a plan (0.24 s for 100 KB).
const MAX_NANOS_PER_BYTE: f64 = 2_400.0;

/// Prints everything.
pub(crate) fn measure(folder: &Path) -> Result<(), String> {
    let sources = rules::sources(folder, &Setup::blocking(4))?;
    let before = lowered(&sources, "");
    let after = lowered(&sources, "SecRule ARGS \"@rx (?i)an\\s+edit\" \"id:77,phase:2,deny\"\n");
    let program = Arc::new(compile(&before, &sources, None)?);
    let cold = fastest(|| compile(&before, &sources, None).map(drop))?;
    let edit = fastest(|| compile(&after, &sources, Some(&program)).map(drop))?;
    println!(
        "{}",
        json!({"figure": "compile-cold", "value": millis(cold), "unit": "ms", "most": 150.0})
    );
    println!(
        "{}",
        json!({"figure": "compile-edit", "value": millis(edit), "unit": "ms", "most": 15.0})
    );
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let longest = longest_step(&before, &sources)?;
    println!(
        "{}",
        json!({"figure": "compile-longest-step", "value": millis(longest), "unit": "ms"})
    );
    let size = mebibytes(program.memory_usage());
    println!(
        "{}",
        json!({"figure": "program-memory", "value": size, "unit": "MiB", "most": 8.0})
    );
    for scenario in scenario::all() {
        crate::ours(&program, &scenario);
    }
    let caches = mebibytes(program.cache_usage());
    println!(
        "{}",
        json!({"figure": "caches-after-scenarios", "value": caches, "unit": "MiB", "most": 10.0})
    );
    never_started(&program, 4);
    never_started(&rules::load(folder, &Setup::blocking(1))?, 1);
    for (name, make) in hostile::ALL {
        hostile_request(&program, name, make);
    }
    let caches = mebibytes(program.cache_usage());
    println!(
        "{}",
        json!({"figure": "caches-after-hostile", "value": caches, "unit": "MiB", "most": 10.0})
    );
    Ok(())
}

fn lowered(sources: &Sources, more: &str) -> Rules {
    let texts = sources.texts.iter().map(String::as_str).chain([more]);
    let parsed: Vec<_> = texts.map(|text| Arc::new(parse(text.as_bytes()))).collect();
    lower(&parsed).0
}

fn compile(rules: &Rules, sources: &Sources, previous: Option<&Program>) -> Result<Program, String> {
    let options = Options {
        files: &sources.files,
        previous,
        ..Options::default()
    };
    Program::compile(rules, &options).map_err(|error| format!("{error:?}"))
}

/// How long the longest step of compiling takes: at best, each of them.
fn longest_step(rules: &Rules, sources: &Sources) -> Result<Duration, String> {
    let options = Options {
        files: &sources.files,
        ..Options::default()
    };
    let mut best: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let mut builder = ProgramBuilder::new(rules);
        let mut times = Vec::new();
        let mut more = true;
        while more {
            times.push(crate::cpu_time(&mut || more = builder.step(&options), 1));
        }
        let mut builder = Some(builder);
        let mut finished = Ok(());
        times.push(crate::cpu_time(
            &mut || finished = builder.take().map_or(Ok(()), |builder| builder.finish().map(drop)),
            1,
        ));
        finished.map_err(|error| format!("{error:?}"))?;
        best = match best.as_slice() {
            [] => times,
            best => best.iter().zip(times).map(|(best, time)| time.min(*best)).collect(),
        };
    }
    Ok(best.into_iter().max().unwrap_or_default())
}

fn fastest(mut run: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut outcome = Ok(());
        best = best.min(crate::cpu_time(&mut || outcome = run(), 1));
        outcome?;
    }
    Ok(best)
}

/// The share of the regular expressions that isn't started on a value, over requests whose values are short and harmless.
fn never_started(program: &Arc<Program>, level: u8) {
    let (mut started, mut values_seen) = (0, 0);
    for name in ["baseline-get", "args-light", "args-heavy", "headers-heavy"] {
        for scenario in scenario::all().iter().filter(|scenario| scenario.name == name) {
            started += crate::ours(program, scenario).patterns_started;
            values_seen += values(scenario).len() + REQUEST_VARIABLES;
        }
    }
    let per_value = started as f64 / values_seen.max(1) as f64;
    let share = 100.0 - 100.0 * per_value / program.patterns_len() as f64;
    println!(
        "{}",
        json!({"figure": format!("pl{level}-never-started"), "value": share, "unit": "%", "least": 95.0})
    );
    let name = format!("pl{level}-patterns-started-per-value");
    println!("{}", json!({"figure": name, "value": per_value, "unit": "patterns"}));
}

/// The names and values of headers and arguments.
fn values(scenario: &Scenario) -> Vec<Vec<u8>> {
    let query = scenario
        .uri
        .split_once('?')
        .map(|(_, query)| query.as_bytes())
        .unwrap_or_default();
    let arguments = [query, &scenario.body]
        .into_iter()
        .flat_map(|text| text.split(|byte| b"&=".contains(byte)));
    let headers = scenario
        .headers
        .iter()
        .flat_map(|(name, value)| [name.clone(), value.clone()]);
    let arguments = arguments.map(|text| {
        text.iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect()
    });
    headers.chain(arguments).collect()
}

/// Time by byte, and by how much more twice the length takes. Both lengths are run before they are measured, so that caches are what
/// they are in a server.
fn hostile_request(program: &Arc<Program>, name: &str, make: fn(usize) -> Vec<u8>) {
    let [short, long] = [25_000, 50_000].map(|length| {
        let scenario = Scenario {
            name: "hostile",
            method: "POST",
            uri: "/".to_owned(),
            headers: vec![
                ("Host".into(), "example.com".into()),
                ("Content-Type".into(), "application/x-www-form-urlencoded".into()),
            ],
            body: hostile::form(&make(length)),
            attack: true,
        };
        let mut work = 0;
        let mut run = || work = crate::ours(program, &scenario).work;
        run();
        let times = (0..ROUNDS).map(|_| crate::cpu_time(&mut run, 1));
        let time = times.min().unwrap_or_default();
        (time, time.as_secs_f64() * 1e9 / length as f64, work)
    });
    let growth = long.0.as_secs_f64() / short.0.as_secs_f64();
    println!(
        "{}",
        json!({"figure": format!("hostile-{name}-growth"), "value": growth, "unit": "x", "most": 2.3})
    );
    let per_work = long.0.as_secs_f64() * 1e9 / long.2 as f64;
    println!(
        "{}",
        json!({"figure": format!("hostile-{name}-per-work"), "value": per_work, "unit": "ns"})
    );
    println!(
        "{}",
        json!({"figure": format!("hostile-{name}-per-byte"), "value": long.1, "unit": "ns/byte", "most": MAX_NANOS_PER_BYTE})
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
