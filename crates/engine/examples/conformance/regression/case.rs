//! One regression case: rules, a request, a response, and what libmodsecurity made of them. Reads the file of cases and the data files
//! beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_engine::{Cause, Options, Program};
use coraza_seclang::rules::Operator;
use coraza_seclang::{Severity, lower, parse};
use serde_json::Value;

/// What a case may need to be checkable here.
const NEEDS: [&str; 3] = ["modsecurity-debug-log-text", "files", "parser-error"];

/// How deep files may include files.
const MAX_INCLUDES: usize = 10;

/// A case that can be checked.
pub(crate) struct Case {
    /// Its file and its place there.
    pub(crate) name: String,
    case: Value,
}

impl Case {
    /// The cases of a file that can be checked.
    pub(crate) fn read(path: &Path) -> Result<Vec<Self>, String> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let cases: Vec<Value> =
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let cases = cases.into_iter().filter(is_applicable);
        Ok(cases
            .map(|case| Self {
                name: format!("{stem}#{}", case["index"]),
                case,
            })
            .collect())
    }

    /// How its outcome differs from libmodsecurity's. The files that it names are under `data`.
    pub(crate) fn judge(&self, data: &Path) -> Vec<String> {
        judge(&self.case, data)
    }
}

fn is_applicable(case: &Value) -> bool {
    let needs = case["needs"].as_array().map(Vec::as_slice).unwrap_or_default();
    case.is_object()
        && case["skip"].is_null()
        && needs
            .iter()
            .all(|need| need.as_str().is_some_and(|need| NEEDS.contains(&need)))
}

fn judge(case: &Value, data: &Path) -> Vec<String> {
    let lines = case["rules"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines = lines.flat_map(|line| included(line, &[&data.join("data")], 0));
    // libmodsecurity reads bodies unless told not to, and has no limit of arguments.
    let defaults = ["SecRequestBodyAccess On", "SecArgumentsLimit 1000000"];
    let source = defaults
        .map(str::to_owned)
        .into_iter()
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n");
    let expects_error = case
        .pointer("/expected/parser_error")
        .unwrap_or(&Value::Null)
        .as_str()
        .is_some_and(|error| !error.is_empty());
    let program = match (compile(&source, data), expects_error) {
        (Ok(_), true) => return vec!["the rules were accepted".to_owned()],
        (Err(_), true) => return Vec::new(),
        (Err(error), false) => return vec![format!("the rules were refused: {error}")],
        (Ok(program), false) => program,
    };
    let report = run(&program, case);
    let mut differences = Vec::new();
    let oracle = &case["oracle"];
    let interruption = report.interruption.as_ref().filter(|_| report.interrupted);
    let status = interruption.map_or(200, |interruption| u64::from(interruption.status));
    if oracle["http_code"].as_u64() != Some(status) {
        differences.push(format!("status {status}, not {}", oracle["http_code"]));
    }
    let blocking = interruption.and_then(|interruption| match interruption.cause {
        Cause::Rule(id) => id.map(|id| id.0),
        _ => None,
    });
    // What interrupts a transaction isn't logged there but returned.
    let logged = report
        .matched
        .iter()
        .filter(|rule| rule.log)
        .filter_map(|rule| rule.id.map(|id| id.0));
    let logged: BTreeSet<u64> = logged.filter(|id| Some(*id) != blocking).collect();
    let expected = oracle["logged_ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64);
    let expected: BTreeSet<u64> = expected.filter(|id| Some(*id) != blocking).collect();
    if logged != expected {
        differences.push(format!("logged {logged:?}, not {expected:?}"));
    }
    differences
}

/// A line of rules, or those of the files that it includes: no directive of the engine reads files. Names are relative to the folder
/// of the cases' data or to that of the including file.
fn included(line: &str, folders: &[&Path], depth: usize) -> Vec<String> {
    let Some(name) = line.trim().strip_prefix("Include ") else {
        return vec![line.to_owned()];
    };
    let name = name.trim_matches(['"', ' ']);
    let paths = folders.iter().map(|folder| matching(&folder.join(name)));
    let Some(paths) = paths
        .into_iter()
        .find(|paths| !paths.is_empty())
        .filter(|_| depth <= MAX_INCLUDES)
    else {
        // Nothing to include is an error there, and here too.
        return vec![line.to_owned()];
    };
    let mut lines = Vec::new();
    for path in paths {
        let text = fs::read(&path).unwrap_or_default();
        let own = path.parent().into_iter();
        let folders: Vec<&Path> = folders.iter().copied().take(1).chain(own).collect();
        for line in String::from_utf8_lossy(&text).lines() {
            lines.extend(included(line, &folders, depth + 1));
        }
    }
    lines
}

/// The files of a name, which may have one `*` in its last part.
fn matching(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_named = |name: &str| match stem.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => name == stem,
    };
    let folder = path
        .parent()
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten();
    let files = folder.filter_map(|file| Some(file.ok()?.path()));
    let mut files: Vec<_> = files
        .filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(is_named))
        .collect();
    files.sort();
    files
}

