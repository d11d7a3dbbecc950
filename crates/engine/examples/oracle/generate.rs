//! Requests made of those of the Core Rule Set's tests: their values, changed, in other places and encodings. No IO, no chance: a seed
//! gives the same requests everywhere.

use super::compare::Input;
use coraza_ftw::{Case, Request, Response};

/// What a value is cut to: the reference takes quadratic time over long ones.
const MAX_VALUE: usize = 400;

/// Bytes that mean something to one parser or other.
const SPECIAL: &[u8] = b"'\"`<>()[]{};:,.=+-*/\\|&%#$@!?^~_ \t\r\n\x0b\x01\x7f\x80\xc0\xe2\xff0123456789abcxyzABC";

/// Names of fields.
const NAMES: [&[u8]; 10] = [
    b"id",
    b"q",
    b"name",
    b"user[0]",
    b"file",
    b"data.x",
    b"_",
    b"page-1",
    b"callback",
    b"x'y",
];

/// Headers that rules look at.
const HEADERS: [&[u8]; 6] = [
    b"Referer",
    b"X-Test",
    b"User-Agent",
    b"X-Forwarded-For",
    b"Range",
    b"Accept",
];

/// Pieces that mean something to a transformation.
const PIECES: [&[u8]; 9] = [
    b"/**/", b"&lt;", b"&#x27;", b"%u0027", b"\\u003c", b"\\x3c", b"%00", b"--", b"../",
];

/// Makes the requests of these numbers; none depends on another.
pub(crate) fn requests(tests: &[Case], numbers: &[usize], seed: u64) -> Vec<Input> {
    let values = values(tests);
    numbers
        .iter()
        .map(|number| {
            let mut random = Random(seed.wrapping_add((*number as u64) << 20));
            let request = request(&mut random, &values);
            Input {
                name: format!("generated-{seed}-{number}"),
                port: 80,
                request,
                response: Response::default(),
            }
        })
        .collect()
}

/// The values in the tests' requests: of queries, forms and headers, and whole bodies.
fn values(tests: &[Case]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for stage in tests.iter().flat_map(|test| &test.stages) {
        let Request { uri, headers, body, .. } = &stage.request;
        let query = uri.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
        for text in [query, body.as_slice()] {
            for pair in text.split(|byte| *byte == b'&') {
                let value = pair.splitn(2, |byte| *byte == b'=').last().unwrap_or_default();
                values.push(unescape(value));
            }
        }
        for (name, value) in headers {
            let is_own = [b"host".as_slice(), b"accept", b"content-length", b"connection"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own));
            if !is_own && value != b"OWASP CRS test agent" {
                values.push(value.clone());
            }
        }
        values.extend(uri.split(|byte| *byte == b'?').next().map(<[u8]>::to_vec));
    }
    values.retain(|value| !value.is_empty());
    values.iter_mut().for_each(|value| value.truncate(MAX_VALUE));
    values.sort();
    values.dedup();
    values
}

/// Decodes a form's escapes; what isn't one stays.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                out.push(high << 4 | low);
                rest = after;
            }
            _ => out.push(*first),
        }
    }
    out
}

fn request(random: &mut Random, values: &[Vec<u8>]) -> Request {
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"Host".to_vec(), b"localhost".to_vec()),
        (b"User-Agent".to_vec(), b"OWASP CRS test agent".to_vec()),
        (b"Accept".to_vec(), b"text/html, */*;q=0.5".to_vec()),
    ];
    let fields: Vec<(Vec<u8>, Vec<u8>)> = (0..random.below(4))
        .map(|_| {
            let name = match random.below(8) {
                0 => value(random, values),
                _ => random.pick(&NAMES).to_vec(),
            };
            (name, value(random, values))
        })
        .collect();
    let mut uri = match random.below(6) {
        0 => {
            let path = value(random, values);
            [b"/".to_vec(), escape(random, &path, b"?#\0")].concat()
        }
        _ => b"/path/page.html".to_vec(),
    };
    match random.below(8) {
        0 => headers.push((b"Cookie".to_vec(), cookies(random, &fields))),
        1 => {
            let name = random.pick(&HEADERS);
            let value = line(&value(random, values));
            headers.retain(|(own, _)| own != name);
            headers.push((name.to_vec(), value));
        }
        _ => {}
    }
    let (kind, body): (&[u8], Vec<u8>) = match random.below(7) {
        0 | 1 => (b"", Vec::new()),
        2 | 3 => (b"application/x-www-form-urlencoded", form(random, &fields)),
        4 => (b"application/json", json(&fields)),
        5 => (b"multipart/form-data; boundary=bound-ary", multipart(random, &fields)),
        _ => (b"text/xml", xml(&fields)),
    };
    let mut method: &[u8] = b"POST";
    if kind.is_empty() {
        method = b"GET";
        uri.push(b'?');
        uri.extend(form(random, &fields));
    } else {
        headers.push((b"Content-Type".to_vec(), kind.to_vec()));
        headers.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
    }
    Request {
        method: method.to_vec(),
        uri,
        version: b"HTTP/1.1".to_vec(),
        headers,
        body,
    }
}

