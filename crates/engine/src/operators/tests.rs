//! The vectors of secrules-language-tests.

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde_json::Value;

use coraza_seclang::rules::Network;

use super::*;
use crate::{detect, testdata};

/// Vectors of arguments that the rule parser refuses, as ModSecurity's does: they never get here.
const REFUSED_BY_PARSER: [&str; 3] = ["validateByteRange#1", "validateByteRange#2", "validateByteRange#3"];

/// The file that a vector of `pmFromFile` names.
const WORDS_FILE: &str = "vectors/operators/op/pmFromFile-01.dat";

#[test]
fn language_test_vectors() {
    testdata::for_each_vector("vectors/operators", &[], |file, vector| {
        let (input, argument) = (
            testdata::bytes(vector, "input_b64"),
            testdata::bytes(vector, "param_b64"),
        );
        let id = format!("{file}#{}", vector["index"]);
        if REFUSED_BY_PARSER.contains(&id.as_str()) {
            return None;
        }
        let matched = matches(vector["name"].as_str().unwrap(), &input, &argument)?;
        Some((i64::from(matched).to_string(), vector["ret"].to_string()))
    });
}

/// Whether the operator matches; none for operators that need a database or a regular expression.
fn matches(name: &str, value: &[u8], argument: &[u8]) -> Option<bool> {
    let (left, right) = (number::parse(value), number::parse(argument));
    Some(match name {
        "beginsWith" => text::begins_with(value, argument),
        "contains" | "strmatch" => text::contains(value, argument),
        "containsWord" => text::contains_word(value, argument),
        "endsWith" => text::ends_with(value, argument),
        "streq" => text::equals(value, argument),
        "within" => text::within(value, argument),
        "eq" => left == right,
        "ge" => left >= right,
        "gt" => left > right,
        "le" => left <= right,
        "lt" => left < right,
        "ipMatch" => networks(argument).contains(value),
        "pm" => words::Words::new(argument.split(u8::is_ascii_whitespace))
            .unwrap()
            .is_match(value),
        "pmFromFile" => words::Words::from_file(&testdata::read(WORDS_FILE)?)
            .unwrap()
            .is_match(value),
        "validateByteRange" => byte_ranges(argument).is_violated_by(value),
        "validateUrlEncoding" => validate::is_invalid_url_encoding(value),
        "validateUtf8Encoding" => validate::is_invalid_utf8(value),
        "verifyCC" => any_candidate(value, argument, identity::is_card_number),
        "verifycpf" => any_candidate(value, argument, identity::is_cpf),
        "verifyssn" => any_candidate(value, argument, identity::is_us_ssn),
        "verifysvnr" => any_candidate(value, argument, identity::is_svnr),
        "detectSQLi" => detect::sqli::detect(value).is_some(),
        "detectXSS" => detect::xss::detect(value),
        "noMatch" => false,
        "unconditionalMatch" => true,
        _ => return None,
    })
}

fn networks(argument: &[u8]) -> networks::Networks {
    argument
        .split(|byte| *byte == b',')
        .filter_map(|network| Network::parse(network.trim_ascii()))
        .collect()
}

fn byte_ranges(argument: &[u8]) -> validate::ByteRanges {
    let text = std::str::from_utf8(argument).unwrap();
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.trim().parse().unwrap()..=last.trim().parse().unwrap()
    };
    text.split(',').map(range).collect()
}

/// Whether what the pattern finds from any place on passes the check.
fn any_candidate(value: &[u8], pattern: &[u8], is_valid: impl Fn(&[u8]) -> bool) -> bool {
    let pattern = std::str::from_utf8(pattern).unwrap();
    let bytes = syntax::Config::new().unicode(false).utf8(false);
    let regex = Regex::builder().syntax(bytes).build(pattern).unwrap();
    (0..=value.len()).any(|from| {
        let found = regex.find(Input::new(value).span(from..value.len()));
        found.is_some_and(|found| is_valid(&value[found.range()]))
    })
}

#[test]
fn national_ids_of_coraza() {
    let Some(text) = testdata::read("vectors/coraza-only.json") else {
        return;
    };
    let vectors: Vec<Value> = serde_json::from_slice(&text).unwrap();
    for vector in vectors.iter().filter(|vector| vector["name"] == "validateNid") {
        let (input, argument) = (
            testdata::bytes(vector, "input_b64"),
            testdata::bytes(vector, "param_b64"),
        );
        let matched = match argument.split_at(3) {
            (b"cl ", pattern) => any_candidate(&input, pattern, identity::is_chilean_rut),
            (_, pattern) => any_candidate(&input, pattern, identity::is_us_ssn),
        };
        assert_eq!(i64::from(matched), vector["ret"], "{vector}");
    }
}