fn compile(source: &str, data: &Path) -> Result<Arc<Program>, String> {
    let parsed = Arc::new(parse(source.as_bytes()));
    let (rules, findings) = lower(&[Arc::clone(&parsed)]);
    let mut all = parsed
        .diagnostics
        .iter()
        .chain(findings.iter().map(|finding| &finding.diagnostic));
    if let Some(error) = all.find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let names = rules
        .rules()
        .flat_map(|rule| &rule.members)
        .filter_map(|member| member.definition.operator.as_ref());
    let names = names.flat_map(Operator::data_files).map(ToString::to_string);
    let files: BTreeMap<String, Vec<u8>> = names
        .filter_map(|name| Some((name.clone(), fs::read(data.join("data").join(&name)).ok()?)))
        .collect();
    let options = Options {
        files: &files,
        ..Options::default()
    };
    let program = Program::compile(&rules, &options);
    program.map(Arc::new).map_err(|errors| {
        errors
            .iter()
            .map(|error| error.diagnostic.to_string())
            .collect::<Vec<_>>()
            .join("; ")
    })
}

fn run(program: &Arc<Program>, case: &Value) -> Report {
    let port = |value: &Value| {
        value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default()
    };
    let (client, server) = (&case["client"], &case["server"]);
    let connection = Connection {
        client_address: text(&client["ip"]).as_bytes(),
        client_port: port(&client["port"]),
        server_address: text(&server["ip"]).as_bytes(),
        server_port: port(&server["port"]),
    };
    let transaction = Transaction::new(
        program,
        &connection,
        &Identity {
            unique_id: b"1",
            ..Identity::default()
        },
    );
    phases(transaction, case)
        .unwrap_or_else(|interrupted| interrupted.transaction)
        .log()
}

fn phases(
    transaction: Transaction<states::Connected>,
    case: &Value,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let (request, response) = (&case["request"], &case["response"]);
    let version = text(&request["http_version"]);
    let version = format!("HTTP/{}", if version.is_empty() { "1.1" } else { version });
    let line = RequestLine {
        method: text(&request["method"]).as_bytes(),
        uri: text(&request["uri"]).as_bytes(),
        protocol: version.as_bytes(),
    };
    let protocol = Some(text(&response["protocol"]))
        .filter(|protocol| !protocol.is_empty())
        .unwrap_or("HTTP/1.1");
    transaction
        .request_headers(&line, headers(request))?
        .append(&body(request))?
        .request_body()?
        .response_headers(200, protocol.as_bytes(), headers(response))?
        .append(&body(response))?
        .response_body()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn body(message: &Value) -> Vec<u8> {
    STANDARD.decode(text(&message["body_b64"])).unwrap_or_default()
}

fn headers(message: &Value) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = message["headers"].as_array().into_iter().flatten();
    pairs.map(|pair| (text(&pair[0]).as_bytes(), text(&pair[1]).as_bytes()))
}
