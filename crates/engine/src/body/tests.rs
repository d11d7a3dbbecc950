//! What holds for every processor and every input: no panic, and work within the bound.

use proptest::prelude::*;

use super::found::collect;
use super::*;

const PROCESSORS: [BodyProcessor; 5] = [
    BodyProcessor::UrlEncoded,
    BodyProcessor::Multipart,
    BodyProcessor::Json,
    BodyProcessor::Xml,
    BodyProcessor::Raw,
];

/// What the formats are made of, so that inputs get deep into the processors.
const TOKENS: [&str; 48] = [
    "a",
    "=",
    "&",
    "%",
    "%41",
    "+",
    "%zz",
    "--0",
    "--",
    "0",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "Content-Disposition: form-data; name=",
    "; filename=",
    "; filename*=",
    "\"",
    "'",
    "\\",
    ":",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\\u00",
    "\\ud83d",
    "true",
    "null",
    "1e5",
    "-",
    "<",
    ">",
    "</",
    "/>",
    "<a",
    "</a>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a [",
    "&lt;",
    "&#x41;",
    "<?xml encoding='utf-8'?>",
    "\0",
];

/// The bound of [`Outcome::work`], with the constants of [`json`] and of the longest `Content-Type`.
fn bound(len: usize) -> usize {
    6 * len + (1 << 20) + (1 << 10) + 64
}

fn run(processor: BodyProcessor, body: &[u8]) -> (Vec<String>, Outcome) {
    collect(|sink| {
        process(
            processor,
            b"multipart/form-data; boundary=0",
            body,
            &Options::default(),
            sink,
        )
    })
}

fn check(body: &[u8]) {
    for processor in PROCESSORS {
        let (_, outcome) = run(processor, body);
        assert!(outcome.work <= bound(body.len()), "{processor:?}: {}", outcome.work);
    }
}

proptest! {
    #[test]
    fn any_bytes(body: Vec<u8>, content_type: Vec<u8>) {
        check(&body);
        let _ = collect(|sink| multipart::parse(&content_type, &body, &Options::default(), sink));
        cookies::parse(&body, |name, _| assert!(!name.is_empty()));
    }

    #[test]
    fn any_tokens(tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..64)) {
        check(tokens.concat().as_bytes());
    }

    #[test]
    fn valid_json_is_no_error(tokens in prop::collection::vec((any::<String>(), any::<i64>()), 0..20)) {
        let object: serde_json::Map<_, _> = tokens.iter().map(|(key, number)| (key.clone(), (*number).into())).collect();
        let (found, outcome) = run(BodyProcessor::Json, serde_json::Value::from(object.clone()).to_string().as_bytes());
        assert_eq!(outcome.error, None);
        assert_eq!(found.len(), object.len());
    }
}

/// Twice the input is at most twice the work, and a bit, for inputs that repeat what could be quadratic.
#[test]
fn work_is_linear() {
    let part = "--0\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
    let repeated = [
        "a=%41&",
        "&",
        "[",
        "{\"a\":",
        "[1,",
        "\"\\u0041",
        "\\",
        "<a>",
        "<a b='c'",
        "<!--",
        "&lt;",
        "<![CDATA[",
        part,
        "--0\r\n",
        "--0",
        "-",
        "\r\n",
        " ",
        "<!DOCTYPE a [\"",
        "--0\r\n X: a\r\n",
    ];
    for text in repeated {
        for processor in PROCESSORS {
            let work = |times| run(processor, text.repeat(times).as_bytes()).1.work;
            let (once, twice) = (work(2000), work(4000));
            assert!(twice <= 2 * once + 64, "{processor:?} {text:?}: {once}, {twice}");
        }
    }
}

#[test]
fn raw_finds_nothing() {
    assert_eq!(run(BodyProcessor::Raw, b"a=1"), (vec![], Outcome::default()));
}

#[test]
fn errors_say_which_format_was_expected() {
    let text = |processor, body: &[u8]| run(processor, body).1.error.unwrap().to_string();
    assert_eq!(
        text(BodyProcessor::Json, b"{"),
        "JSON parsing error: the document ends too soon"
    );
    assert_eq!(
        text(BodyProcessor::Xml, b"<a>"),
        "XML parsing error: the document ends too soon"
    );
    assert_eq!(
        text(BodyProcessor::Multipart, b"a"),
        "Multipart parsing error: no boundary in the body"
    );
    let form = "&".repeat(1001);
    assert_eq!(
        text(BodyProcessor::UrlEncoded, form.as_bytes()),
        "Form parsing error: more arguments than the limit"
    );
}
