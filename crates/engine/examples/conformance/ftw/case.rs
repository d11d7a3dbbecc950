//! A test: requests, their responses, and what is expected of the rules. Reads the recorded form, a JSON object. No IO.

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
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) expected: Expected,
}

/// A request as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) uri: Vec<u8>,
    pub(crate) version: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of the first header of a name.
    pub(crate) fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let mut named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_slice())
    }
}

/// A response as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// What the rules should log.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) ids: Vec<u64>,
    pub(crate) no_ids: Vec<u64>,
    pub(crate) log_contains: Option<String>,
    pub(crate) no_log_contains: Option<String>,
}

impl Default for Response {
    /// What the backend of the Core Rule Set's tests answers if it isn't asked for anything else.
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Case {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
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
        let stages = stages.iter().map(Stage::read).collect::<Option<_>>();
        Ok(Self {
            blocked: case
                .get("expect")
                .and_then(Value::as_str)
                .map(|expect| expect == "block"),
            stages: stages.ok_or_else(|| format!("{name}: a stage without input, output or response"))?,
            name,
        })
    }
}

impl Stage {
    fn read(stage: &Value) -> Option<Self> {
        let input = stage.get("input")?;
        let wire = stage.get("wire").filter(|wire| !wire.is_null()).unwrap_or(input);
        let output = stage.get("output")?;
        let response = stage.get("response")?;
        let ids = |field| {
            let list = output.get(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        let pattern = |field| output.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            port: number(input.get("port")).unwrap_or(80),
            request: request(wire),
            response: self::response(response),
            expected: Expected {
                ids: ids("expect_ids"),
                no_ids: ids("no_expect_ids"),
                log_contains: pattern("log_contains"),
                no_log_contains: pattern("no_log_contains"),
            },
        })
    }
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
