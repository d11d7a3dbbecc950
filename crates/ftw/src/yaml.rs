//! Files of tests as the Core Rule Set writes them: YAML. No IO.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::backend;
use crate::case::{Case, Expected, Request, Response, Stage};
use crate::complete::Written;

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "or_default")]
    meta: Meta,
    #[serde(default, deserialize_with = "or_default")]
    rule_id: u64,
    #[serde(default, deserialize_with = "or_default")]
    tests: Vec<Test>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Test {
    /// Older files have this in place of two numbers.
    test_title: Option<String>,
    test_id: Option<u64>,
    desc: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
    stages: Vec<Step>,
}

/// Older files have `stage` around the two.
#[derive(Deserialize)]
struct Step {
    stage: Option<Content>,
    input: Option<Input>,
    #[serde(default, deserialize_with = "or_default")]
    output: Output,
}

#[derive(Deserialize)]
struct Content {
    input: Input,
    #[serde(default, deserialize_with = "or_default")]
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    port: Option<u16>,
    method: Option<String>,
    uri: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    uris: Vec<String>,
    version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    headers: BTreeMap<String, String>,
    data: Option<String>,
    encoded_data: Option<String>,
    #[serde(alias = "raw_request")]
    encoded_request: Option<String>,
    autocomplete_headers: Option<bool>,
    stop_magic: Option<bool>,
    response: Option<Answer>,
}

/// What the web server is to answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    status: u16,
    #[serde(default, deserialize_with = "or_default")]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    body: String,
    encoded_body: Option<String>,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default, deserialize_with = "or_default")]
    status: u16,
    response_contains: Option<String>,
    log_contains: Option<String>,
    no_log_contains: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    log: Log,
    expect_error: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    isolated: bool,
}

#[derive(Default, Deserialize)]
struct Log {
    #[serde(default, deserialize_with = "or_default")]
    expect_ids: Vec<u64>,
    #[serde(default, deserialize_with = "or_default")]
    no_expect_ids: Vec<u64>,
    match_regex: Option<String>,
    no_match_regex: Option<String>,
}

/// As the standard runner reads YAML: a key without a value says nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTests {
    /// It isn't YAML, or not of this shape.
    #[error("failed to read the YAML")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// What should be base64 isn't.
    #[error("{field} of test {test} is not base64")]
    Base64 {
        /// The test.
        test: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: base64::DecodeError,
    },
    /// A stage says nothing.
    #[error("a stage of test {test} has no input")]
    NoInput {
        /// The test.
        test: String,
    },
}

/// The tests of a file.
///
/// # Errors
/// [`InvalidTests`]. A file without tests is none.
pub fn read(text: &str) -> Result<Vec<Case>, InvalidTests> {
    // A file may hold nothing but comments.
    let files: Vec<Option<File>> =
        serde_saphyr::from_multiple(text).map_err(|error| InvalidTests::Yaml(Box::new(error)))?;
    let mut cases = Vec::new();
    for file in files.into_iter().flatten() {
        for (test, position) in file.tests.into_iter().zip(1..) {
            let name = match test.test_title {
                Some(title) => title,
                None => format!("{}-{}", file.rule_id, test.test_id.unwrap_or(position)),
            };
            let mut stages = Vec::new();
            for step in test.stages {
                let Step { stage, input, output } = step;
                let content = stage.or(input.map(|input| Content { input, output }));
                let content = content.ok_or_else(|| InvalidTests::NoInput { test: name.clone() })?;
                stages.extend(content.into_stages(&name)?);
            }
            cases.push(Case {
                description: test.desc.unwrap_or_default().trim().to_owned(),
                tags: file.meta.tags.iter().cloned().chain(test.tags).collect(),
                blocked: None,
                stages,
                name,
            });
        }
    }
    Ok(cases)
}

impl Content {
    /// One stage for each URI.
    fn into_stages(self, test: &str) -> Result<Vec<Stage>, InvalidTests> {
        let Self { input, output } = self;
        let expected = Expected::from(output);
        let response = input
            .response
            .as_ref()
            .map(|answer| answer.response(test))
            .transpose()?;
        let uri = input.uri.as_deref().unwrap_or("/");
        let uris = match &input.uris[..] {
            [] => vec![uri],
            uris => uris.iter().map(String::as_str).collect(),
        };
        let stage = |uri| {
            let request = input.written(uri, test)?.complete();
            Ok(Stage {
                port: input.port.unwrap_or(80),
                response: response.clone().unwrap_or_else(|| backend::answer(&request)),
                request,
                expected: expected.clone(),
            })
        };
        uris.into_iter().map(stage).collect()
    }
}

impl Input {
    fn written(&self, uri: &str, test: &str) -> Result<Written, InvalidTests> {
        let decode = |field, text: &Option<String>| text.as_ref().map(|text| base64(text, field, test)).transpose();
        let plain = || expand(self.data.as_deref().unwrap_or_default()).into_bytes();
        let or = |text: &Option<String>, usual: &str| text.as_deref().unwrap_or(usual).as_bytes().to_vec();
        let pair = |(name, value): (&String, &String)| (name.clone().into_bytes(), value.clone().into_bytes());
        Ok(Written {
            request: Request {
                method: or(&self.method, "GET"),
                uri: uri.as_bytes().to_vec(),
                version: or(&self.version, "HTTP/1.1"),
                headers: self.headers.iter().map(pair).collect(),
                body: decode("encoded_data", &self.encoded_data)?.unwrap_or_else(plain),
            },
            raw: decode("encoded_request", &self.encoded_request)?,
            autocomplete: match (self.autocomplete_headers, self.stop_magic) {
                (Some(autocomplete), _) => autocomplete,
                (None, stop) => stop != Some(true),
            },
        })
    }
}