/// One value of the tests, or two in one, changed a little.
fn value(random: &mut Random, values: &[Vec<u8>]) -> Vec<u8> {
    let mut value = random.pick(values).clone();
    for _ in 0..random.below(4) {
        let (at, end) = (random.below(value.len() + 1), random.below(value.len() + 1));
        let (from, to) = (at.min(end), at.max(end));
        match random.below(9) {
            0 => {
                let other = random.pick(values);
                value.splice(at..at, other.iter().copied());
            }
            1 => {
                value.drain(from..to.min(from + 12));
            }
            2 => {
                let copy = value.get(from..to.min(from + 12)).unwrap_or_default().to_vec();
                value.splice(to..to, copy);
            }
            3 | 4 => {
                let byte = *random.pick(SPECIAL);
                value.insert(at, byte);
            }
            5 => value
                .iter_mut()
                .skip(from)
                .take(8)
                .for_each(|byte| *byte ^= if byte.is_ascii_alphabetic() { 0x20 } else { 0 }),
            6 => value = escape(random, &value, b"%"),
            7 => {
                let text = random.pick(&PIECES);
                value.splice(at..at, text.iter().copied());
            }
            _ => {
                if let Some(byte) = value.get_mut(from) {
                    *byte = *random.pick(SPECIAL);
                }
            }
        }
        value.truncate(MAX_VALUE);
    }
    value
}

fn form(random: &mut Random, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| [escape(random, name, b"&=#%+\0 "), escape(random, value, b"&#%+\0 ")].join(&b'='))
        .collect();
    pairs.join(&b'&')
}

/// Escapes some bytes: those that must be, those that a line can't hold, and others by chance.
fn escape(random: &mut Random, text: &[u8], must: &[u8]) -> Vec<u8> {
    let often = random.below(3) == 0;
    let mut out = Vec::with_capacity(text.len() * 2);
    for byte in text {
        let must = must.contains(byte) || *byte <= b' ' || *byte >= 0x7f;
        // Now and then what should be escaped isn't.
        if must && random.below(50) > 0 || often && random.below(3) == 0 || *byte <= b' ' {
            out.extend(format!("%{byte:02x}").bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

/// What fits into one line of a head.
fn line(text: &[u8]) -> Vec<u8> {
    let fits = text.iter().copied().filter(|byte| !matches!(byte, 0 | b'\r' | b'\n'));
    fits.collect::<Vec<_>>().trim_ascii().to_vec()
}

fn cookies(random: &mut Random, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| [line(name), line(&escape(random, value, b";"))].join(&b'='))
        .collect();
    pairs.join(b"; ".as_slice())
}

fn json(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let text = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes).into_owned());
    let object: serde_json::Map<String, serde_json::Value> = fields
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), text(value)))
        .collect();
    serde_json::Value::from(object).to_string().into_bytes()
}

fn multipart(random: &mut Random, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(b"--bound-ary\r\nContent-Disposition: form-data; name=\"");
        body.extend(line(name).into_iter().filter(|byte| *byte != b'"'));
        if random.below(3) == 0 {
            body.extend_from_slice(b"\"; filename=\"");
            body.extend(line(value).into_iter().filter(|byte| *byte != b'"').take(60));
            body.extend_from_slice(b"\"\r\nContent-Type: text/plain");
        } else {
            body.push(b'"');
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--bound-ary--\r\n");
    body
}

fn xml(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = b"<?xml version=\"1.0\"?><root>".to_vec();
    for (_, value) in fields {
        let text = String::from_utf8_lossy(value)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;");
        body.extend(format!("<item attribute=\"{text}\">{text}</item>").bytes());
    }
    body.extend_from_slice(b"</root>");
    body
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for this.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not `bound`; 0 if that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let number = self.next().checked_rem(bound as u64).unwrap_or_default();
        usize::try_from(number).unwrap_or_default()
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}
