//! What fuzzing calls with any bytes at all: parser to program, whole transactions (by plan and naively), each body processor, each transformation, regular
//! expressions, libinjection. Each target states what must hold; that nothing panics is one thing, that work and memory stay within their
//! bounds is another. Used by the tests, which run what was found before, and by the fuzzer in `fuzz/`. No IO.

use std::alloc::System;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cap::Cap;
use coraza_engine::body::{self, BodyProcessor, Found};
use coraza_engine::detect::{sqli, xss};
use coraza_engine::pattern::{Limits, Locator, Pattern};
use coraza_engine::transaction::{Connection, Identity, Report, RequestLine, Transaction, states};
use coraza_engine::transformations::{self, Effect, UnicodeMap};
use coraza_engine::{Evaluation, Options, Program};
use coraza_seclang::rules::Transformation;
use coraza_seclang::{lower, parse};

/// Counts what is allocated, and refuses more than a target may take: the process then aborts, which is a finding like a panic.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// A target.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// How many bytes an input has at most, for the fuzzer; a target takes any number.
    pub(crate) longest: usize,
    /// How much it may allocate: so many bytes, and so many more for each byte of the input.
    memory: (usize, usize),
    run: fn(&[u8]),
}

const MIB: usize = 1 << 20;

pub(crate) const TARGETS: [Target; 11] = [
    // Each rule may have an automaton with its cache; a rule has some thirty bytes at least.
    target("program", 4096, (16 * MIB, 16 << 10), program),
    // TX, and the match caches of all rules.
    target("transaction", 8192, (64 * MIB, 4 << 10), transaction),
    target("urlencoded", 8192, (MIB, 64), urlencoded),
    target("multipart", 8192, (MIB, 64), multipart),
    target("json", 8192, (2 * MIB, 64), json),
    target("xml", 8192, (MIB, 64), xml),
    target("cookies", 8192, (MIB, 64), cookies),
    target("transformation", 4096, (MIB, 64), transformation),
    target("pattern", 1024, (8 * MIB, 4 << 10), pattern),
    target("sqli", 4096, (MIB, 0), detect_sqli),
    target("xss", 4096, (MIB, 0), detect_xss),
];

const fn target(name: &'static str, longest: usize, memory: (usize, usize), run: fn(&[u8])) -> Target {
    Target {
        name,
        longest,
        memory,
        run,
    }
}

impl Target {
    pub(crate) fn run(&self, input: &[u8]) {
        // What lives longer than one input isn't the input's.
        LazyLock::force(&PROGRAMS);
        let (base, each) = self.memory;
        let most = base.saturating_add(each.saturating_mul(input.len()));
        let limited = ALLOCATOR.set_limit(ALLOCATOR.allocated().saturating_add(most));
        assert!(limited.is_ok(), "the limit is above what is allocated");
        (self.run)(input);
        let unlimited = ALLOCATOR.set_limit(usize::MAX);
        assert!(unlimited.is_ok());
    }
}

/// Bounds of patterns that keep an input of the fuzzer to some milliseconds.
const LIMITS: Limits = Limits {
    pattern_bytes: 1 << 10,
    nesting: 50,
    automaton_bytes: 64 << 10,
    cache_bytes: 256 << 10,
};

/// How much work a transaction may be: its limit, and what a rule may add to it that has begun before.
const MAX_WORK: u64 = 250_000_000 + 64_000_000;

/// Rules from text; if they are rules, a request runs through them.
fn program(input: &[u8]) {
    let parsed = Arc::new(parse(input));
    let (rules, _) = lower(std::slice::from_ref(&parsed));
    let options = Options {
        patterns: LIMITS,
        ..Options::default()
    };
    let judge = |pattern: &[u8]| Pattern::compile(pattern, &LIMITS).map(|_| ());
    let checked = Program::check(&rules, &options, &judge);
    let compiled = Program::compile(&rules, &options);
    assert_eq!(
        checked.err(),
        compiled.as_ref().err().cloned(),
        "what is accepted is what is enforced"
    );
    if let Ok(program) = compiled {
        run(&Arc::new(program), b"/a?b=c&d=%27x", b"X: y", b"e=f&g=%00%ff", 0);
    }
}

