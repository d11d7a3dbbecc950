//! The Core Rule Set's own tests, sent through Envoy: what the plugin logs of each request is what they expect, but for what Envoy answers or
//! changes itself, which is committed in `envoy_crs.json`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "../../crates/engine/examples/conformance/ftw/folder.rs"]
mod folder;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use coraza_e2e::environment::checkout;
use coraza_e2e::envoy::Setup;
use coraza_e2e::rules_server::Behaviour;
use coraza_e2e::{Envoy, RulesServer, environment, port, until_within};
use coraza_ftw::{Case, Request, backend};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// As the suite's own instructions have it: level 4, nothing is blocked.
const SETUP: &str = "SecAction \"id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
setvar:tx.combined_file_sizes=65535\"";
const BODIES: &str = "SecRequestBodyAccess On\nSecResponseBodyAccess On\n\
SecResponseBodyMimeType text/plain text/html text/xml application/json application/octet-stream\n";
/// What our engine needs no file for, or knows no limit of.
const LEFT_OUT: [&str; 3] = ["SecUnicodeMapFile", "SecPcre", "SecRequestBodyInMemoryLimit"];

/// How many of a hundred tests must pass of those that reach the plugin as they were meant.
const LEAST: usize = 99;
/// The most linear memory that a VM may have, with the whole Core Rule Set at level 4 and after a reload of all of it.
const MOST_MEMORY: u64 = 32 << 20;

const MEMORY: &str = "wasmcustom.waf_filter.vm.memory_bytes";

/// `envoy_crs.json`.
#[derive(Deserialize)]
struct Exceptions {
    /// Tests that can't reach the plugin as they are meant, by what Envoy does with them.
    envoy: BTreeMap<String, Vec<String>>,
}

/// The rules as one text, and their data files, as a cache serves them.
fn rules(folder: &Path) -> serde_json::Value {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recommended = read(&folder.join("rules/@coraza.conf-recommended"));
    let lines = recommended
        .lines()
        .filter(|line| !LEFT_OUT.iter().any(|left_out| line.starts_with(left_out)));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    write!(
        text,
        "\n{BODIES}\n{}\n{SETUP}\n",
        read(&folder.join("rules/@crs-setup.conf.example"))
    )
    .unwrap();
    let mut files = BTreeMap::new();
    let mut paths: Vec<_> = fs::read_dir(folder.join("rules/@owasp_crs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("conf") => writeln!(text, "{}", read(&path)).unwrap(),
            Some("data") => {
                files.insert(
                    path.file_name().unwrap().to_str().unwrap().to_owned(),
                    STANDARD.encode(fs::read(&path).unwrap()),
                );
            }
            _ => {}
        }
    }
    json!({ "uuid": "crs", "timestamp": "1970-01-01T00:00:01Z", "rules": text, "dataFiles": files })
}

/// The backend of the suite, behind Envoy.
async fn reflector() -> SocketAddr {
    let address = port::free();
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                    let (parts, body) = request.into_parts();
                    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                        (name.as_str().into(), value.as_bytes().into())
                    };
                    let request = Request {
                        method: parts.method.as_str().into(),
                        uri: parts.uri.to_string().into(),
                        version: b"HTTP/1.1".into(),
                        headers: parts.headers.iter().map(field).collect(),
                        body: body
                            .collect()
                            .await
                            .map(|body| body.to_bytes().to_vec())
                            .unwrap_or_default(),
                    };
                    let answer = backend::answer(&request);
                    let mut response = http::Response::new(Full::new(Bytes::from(answer.body)));
                    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
                    for (name, value) in answer.headers {
                        if let (Ok(name), Ok(value)) = (
                            http::HeaderName::from_bytes(&name),
                            http::HeaderValue::from_bytes(&value),
                        ) {
                            response.headers_mut().append(name, value);
                        }
                    }
                    Ok::<_, Infallible>(response)
                });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// The request with an id of ours, by which its log lines are found.
