//! ModSecurity's regression cases, as far as processors decide them: each value that libmodsecurity's rules looked at must be one
//! that we find.

use serde_json::Value;

use super::*;
use crate::testdata::{bytes, for_each_vector};

/// Files of cases that are about bodies, queries and cookies.
const FILES: [&str; 8] = [
    "request-body-parser-",
    "variable-MULTIPART_",
    "variable-FILES",
    "variable-ARGS",
    "variable-REQUEST_COOKIES",
    "variable-URLENCODED_ERROR",
    "action-ctl_request_body_processor",
    "secargumentslimit",
];

/// Cases where we differ on purpose: B7 of `DEVIATIONS.md` (3.0.15 never fills `MULTIPART_FILE_LIMIT_EXCEEDED`).
const KNOWN: [&str; 1] = ["request-body-parser-multipart#40"];

#[test]
fn modsecurity_regression_cases() {
    for_each_vector("vectors/regression", &KNOWN, |file, case| {
        let applies = FILES.iter().any(|prefix| file.starts_with(prefix)) && case["skip"].is_null();
        let looked_at = applies.then(|| looked_at(case))?;
        if looked_at.is_empty() {
            return None;
        }
        let found = found(case);
        let missing: Vec<_> = looked_at.iter().filter(|value| !found.contains(value)).collect();
        let text = if missing.is_empty() {
            String::new()
        } else {
            format!("{missing:?} of {found:?}")
        };
        Some((text, String::new()))
    });
}

/// `VARIABLE:key=value` of what the rules looked at, if a processor decides it and no transformation changed it.
fn looked_at(case: &Value) -> Vec<String> {
    let rules: Vec<&str> = case["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut transformed = false;
    let mut looked_at = Vec::new();
    for event in case["oracle"]["trace"].as_array().unwrap() {
        if event[0] == "rule" {
            let id = event[1].to_string();
            let rule = rules
                .iter()
                .find(|rule| rule.contains(&format!("id:{id}")) || rule.contains(&format!("id:'{id}")));
            transformed = rule.is_none_or(|rule| rule.replace("t:none", "").contains(",t:"));
        }
        let (variable, value) = (event[1].as_str(), event[2].as_str());
        if let (true, Some(variable), Some(value)) = (event[0] == "target" && !transformed, variable, value)
            && is_ours(variable)
        {
            looked_at.push(format!("{variable}={value}"));
        }
    }
    looked_at
}

fn is_ours(variable: &str) -> bool {
    let collection = variable.split(':').next().unwrap_or_default();
    let scalar = collection == variable;
    match collection {
        "ARGS"
        | "ARGS_NAMES"
        | "FILES"
        | "FILES_NAMES"
        | "FILES_SIZES"
        | "REQUEST_COOKIES"
        | "REQUEST_COOKIES_NAMES" => !scalar,
        "FILES_COMBINED_SIZE" | "REQBODY_ERROR" | "REQBODY_PROCESSOR_ERROR" | "URLENCODED_ERROR" => true,
        name => name.starts_with("MULTIPART_"),
    }
}

/// The same of what we find.
fn found(case: &Value) -> Vec<String> {
    let mut variables = Vec::new();
    let request = &case["request"];
    let uri = request["uri"].as_str().unwrap_or_default();
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let headers: Vec<(&str, &str)> = request["headers"].as_array().unwrap().iter().map(pair).collect();
    let mut options = options(case);
    let (_, mut outcome) = collect_into(&mut variables, |sink| {
        urlencoded::parse(query.as_bytes(), &options, sink)
    });
    options.arguments -= variables.len() / 2;
    for (_, cookies) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
        cookies::parse(cookies.as_bytes(), |name, value| {
            let (name, value) = (text(name), text(value));
            variables.push(format!("REQUEST_COOKIES_NAMES:{name}={name}"));
            variables.push(format!("REQUEST_COOKIES:{name}={value}"));
        });
    }
    let content_type = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value);
    if let Some(processor) = processor(case, content_type) {
        let body = bytes(request, "body_b64");
        let (sizes, read) = collect_into(&mut variables, |sink| {
            process(processor, content_type.as_bytes(), &body, &options, sink)
        });
        variables.push(format!("FILES_COMBINED_SIZE={sizes}"));
        outcome.invalid_escape |= read.invalid_escape;
        outcome = Outcome {
            invalid_escape: outcome.invalid_escape,
            ..read
        };
    }
    scalars(&outcome, &mut variables);
    variables
}