/// Rules that use each operator, transformation, variable and action, over whatever a client and a server say: run by their plan, and
/// naively.
static PROGRAMS: LazyLock<(Arc<Program>, Arc<Program>)> = LazyLock::new(|| {
    let parsed = Arc::new(parse(include_bytes!("rules.conf")));
    let (rules, diagnostics) = lower(&[parsed]);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let compile = |evaluation| {
        let options = Options {
            evaluation,
            ..Options::default()
        };
        let compiled = Program::compile(&rules, &options);
        Arc::new(compiled.unwrap_or_else(|errors| panic!("{errors:?}")))
    };
    (compile(Evaluation::Planned), compile(Evaluation::Naive))
});

/// The first byte says what is sent how; then a line with the URI, header lines, an empty line, the body.
fn transaction(input: &[u8]) {
    let (kind, text) = input.split_first().map_or((0, input), |(kind, text)| (*kind, text));
    let (uri, rest) = split(text, b"\n");
    let (headers, body) = split(rest, b"\n\n");
    let report = compare(&PROGRAMS, uri, headers, body, kind);
    for (_, line) in report.error_log() {
        assert!(line.len() < 8 << 10 && !line.contains('\n'), "{line}");
    }
    if let Some(record) = report.audit_log {
        assert!(record.len() < MIB && !record.contains('\n'));
        assert!(serde_json::from_str::<serde_json::Value>(&record).is_ok(), "{record}");
    }
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = text.windows(separator.len()).position(|window| window == separator);
    match at {
        Some(at) => (&text[..at], &text[at + separator.len()..]),
        None => (text, b""),
    }
}

const TYPES: [&[u8]; 8] = [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=0",
    b"application/json",
    b"text/xml",
    b"text/plain",
    b"multipart/form-data; boundary=\"a b\"; charset=x",
    b"",
    b"application/x-www-form-urlencoded; charset=utf-8",
];

/// Runs both ways. A plan saves work and nothing else, so only what reaches the limit of work may differ.
fn compare(programs: &(Arc<Program>, Arc<Program>), uri: &[u8], headers: &[u8], body: &[u8], kind: u8) -> Report {
    let planned = run(&programs.0, uri, headers, body, kind);
    let naive = run(&programs.1, uri, headers, body, kind);
    if !naive.exceeded {
        assert_eq!(planned.matched, naive.matched);
        assert_eq!(planned.interruption, naive.interruption);
        assert_eq!(planned.interrupted, naive.interrupted);
        assert_eq!(planned.audit_log, naive.audit_log);
    }
    planned
}

fn run(program: &Arc<Program>, uri: &[u8], headers: &[u8], body: &[u8], kind: u8) -> Report {
    let report = finish(program, uri, headers, body, kind)
        .unwrap_or_else(|ended| ended)
        .log();
    assert!(report.work <= MAX_WORK, "{}", report.work);
    let interruption = report.interruption.as_ref();
    assert!(!report.interrupted || interruption.is_some());
    report
}

type Ended = Transaction<states::Logging>;

fn finish(program: &Arc<Program>, uri: &[u8], headers: &[u8], body: &[u8], kind: u8) -> Result<Ended, Ended> {
    let connection = Connection {
        client_address: b"192.0.2.1",
        client_port: 1234,
        server_address: b"192.0.2.2",
        server_port: 80,
    };
    let identity = Identity {
        unique_id: b"id",
        started: Duration::from_secs(1_795_993_605),
    };
    let line = RequestLine {
        method: if kind & 8 == 0 { b"POST" } else { b"GET" },
        uri,
        protocol: b"HTTP/1.1",
    };
    let content_type = (&b"Content-Type"[..], TYPES[usize::from(kind & 7)]);
    let lines = headers.split(|byte| *byte == b'\n').map(|line| split(line, b": "));
    let all = lines.filter(|(name, _)| !name.is_empty()).chain([content_type]);
    let transaction = Transaction::new(program, &connection, &identity);
    let mut request = transaction.request_headers(&line, all);
    // In two pieces, as bodies come.
    let (first, second) = body.split_at(body.len() / 2);
    for piece in [first, second] {
        request = request.and_then(|request| request.append(piece));
    }
    let response = request.and_then(Transaction::<states::RequestBody>::request_body);
    let status = if kind & 16 == 0 { 200 } else { 500 };
    let headers = [(&b"Content-Type"[..], &b"text/html"[..]), (&b"X-Body"[..], body)];
    let response = response.and_then(|response| response.response_headers(status, b"HTTP/1.1", headers));
    let response = response.and_then(|response| response.append(body));
    let ended = response.and_then(Transaction::<states::ResponseBody>::response_body);
    ended.map_err(|interrupted| interrupted.transaction)
}

