//! From a request as a test writes it to what the standard runner (go-ftw) sends. No IO.

use crate::case::Request;

/// A request as a test writes it.
#[derive(Clone, Debug)]
pub struct Written {
    /// What it says of it.
    pub request: Request,
    /// All of it, for tests of what can't be written otherwise.
    pub raw: Option<Vec<u8>>,
    /// Whether the runner adds what a client would.
    pub autocomplete: bool,
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";

impl Written {
    /// What goes over the wire.
    #[must_use]
    pub fn complete(self) -> Request {
        if let Some(raw) = self.raw {
            return split(&raw);
        }
        let mut request = self.request;
        request.headers.sort_by(|(a, _), (b, _)| a.cmp(b));
        if self.autocomplete && !request.body.is_empty() {
            add(&mut request, b"Content-Type", || FORM.to_vec());
            // What is escaped already stays as it is.
            if request.header(b"Content-Type") == Some(FORM)
                && unescape(&request.body).is_some_and(|plain| plain == request.body)
            {
                request.body = escape_form(&request.body);
            }
        }
        if request
            .header(b"Content-Type")
            .is_some_and(|kind| kind.starts_with(b"multipart/form-data;"))
        {
            request.body = with_crlf(&request.body);
        }
        if self.autocomplete {
            let length = request.body.len();
            add(&mut request, b"Connection", || b"close".to_vec());
            let has_body = [b"POST".as_slice(), b"PUT", b"PATCH", b"DELETE"].contains(&request.method.as_slice());
            if length > 0 || has_body {
                add(&mut request, b"Content-Length", || length.to_string().into_bytes());
            }
        }
        request
    }
}

/// Adds a header that isn't there.
fn add(request: &mut Request, name: &[u8], value: impl FnOnce() -> Vec<u8>) {
    if request.header(name).is_none() {
        request.headers.push((name.to_vec(), value()));
    }
}

/// Every line end as the multipart format wants it.
fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for byte in body {
        if *byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// Each name and each value escaped as Go's `url.QueryEscape` does.
fn escape_form(body: &[u8]) -> Vec<u8> {
    let pairs = body.split(|byte| *byte == b'&').map(|pair| {
        let halves = pair.splitn(2, |byte| *byte == b'=').map(escape);
        halves.collect::<Vec<_>>().join(&b'=')
    });
    pairs.collect::<Vec<_>>().join(&b'&')
}

fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

/// As Go's `url.QueryUnescape`: nothing if an escape is invalid.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => *other,
        });
    }
    Some(out)
}

/// A raw request in parts, as well as it goes.
fn split(raw: &[u8]) -> Request {
    let mut rest = raw;
    let mut line = || {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 2..).unwrap_or_default();
        line
    };
    let first = line();
    let mut words = first.splitn(3, |byte| *byte == b' ').map(<[u8]>::to_vec);
    let mut word = || words.next().unwrap_or_default();
    let (method, uri, version) = (word(), word(), word());
    let mut headers = Vec::new();
    loop {
        let header = line();
        if header.is_empty() {
            break;
        }
        let colon = header.iter().position(|byte| *byte == b':').unwrap_or(header.len());
        let value = header.get(colon + 1..).unwrap_or_default();
        headers.push((
            header.get(..colon).unwrap_or_default().to_vec(),
            value.trim_ascii().to_vec(),
        ));
    }
    Request {
        method,
        uri,
        version,
        headers,
        body: rest.to_vec(),
    }
}