fn pair(header: &Value) -> (&str, &str) {
    (header[0].as_str().unwrap(), header[1].as_str().unwrap())
}

fn text(bytes: &[u8]) -> String {
    bytes
        .escape_ascii()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
        .replace("\\n", "\\x0a")
        .replace("\\r", "\\x0d")
}

/// The settings of a case; its rules name JSON arrays as ModSecurity does.
fn options(case: &Value) -> Options {
    let setting = |name: &str| {
        let rules = case["rules"].as_array().unwrap();
        let value = rules.iter().find_map(|rule| rule.as_str()?.strip_prefix(name));
        value.and_then(|value| value.trim().parse().ok())
    };
    let default = Options::default();
    Options {
        arguments: setting("SecArgumentsLimit").unwrap_or(default.arguments),
        json_depth: setting("SecRequestBodyJsonDepthLimit").unwrap_or(default.json_depth),
        files: setting("SecUploadFileLimit").unwrap_or(default.files),
        json_array_keys: json::ArrayKeys::Prefixed,
        ..default
    }
}

/// The processor that a case's rules, or else its `Content-Type`, choose.
fn processor(case: &Value, content_type: &str) -> Option<BodyProcessor> {
    let rules = case["rules"].to_string().to_ascii_lowercase();
    let content_type = content_type.to_ascii_lowercase();
    let chosen = |name: &str| rules.contains(&format!("requestbodyprocessor={name}"));
    if chosen("json") {
        Some(BodyProcessor::Json)
    } else if chosen("xml") {
        Some(BodyProcessor::Xml)
    } else if chosen("urlencoded") || content_type == "application/x-www-form-urlencoded" {
        Some(BodyProcessor::UrlEncoded)
    } else {
        content_type
            .starts_with("multipart/")
            .then_some(BodyProcessor::Multipart)
    }
}

/// Runs a processor, appends the variables that its findings fill, and returns the files' size and the outcome.
fn collect_into(variables: &mut Vec<String>, process: impl FnOnce(&mut Sink<'_>) -> Outcome) -> (usize, Outcome) {
    let mut sizes = 0;
    let outcome = process(&mut |finding| match finding {
        Found::Argument { name, value } => {
            let (name, value) = (text(name), text(value));
            variables.extend([format!("ARGS_NAMES:{name}={name}"), format!("ARGS:{name}={value}")]);
        }
        Found::File(file) => {
            let (name, size) = (text(file.name), file.content.len());
            sizes += size;
            variables.push(format!("FILES:{name}={}", text(file.filename)));
            variables.push(format!("FILES_NAMES:{name}={name}"));
            variables.push(format!("FILES_SIZES:{name}={size}"));
        }
        Found::PartName(name) => variables.push(format!("MULTIPART_NAME:{0}={0}", text(name))),
        Found::PartFilename(name) => variables.push(format!("MULTIPART_FILENAME:{0}={0}", text(name))),
        Found::PartHeader { part, line } => {
            variables.push(format!("MULTIPART_PART_HEADERS:{}={}", text(part), text(line)));
        }
        Found::XmlText(_) | Found::XmlAttribute(_) => {}
    });
    (sizes, outcome)
}

fn scalars(outcome: &Outcome, variables: &mut Vec<String>) {
    let mut set = |name: &str, value: u8| variables.push(format!("{name}={value}"));
    set("REQBODY_ERROR", outcome.error.is_some().into());
    set("REQBODY_PROCESSOR_ERROR", outcome.error.is_some().into());
    set("URLENCODED_ERROR", outcome.invalid_escape.into());
    let Some(flags) = outcome.multipart else {
        return;
    };
    for (variable, value) in flags.variables() {
        set(variable.name(), value);
    }
}