fn wire(request: &Request, id: &str) -> Vec<u8> {
    let mut bytes = [&*request.method, b" ", &request.uri, b" ", &request.version, b"\r\n"].concat();
    for (name, value) in &request.headers {
        bytes.extend([&**name, b": ", value, b"\r\n"].concat());
    }
    bytes.extend(format!("x-request-id: {id}\r\n\r\n").bytes());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Sends a request and waits for the beginning of its answer: the plugin has seen it by then, or never will.
async fn exchange(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    // A few are meant to be incomplete: Envoy waits for their rest.
    let mut head = [0; 4_096];
    let _ = tokio::time::timeout(Duration::from_millis(1_500), stream.read(&mut head)).await;
}

/// What was logged of each request, by its id.
fn logged(log: &str) -> HashMap<&str, BTreeSet<u64>> {
    let mut all: HashMap<&str, BTreeSet<u64>> = HashMap::new();
    for line in log.lines().filter(|line| line.contains("ModSecurity: ")) {
        let part = |name: &str| line.rsplit_once(name)?.1.split('"').next();
        let (Some(request), Some(id)) = (
            part("[unique_id \""),
            line.split_once("[id \"").and_then(|(_, rest)| rest.split('"').next()),
        ) else {
            continue;
        };
        let ids = all.entry(request).or_default();
        ids.extend(id.parse::<u64>());
    }
    all
}

/// How a test's outcome differs from what it expects; `None` if it expects nothing of the log's ids.
fn judge(case: &Case, number: usize, logged: &HashMap<&str, BTreeSet<u64>>) -> Option<Vec<String>> {
    let none = BTreeSet::new();
    let mut checked = false;
    let mut differences = Vec::new();
    for (at, stage) in case.stages.iter().enumerate() {
        let ids = logged.get(&*format!("ftw-{number}-{at}")).unwrap_or(&none);
        checked |= !stage.expected.ids.is_empty() || !stage.expected.no_ids.is_empty();
        let missing = stage.expected.ids.iter().filter(|id| !ids.contains(id));
        differences.extend(missing.map(|id| format!("no match of {id}")));
        let surplus = stage.expected.no_ids.iter().filter(|id| ids.contains(id));
        differences.extend(surplus.map(|id| format!("a match of {id}")));
    }
    checked.then_some(differences)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn reloads_of_the_core_rule_set_stay_within_32_mib() {
    let mut json = rules(&environment().core_rule_set);
    let cache = RulesServer::start("SecRuleEngine Off").await;
    cache.behave(Behaviour::Rules(json.to_string().into(), Vec::new()));
    let setup = Setup {
        configuration: json!({ "rule_reload_interval_seconds": 5 }),
        ..Setup::default()
    };
    let envoy = Envoy::start(setup, cache.address(), reflector().await).await;
    let text = json["rules"]
        .as_str()
        .unwrap()
        .replace("ctl:ruleEngine=DetectionOnly", "ctl:ruleEngine=On");
    for number in 0..4 {
        let uuid = format!("crs-{number}");
        json["uuid"] = json!(uuid);
        json["timestamp"] = json!(format!("1970-01-01T00:01:{number:02}Z"));
        // One rule differs.
        json["rules"] = json!(format!(
            "{text}\nSecAction \"id:{},phase:1,pass,nolog\"\n",
            1_000 + number
        ));
        cache.publish_as_of(60 + number, &uuid, "");
        cache.behave(Behaviour::Rules(json.to_string().into(), Vec::new()));
        until_within(Duration::from_secs(120), &format!("{uuid} in both VMs"), async || {
            // The worker's VM is told from the main thread's by having served.
            let _ = envoy.get("/").await;
            let loads = envoy.log().matches(&format!("\"revision\":\"{uuid}\"")).count();
            if loads == 2 { Ok(()) } else { Err(loads) }
        })
        .await;
        assert_eq!(envoy.get("/?a=%3Cscript%3Ealert(1)%3C/script%3E").await.status, 403);
    }
    until_within(Duration::from_secs(30), "the memory's size", async || {
        let memory = envoy.stat(MEMORY).await;
        if memory > 0 { Ok(()) } else { Err(memory) }
    })
    .await;
    let memory = envoy.stat(MEMORY).await;
    println!("{memory} bytes of linear memory after five loads");
    assert!((1..=MOST_MEMORY).contains(&memory), "{memory} bytes");
    for line in envoy
        .log()
        .lines()
        .filter(|line| line.contains("coraza_waf_plugin_load"))
    {
        println!("{line}");
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_core_rule_sets_tests_pass_over_the_wire_within_32_mib() {
    let module = &environment().core_rule_set;
    let json = rules(module);
    let cache = RulesServer::start("SecRuleEngine Off").await;
    cache.behave(Behaviour::Rules(json.to_string().into(), Vec::new()));
    let envoy = Envoy::start(Setup::default(), cache.address(), reflector().await).await;
    until_within(Duration::from_secs(120), "the Core Rule Set", async || {
        let status = envoy.get("/").await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    println!("{} bytes of linear memory when loaded", envoy.stat(MEMORY).await);

    let cases = folder::read_folder(&module.join("tests")).unwrap();
    assert!(cases.len() > 4_000, "{} tests", cases.len());
    for (number, case) in cases.iter().enumerate() {
        for (at, stage) in case.stages.iter().enumerate() {
            exchange(envoy.address(), &wire(&stage.request, &format!("ftw-{number}-{at}"))).await;
        }
    }
    // One worker logs in order: when this is there, all are.
    let marker = "GET /?marker=<script>alert(1)</script> HTTP/1.1\r\nhost: a\r\nx-request-id: ftw-marker\r\n\r\n";
    exchange(envoy.address(), marker.as_bytes()).await;
    let log = until_within(Duration::from_secs(60), "the marker in the log", async || {
        let log = envoy.log();
        if log.contains("[unique_id \"ftw-marker\"]") {
            Ok(log)
        } else {
            Err("absent")
        }
    })
    .await;

    let exceptions = fs::read_to_string(checkout("e2e/tests/envoy_crs.json")).unwrap();
    let exceptions: Exceptions = serde_json::from_str(&exceptions).unwrap();
    let listed: BTreeSet<&str> = exceptions.envoy.values().flatten().map(String::as_str).collect();
    let logged = logged(&log);
    let (mut passed, mut failed, mut needless) = (0, Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        match judge(case, number, &logged) {
            None => {}
            Some(differences) if differences.is_empty() => {
                passed += 1;
                if listed.contains(&*case.name) {
                    needless.push(case.name.clone());
                }
            }
            Some(differences) => failed.push((case.name.clone(), differences)),
        }
    }
    let (by_envoy, by_us): (Vec<_>, Vec<_>) = failed.into_iter().partition(|(name, _)| listed.contains(&**name));
    println!(
        "{passed} passed, {} failed, {} as Envoy has it",
        by_us.len(),
        by_envoy.len()
    );
    for (name, differences) in &by_us {
        println!("{name}: {}", differences.join(", "));
    }
    assert_eq!(needless, Vec::<String>::new(), "listed, and they pass");
    assert!(
        by_us.len() * 100 <= (passed + by_us.len()) * (100 - LEAST),
        "{} of {} failed",
        by_us.len(),
        passed + by_us.len()
    );

    let memory = memory_after_a_reload(&envoy, &cache, json).await;
    println!("{memory} bytes of linear memory after all tests and a reload, of {MOST_MEMORY}");
    assert!((1..=MOST_MEMORY).contains(&memory), "{memory} bytes");
}

/// The worker's linear memory. It says that every ten seconds, and when it has loaded something: after a reload, of which all VMs have told the cache, what it
/// said is of now.
async fn memory_after_a_reload(envoy: &Envoy, cache: &RulesServer, mut json: serde_json::Value) -> u64 {
    let text = json["rules"].as_str().unwrap();
    json["rules"] = json!(format!("{text}\nSecAction \"id:1000,phase:1,pass,nolog\"\n"));
    json["uuid"] = json!("after");
    json["timestamp"] = json!("1970-01-01T00:01:00Z");
    cache.publish_as_of(60, "after", "");
    cache.behave(Behaviour::Rules(json.to_string().into(), Vec::new()));
    until_within(Duration::from_secs(120), "all VMs to report", async || {
        let told = cache.last().header("x-coraza-revision").to_owned();
        if told == "W/\"60000000000-after\"" {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
    envoy.stat(MEMORY).await
}
