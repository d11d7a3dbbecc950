//! Recorded requests with what is expected of the rules, one JSON object a line. No IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One test.
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: String,
    /// Whether it must be blocked, where that is what it is about.
    pub(crate) blocked: Option<bool>,
    /// Its requests, one after the other.
    pub(crate) stages: Vec<Stage>,
}

/// One request, its response, and what is expected.
pub(crate) struct Stage {
    pub(crate) port: u16,
    pub(crate) method: Vec<u8>,
    pub(crate) uri: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) response_status: u16,
    pub(crate) response_headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) expect_ids: Vec<u64>,
    pub(crate) no_expect_ids: Vec<u64>,
    pub(crate) log_contains: Option<String>,
    pub(crate) no_log_contains: Option<String>,
}

impl Case {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let case: Value = serde_json::from_str(line).ok()?;
        let id = |field: &str| match case.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let name = match id("rule_id") {
            rule if rule.is_empty() => id("test_id"),
            rule => format!("{rule}-{}", id("test_id")),
        };
        Some(Self {
            name,
            blocked: case
                .get("expect")
                .and_then(Value::as_str)
                .map(|expect| expect == "block"),
            stages: case.get("stages")?.as_array()?.iter().filter_map(Stage::read).collect(),
        })
    }
}

impl Stage {
    fn read(stage: &Value) -> Option<Self> {
        let input = stage.get("input")?;
        let wire = stage.get("wire").filter(|wire| !wire.is_null()).unwrap_or(input);
        let body = wire.get("body_b64").or_else(|| wire.get("data_b64"));
        let output = stage.get("output")?;
        let response = stage.get("response")?;
        let ids = |field| {
            let list = output.get(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        let pattern = |field| output.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            port: number(input.get("port")).unwrap_or(80),
            method: text(wire.get("method")),
            uri: text(wire.get("uri")),
            version: text(wire.get("version")),
            headers: headers(wire.get("headers")),
            body: bytes(body),
            response_status: number(response.get("status")).unwrap_or(200),
            response_headers: headers(response.get("headers")),
            response_body: bytes(response.get("body_b64")),
            expect_ids: ids("expect_ids"),
            no_expect_ids: ids("no_expect_ids"),
            log_contains: pattern("log_contains"),
            no_log_contains: pattern("no_log_contains"),
        })
    }
}

fn number(value: Option<&Value>) -> Option<u16> {
    value?.as_u64()?.try_into().ok()
}

fn text(value: Option<&Value>) -> Vec<u8> {
    value.and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec()
}

fn bytes(value: Option<&Value>) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap_or_default()
}

fn headers(value: Option<&Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.map(|pair| (text(pair.get(0)), text(pair.get(1)))).collect()
}
