//! Known attacks and harmless texts, libinjection's own tests and corpora, and the bound on the work.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::testdata;

#[test]
fn attacks_are_found() {
    let cases: [&[u8]; 25] = [
        b"<script>alert(1)",
        b"<SCRIPT",
        b"<scr\0ipt>",
        b"<svg/onload=1>",
        b"<a onscrollend=1>",
        b"onloada=a",
        b"<img src=x onerror%09=\"alert(1)\">",
        b"a\0href=java",
        b"' onload=x",
        b"\" onload=x",
        b"` onload=x",
        b"x' style=a",
        b"<a href=javascript:x>",
        b"<a href='&#x6a;ava'>",
        b"<a attributename=href>",
        b"<!DOCTYPE html>",
        b"<!doctype",
        b"<!--[if IE]-->",
        b"<!-- ` -->",
        b"<?import x>",
        b"<!ENTITY x>",
        b"<%xml %>",
        b"<a xmlns:x=y>",
        b"<b/onload=x",
        b"x=y onload=z",
    ];
    for value in cases {
        assert!(detect(value), "{}", value.escape_ascii());
    }
}

#[test]
fn harmless_texts_are_none() {
    let cases: [&[u8]; 12] = [
        b"",
        b"hello world",
        b"a < b = c > d",
        b"<b>bold</b>",
        b"<a href=https://a.b/>",
        b"<img alt='onload'>",
        b"</script>",
        b"<!-- comment -->",
        b"javascript:alert(1)",
        b"onload",
        b"x=1&y=2",
        b"<a on=1>",
    ];
    for value in cases {
        assert!(!detect(value), "{}", value.escape_ascii());
    }
}

#[test]
fn tokens_of_libinjection_tests() {
    testdata::for_each_line("vectors/libinjection/html5.jsonl", &[], |vector| {
        let input = testdata::bytes(vector, "input_b64");
        let expected = String::from_utf8_lossy(&testdata::bytes(vector, "expected_b64")).into_owned();
        let mut tokenizer = Tokenizer::new(&input, Start::Text);
        let tokens: Vec<_> = std::iter::from_fn(|| tokenizer.next())
            .map(|token| {
                format!(
                    "{},{},{}",
                    name(token.kind),
                    token.text.len(),
                    String::from_utf8_lossy(token.text)
                )
            })
            .collect();
        (tokens.join("\n").trim_end().to_owned(), expected)
    });
}

/// The name in libinjection's tests.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "DATA_TEXT",
        Kind::TagOpen => "TAG_NAME_OPEN",
        Kind::TagOpenEnd => "TAG_NAME_CLOSE",
        Kind::SelfClosingEnd => "TAG_NAME_SELFCLOSE",
        Kind::TagClose => "TAG_CLOSE",
        Kind::AttributeName => "ATTR_NAME",
        Kind::AttributeValue => "ATTR_VALUE",
        Kind::Comment => "TAG_COMMENT",
        Kind::Doctype => "DOCTYPE",
    }
}

#[test]
fn verdicts_of_libinjection_corpora() {
    testdata::for_each_corpus_line(Path::new("vectors/libinjection/corpora"), |input, expected| {
        let expected = expected.split('\t').nth(2).unwrap();
        (u8::from(detect(input)).to_string(), expected.to_owned())
    });
}

/// Text that is dense with what HTML is made of.
fn html() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "<",
        ">",
        "/",
        "=",
        "'",
        "\"",
        "`",
        " ",
        "\0",
        "\n",
        "<!--",
        "--",
        "-!>",
        "<![CDATA[",
        "]]>",
        "<%",
        "%>",
        "<?",
        "</",
        "a",
        "svg",
        "script",
        "href",
        "onload",
        "style",
        "java",
        "&#x6a;",
        "&#",
        "data:",
        "\u{ff}",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..32).prop_map(|pieces| pieces.concat())
}

const STARTS: [Start; 5] = [
    Start::Text,
    Start::Attribute,
    Start::Quoted(b'\''),
    Start::Quoted(b'"'),
    Start::Quoted(b'`'),
];

fn work(value: &[u8], start: Start) -> usize {
    let mut tokenizer = Tokenizer::new(value, start);
    while tokenizer.next().is_some() {}
    tokenizer.work
}

proptest! {
    #[test]
    fn each_byte_is_read_once(value in html()) {
        for start in STARTS {
            prop_assert!(work(&value, start) <= value.len());
        }
    }

    #[test]
    fn contexts_that_are_left_out_hold_no_attack(value in html()) {
        let attack = STARTS.into_iter().any(|start| is_attack(&value, start));
        prop_assert_eq!(detect(&value), attack);
    }
}

#[test]
fn slashes_without_end_are_read_once() {
    for piece in ["/", "<a/", "-\0", "<!-", "=", "a=", "<", "</", "]]", "%"] {
        let value = [b"<a ", piece.repeat(20_000).as_bytes()].concat();
        for start in STARTS {
            assert!(work(&value, start) <= value.len(), "{piece}");
        }
    }
}
