//! Tests as they were recorded: JSON objects. No IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coraza_ftw::{Case, Expected, Request, Response, Stage};
use serde_json::Value;

/// Reads a line.
pub(crate) fn parse(line: &str) -> Result<Case, String> {
    let case: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = |field: &str| match case.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let name = match id("rule_id") {
        rule if rule.is_empty() => id("test_id"),
        rule => format!("{rule}-{}", id("test_id")),
    };
    let stages = case.get("stages").and_then(Value::as_array).ok_or("no stages")?;
    let stages = stages.iter().map(stage).collect::<Option<_>>();
    Ok(Case {
        blocked: case
            .get("expect")
            .and_then(Value::as_str)
            .map(|expect| expect == "block"),
        stages: stages.ok_or_else(|| format!("{name}: a stage without input, output or response"))?,
        name,
        ..Case::default()
    })
}

fn stage(stage: &Value) -> Option<Stage> {
    let input = stage.get("input")?;
    let wire = stage.get("wire").filter(|wire| !wire.is_null()).unwrap_or(input);
    let output = stage.get("output")?;
    let ids = |field| {
        let list = output.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let pattern = |field| output.get(field).and_then(Value::as_str).map(str::to_owned);
    Some(Stage {
        port: number(input.get("port")).unwrap_or(80),
        request: request(wire),
        response: response(stage.get("response")?),
        expected: Expected {
            ids: ids("expect_ids"),
            no_ids: ids("no_expect_ids"),
            log_contains: pattern("log_contains"),
            no_log_contains: pattern("no_log_contains"),
            ..Expected::default()
        },
    })
}

/// A request in either form: as it was written in the test, or as it was recorded.
pub(crate) fn request(request: &Value) -> Request {
    Request {
        method: text(request.get("method")),
        uri: text(request.get("uri")),
        version: text(request.get("version")),
        headers: headers(request.get("headers")),
        body: bytes(request.get("body_b64").or_else(|| request.get("data_b64"))),
    }
}

/// A response as it was recorded.
pub(crate) fn response(response: &Value) -> Response {
    Response {
        status: number(response.get("status")).unwrap_or(200),
        headers: headers(response.get("headers")),
        body: bytes(response.get("body_b64")),
    }
}

fn number(value: Option<&Value>) -> Option<u16> {
    value?.as_u64()?.try_into().ok()
}

fn text(value: Option<&Value>) -> Vec<u8> {
    value.and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec()
}

pub(crate) fn bytes(value: Option<&Value>) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap_or_default()
}

fn headers(value: Option<&Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.map(|pair| (text(pair.get(0)), text(pair.get(1)))).collect()
}