fn urlencoded(input: &[u8]) {
    processor(BodyProcessor::UrlEncoded, b"", input);
}

/// The first line is the `Content-Type`.
fn multipart(input: &[u8]) {
    let (content_type, body) = split(input, b"\n");
    processor(BodyProcessor::Multipart, content_type, body);
}

fn json(input: &[u8]) {
    processor(BodyProcessor::Json, b"", input);
}

fn xml(input: &[u8]) {
    processor(BodyProcessor::Xml, b"", input);
}

fn processor(processor: BodyProcessor, content_type: &[u8], body: &[u8]) {
    let (mut found, mut bytes) = (0, 0);
    let outcome = body::process(
        processor,
        content_type,
        body,
        &body::Options::default(),
        &mut |finding| {
            found += 1;
            bytes += match finding {
                Found::Argument { name, value } => name.len() + value.len(),
                Found::File(file) => file.name.len() + file.filename.len() + file.content.len(),
                Found::PartName(name) | Found::PartFilename(name) => name.len(),
                Found::PartHeader { part, line } => part.len() + line.len(),
                Found::XmlText(text) | Found::XmlAttribute(text) => text.len(),
            };
        },
    );
    // As the crate's own tests have it: linear, and a MiB for the names of nested JSON.
    let length = content_type.len() + body.len();
    let most = 6 * length + MIB + 2048;
    assert!(outcome.work <= most, "{} of {length} bytes", outcome.work);
    assert!(bytes <= most, "{bytes} bytes found in {length}");
    assert!(found <= length + 2, "{found} findings in {length} bytes");
}

fn cookies(input: &[u8]) {
    let mut bytes = 0;
    body::cookies::parse(input, |name, value| bytes += name.len() + value.len());
    assert!(bytes <= input.len());
}

/// The first byte says which, and with which map.
fn transformation(input: &[u8]) {
    let Some((which, text)) = input.split_first() else {
        return;
    };
    let all = Transformation::ALL;
    let transformation = all[usize::from(*which) % all.len()];
    let map = if *which & 128 == 0 {
        UnicodeMap::LowByte
    } else {
        UnicodeMap::UsAscii
    };
    let (mut once, mut again) = (Vec::new(), b"left over".to_vec());
    let effect = transformations::apply(transformation, map, text, &mut once);
    // Digests and numbers have a length of their own; nothing else makes more than six bytes of one.
    assert!(
        once.len() <= 6 * text.len() + 64,
        "{transformation}: {} of {}",
        once.len(),
        text.len()
    );
    let repeated = transformations::apply(transformation, map, text, &mut again);
    assert_eq!(effect, repeated, "{transformation}");
    if effect == Effect::Changed {
        assert_eq!(once, again, "{transformation} depends on what was there before");
    }
}

/// A line with a pattern, then what it is looked for in.
fn pattern(input: &[u8]) {
    let (text, haystack) = split(input, b"\n");
    let Ok(pattern) = Pattern::compile(text, &LIMITS) else {
        return;
    };
    let mut cache = pattern.create_cache();
    let matches = pattern.is_match(&mut cache, haystack);
    let Some(locator) = Locator::compile(text, &LIMITS, true) else {
        return;
    };
    let found = locator.captures(&mut locator.create_cache(), haystack, 0);
    assert_eq!(
        found.is_some(),
        matches,
        "where it matches is known if and only if it does"
    );
    let places: Vec<_> = found.into_iter().flatten().flatten().collect();
    let Some(whole) = places.first() else { return };
    for group in &places {
        assert!(
            whole.start <= group.start && group.start <= group.end && group.end <= whole.end,
            "{group:?} of {whole:?}"
        );
    }
    assert!(whole.end <= haystack.len());
}

fn detect_sqli(input: &[u8]) {
    if let Some(fingerprint) = sqli::detect(input) {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
    }
}

fn detect_xss(input: &[u8]) {
    xss::detect(input);
}
