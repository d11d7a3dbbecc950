//! Tests as the Core Rule Set writes them: YAML files. Reads a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::backend;
use super::case::{Case, Expected, Request, Stage};
use super::complete::Written;

#[derive(Deserialize)]
struct File {
    rule_id: u64,
    #[serde(default)]
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    test_id: u64,
    stages: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    input: Input,
    #[serde(default)]
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default = "http_port")]
    port: u16,
    #[serde(default = "get")]
    method: String,
    #[serde(default = "root")]
    uri: String,
    #[serde(default = "http_1_1")]
    version: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    data: Option<String>,
    encoded_request: Option<String>,
    #[serde(default = "yes")]
    autocomplete_headers: bool,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    log: Log,
}

#[derive(Default, Deserialize)]
struct Log {
    #[serde(default)]
    expect_ids: Vec<u64>,
    #[serde(default)]
    no_expect_ids: Vec<u64>,
    match_regex: Option<String>,
    no_match_regex: Option<String>,
}

fn http_port() -> u16 {
    80
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn http_1_1() -> String {
    "HTTP/1.1".to_owned()
}

fn yes() -> bool {
    true
}

/// All tests of the files in a folder and the folders in it, in the order of their names.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let tests: Result<Vec<Vec<Case>>, String> = files
        .iter()
        .map(|file| read_file(file).map_err(|error| format!("{}: {error}", file.display())))
        .collect();
    let tests: Vec<Case> = tests?.into_iter().flatten().collect();
    if tests.is_empty() {
        return Err(format!("{} has no tests", folder.display()));
    }
    Ok(tests)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    // One of the files holds nothing but comments.
    let files: Vec<Option<File>> = serde_saphyr::from_multiple(&text).map_err(|error| error.to_string())?;
    let mut cases = Vec::new();
    for file in files.into_iter().flatten() {
        for test in file.tests {
            cases.push(Case {
                name: format!("{}-{}", file.rule_id, test.test_id),
                blocked: None,
                stages: test
                    .stages
                    .into_iter()
                    .map(Step::into_stage)
                    .collect::<Result<_, _>>()?,
            });
        }
    }
    Ok(cases)
}

impl Step {
    fn into_stage(self) -> Result<Stage, String> {
        let Input { headers, data, .. } = self.input;
        let raw = self.input.encoded_request.map(|raw| base64(&raw)).transpose()?;
        let written = Written {
            request: Request {
                method: self.input.method.into_bytes(),
                uri: self.input.uri.into_bytes(),
                version: self.input.version.into_bytes(),
                headers: headers
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
                body: expand(&data.unwrap_or_default()).into_bytes(),
            },
            raw,
            autocomplete: self.input.autocomplete_headers,
        };
        let request = written.complete();
        let log = self.output.log;
        Ok(Stage {
            port: self.input.port,
            response: backend::answer(&request),
            request,
            expected: Expected {
                ids: log.expect_ids,
                no_ids: log.no_expect_ids,
                log_contains: log.match_regex,
                no_log_contains: log.no_match_regex,
            },
        })
    }
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    use ::base64::Engine as _;
    let text: String = text.split_whitespace().collect();
    let decoded = ::base64::engine::general_purpose::STANDARD.decode(text);
    decoded.map_err(|error| format!("encoded_request: {error}"))
}

/// `{{ "text" | repeat 3 }}`, the only template of the tests; others stay as they are.
fn expand(data: &str) -> String {
    let mut out = String::new();
    let mut rest = data;
    while let Some((before, after)) = rest.split_once("{{") {
        let repeated = after.split_once("}}").and_then(|(template, after)| {
            let (text, count) = template.split_once('|')?;
            let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
            let count: usize = count.trim().strip_prefix("repeat ")?.trim().parse().ok()?;
            Some((text.repeat(count), after))
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