impl Answer {
    fn response(&self, test: &str) -> Result<Response, InvalidTests> {
        let pair = |(name, value): (&String, &String)| (name.clone().into_bytes(), value.clone().into_bytes());
        Ok(Response {
            status: if self.status == 0 { 200 } else { self.status },
            headers: self.headers.iter().map(pair).collect(),
            body: match &self.encoded_body {
                Some(body) => base64(body, "encoded_body", test)?,
                None => self.body.clone().into_bytes(),
            },
        })
    }
}

impl From<Output> for Expected {
    fn from(output: Output) -> Self {
        Self {
            ids: output.log.expect_ids,
            no_ids: output.log.no_expect_ids,
            log_contains: output.log.match_regex.or(output.log_contains),
            no_log_contains: output.log.no_match_regex.or(output.no_log_contains),
            status: (output.status != 0).then_some(output.status),
            response_contains: output.response_contains,
            error: output.expect_error == Some(true),
            isolated: output.isolated,
        }
    }
}

fn base64(text: &str, field: &'static str, test: &str) -> Result<Vec<u8>, InvalidTests> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).map_err(|source| InvalidTests::Base64 {
        test: test.to_owned(),
        field,
        source,
    })
}

/// The longest text that a template makes: a test of limits needs some hundred kilobytes, and a file must not fill the memory.
const MAX_REPEATED: usize = 64 << 20;

/// `{{ "text" | repeat 3 }}`, the only template of the tests; others stay as they are.
fn expand(data: &str) -> String {
    let mut out = String::new();
    let mut rest = data;
    while let Some((before, after)) = rest.split_once("{{") {
        let repeated = after.split_once("}}").and_then(|(template, after)| {
            let (text, count) = template.split_once('|')?;
            let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
            let count: usize = count.trim().strip_prefix("repeat ")?.trim().parse().ok()?;
            let fits = text.len().checked_mul(count)?.checked_add(out.len())? <= MAX_REPEATED;
            fits.then(|| (text.repeat(count), after))
        });
        out.push_str(before);
        match repeated {
            Some((text, after)) => {
                out.push_str(&text);
                rest = after;
            }
            None => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_test_is_read() {
        let text = r#"
meta: {tags: [file]}
rule_id: 7
tests:
  - desc: " several requests "
    tags: [own]
    stages:
      - input: {uris: [/a, /b], method: POST, encoded_data: "eA==", stop_magic: true}
        output: {status: 403, isolated: true, log_contains: old, response_contains: x}
      - input: {data: 'a={{ "b" | repeat 3 }}', headers: {Host: h}, response: {status: 500, encoded_body: "eA=="}}
        output: {log: {expect_ids: [1], match_regex: new}, expect_error: true}
  - test_title: 7-titled
    stages: [{stage: {input: {raw_request: "R0VUIC9yYXcgSFRUUC8xLjENCg0K"}, output: {no_log_contains: z}}}]
---
# nothing
---
meta:
tests:
"#;
        let cases = read(text).unwrap();
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["7-1", "7-titled"]);
        assert_eq!(
            (cases[0].description.as_str(), cases[0].tags.join(" ")),
            ("several requests", "file own".into())
        );
        let [a, b, c] = &cases[0].stages[..] else { panic!() };
        assert_eq!((&a.request.uri[..], &b.request.uri[..]), (&b"/a"[..], &b"/b"[..]));
        assert_eq!((&a.request.body[..], a.request.headers.len()), (&b"x"[..], 0));
        assert_eq!((a.expected.status, a.expected.isolated), (Some(403), true));
        assert_eq!(a.expected.log_contains.as_deref(), Some("old"));
        assert_eq!((&c.request.body[..], c.response.status), (&b"a=bbb"[..], 500));
        assert_eq!((&c.response.body[..], c.expected.error), (&b"x"[..], true));
        assert_eq!(&cases[1].stages[0].request.uri[..], b"/raw");
        assert_eq!(cases[1].stages[0].expected.no_log_contains.as_deref(), Some("z"));
    }

    #[test]
    fn what_is_no_test_is_an_error() {
        for (text, message) in [
            ("tests: [", "failed to read the YAML"),
            ("tests: [{stages: 1}]", "failed to read the YAML"),
            ("tests: [{stages: [{}]}]", "a stage of test 0-1 has no input"),
            (
                "tests: [{stages: [{input: {encoded_request: '!'}}]}]",
                "encoded_request of test 0-1 is not base64",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message, "{text}");
        }
        assert!(read("").unwrap().is_empty());
        let huge = r#"{{ "xxxxxxxxxxxxxxxx" | repeat 99999999999 }}"#;
        assert_eq!(expand(huge), huge);
    }
}
