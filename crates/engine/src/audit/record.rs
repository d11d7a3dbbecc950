//! A record of the audit log in the shape of libmodsecurity's JSON: names, order and types are those that programs know. No IO.

use coraza_seclang::rules::{EngineMode, Severity, Variable};
use serde::{Serialize, Serializer};

use super::MAX_BODY;
use crate::error_log::EXCEEDED;
use crate::event::{MatchedRule, escape};
use crate::interruption::Cause;
use crate::operators::number;
use crate::transaction::State;

/// How many bytes of headers a record holds, names and values, in each direction.
const MAX_HEADERS: usize = 32 << 10;
/// How many bytes of a method, an address, a URI.
const MAX_TEXT: usize = 8 << 10;
/// How many rules.
const MAX_MESSAGES: usize = 256;
/// How many files.
const MAX_UPLOADS: usize = 100;

#[derive(Serialize)]
struct Record {
    transaction: Transaction,
}

#[derive(Serialize)]
struct Transaction {
    client_ip: String,
    time_stamp: String,
    /// `SecSensorId`: the engine knows no other name of its server.
    server_id: String,
    client_port: u16,
    host_ip: String,
    host_port: u16,
    unique_id: String,
    is_interrupted: bool,
    request: Request,
    response: Response,
    #[serde(skip_serializing_if = "Option::is_none")]
    uploads: Option<Uploads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer: Option<Producer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message>>,
}

#[derive(Serialize)]
struct Request {
    method: String,
    http_version: String,
    hostname: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
}

#[derive(Serialize)]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    http_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
}

/// Names and values in their order; a name stands as often as it came.
struct Headers(Vec<(String, String)>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Files, in the shape of ModSecurity 2, since libmodsecurity has none.
#[derive(Serialize)]
struct Uploads {
    info: Vec<Upload>,
    total: usize,
}

#[derive(Serialize)]
struct Upload {
    file_name: String,
    file_size: u64,
}

#[derive(Serialize)]
struct Producer {
    modsecurity: &'static str,
    secrules_engine: &'static str,
    components: Vec<String>,
}

#[derive(Serialize)]
struct Message {
    message: String,
    details: Details,
}

/// Numbers are texts, as there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    r#match: String,
    reference: &'static str,
    rule_id: String,
    file: String,
    line_number: String,
    data: String,
    severity: String,
    ver: String,
    rev: String,
    tags: Vec<String>,
    maturity: String,
    accuracy: String,
}

/// The whole record, in one line.
pub(super) fn json(state: &State) -> String {
    let record = Record {
        transaction: transaction(state),
    };
    // Nothing in it can fail to be written: all keys are texts.
    serde_json::to_string(&record).unwrap_or_default()
}

fn transaction(state: &State) -> Transaction {
    let text = |variable| {
        let value = state.variables.get(variable);
        value.map(|value| escape(value, MAX_TEXT)).unwrap_or_default()
    };
    let port = |variable| {
        let value = state.variables.get(variable).map_or(0, |value| number::parse(value));
        u16::try_from(value).unwrap_or_default()
    };
    let part = |part| state.has_part(part);
    Transaction {
        client_ip: text(Variable::RemoteAddr),
        time_stamp: state.clock.stamp(),
        server_id: escape(&state.program.settings().sensor_id, MAX_TEXT),
        client_port: port(Variable::RemotePort),
        host_ip: text(Variable::ServerAddr),
        host_port: port(Variable::ServerPort),
        unique_id: text(Variable::UniqueId),
        is_interrupted: state.interrupted,
        request: Request {
            method: text(Variable::RequestMethod),
            http_version: text(Variable::RequestProtocol).trim_start_matches("HTTP/").to_owned(),
            hostname: text(Variable::ServerName),
            uri: text(Variable::RequestUriRaw),
            body: request_body(state),
            headers: part(b'B').then(|| headers(state, Variable::RequestHeaders)),
        },
        response: Response {
            body: part(b'E').then(|| {
                let body = state.variables.get(Variable::ResponseBody);
                body.map(|body| escape(body, MAX_BODY)).unwrap_or_default()
            }),
            http_code: state.status(),
            headers: part(b'F').then(|| headers(state, Variable::ResponseHeaders)),
        },
        uploads: part(b'J').then(|| uploads(state)),
        producer: part(b'H').then(|| producer(state)),
        messages: part(b'H').then(|| messages(state)),
    }
}

/// Part C is the body; part I is the body unless it holds files.
fn request_body(state: &State) -> Option<String> {
    let processor = state.variables.get(Variable::ReqbodyProcessor);
    let holds_files = processor.is_some_and(|processor| **processor == *b"MULTIPART");
    let wanted = state.has_part(b'C') || state.has_part(b'I') && !holds_files;
    wanted.then(|| escape(&state.audited_body, MAX_BODY))
}

fn headers(state: &State, variable: Variable) -> Headers {
    let mut room = MAX_HEADERS;
    let mut headers = Vec::new();
    for header in state.variables.collection(variable) {
        let size = header.key.len().saturating_add(header.value.len());
        if size > room {
            break;
        }
        room -= size;
        headers.push((escape(&header.key, MAX_HEADERS), escape(&header.value, MAX_HEADERS)));
    }
    Headers(headers)
}

fn uploads(state: &State) -> Uploads {
    let sizes = state.variables.collection(Variable::FilesSizes);
    let sizes = sizes.map(|size| u64::try_from(number::parse(&size.value)).unwrap_or_default());
    let files = state.variables.collection(Variable::Files).zip(sizes);
    let info = files.take(MAX_UPLOADS).map(|(file, file_size)| Upload {
        file_name: escape(&file.value, MAX_TEXT),
        file_size,
    });
    Uploads {
        info: info.collect(),
        total: state.variables.collection(Variable::Files).count(),
    }
}

fn producer(state: &State) -> Producer {
    let signatures = &state.program.settings().component_signatures;
    Producer {
        modsecurity: concat!("coraza-engine v", env!("CARGO_PKG_VERSION")),
        secrules_engine: match state.control.mode {
            EngineMode::On => "Enabled",
            EngineMode::DetectionOnly => "DetectionOnly",
            EngineMode::Off => "Disabled",
        },
        components: signatures.iter().map(|signature| escape(signature, MAX_TEXT)).collect(),
    }
}

/// The rules that matched, and the limit that was reached, if one was.
fn messages(state: &State) -> Vec<Message> {
    let limit = state.interruption.iter().filter(|_| state.interrupted);
    let limit = limit.filter(|interruption| !matches!(interruption.cause, Cause::Rule(_)));
    let matched = state.matched.iter().filter(|rule| rule.audit).map(message);
    let cut = (state.meter.is_exceeded() && !state.interrupted).then(|| EXCEEDED.to_owned());
    let limits = limit.map(ToString::to_string).chain(cut).map(|message| Message {
        message,
        details: Details::default(),
    });
    matched.take(MAX_MESSAGES).chain(limits).collect()
}

impl Default for Details {
    fn default() -> Self {
        let zero = || "0".to_owned();
        Self {
            r#match: String::new(),
            reference: "",
            rule_id: zero(),
            file: String::new(),
            line_number: zero(),
            data: String::new(),
            severity: zero(),
            ver: String::new(),
            rev: String::new(),
            tags: Vec::new(),
            maturity: zero(),
            accuracy: zero(),
        }
    }
}

fn message(rule: &MatchedRule) -> Message {
    Message {
        message: rule.message.clone(),
        details: Details {
            r#match: rule.reason(),
            reference: "",
            rule_id: rule.id.map_or(0, |id| id.0).to_string(),
            file: rule.file.to_string(),
            line_number: rule.line.to_string(),
            data: rule.data.clone(),
            severity: rule.severity.map_or(0, Severity::number).to_string(),
            ver: rule.ver.clone(),
            rev: rule.rev.clone(),
            tags: rule.tags.clone(),
            maturity: rule.maturity.to_string(),
            accuracy: rule.accuracy.to_string(),
        },
    }
}
