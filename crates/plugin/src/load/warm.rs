//! Requests that a new program is run on before it serves. No IO.

use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, Interrupted, RequestLine, states};
use coraza_engine::{Program, Transaction};

/// Query, content type and body of each. Each brings a few values that the ones before it don't have: what rules make of a value for the first
/// time takes long, and all that one request brings is made at once.
const REQUESTS: [(&[u8], &[u8], &[u8]); 8] = [
    (b"/", FORM, b""),
    (b"/index.html?id=1", FORM, b""),
    (b"/index.html?name=value%20with+space", FORM, b""),
    (b"/?q=1'2\"3", FORM, b""),
    (b"/?q=3(4)5;6", FORM, b""),
    (b"/", FORM, b"a=b&text=some+words"),
    (b"/api/v1/items?page=2", JSON, b"{\"name\":\"value\"}"),
    (b"/api/v1/items", JSON, b"{\"list\":[1,2,\"three\"]}"),
];

const FORM: &[u8] = b"application/x-www-form-urlencoded";
const JSON: &[u8] = b"application/json";

/// The requests on their way.
#[derive(Debug, Default)]
pub(super) struct Warming {
    /// The place of the request whose turn it is.
    request: usize,
    phase: Phase,
}

/// What comes next for that request.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    RequestHeaders,
    RequestBody(Transaction<states::RequestBody>),
    ResponseHeaders(Transaction<states::ResponseHeaders>),
    ResponseBody(Transaction<states::ResponseBody>),
    Logging(Transaction<states::Logging>),
}

impl Warming {
    /// Runs one more phase; whether there was one.
    pub(super) fn step(&mut self, program: &Arc<Program>) -> bool {
        let Some((uri, kind, body)) = REQUESTS.get(self.request) else {
            return false;
        };
        let next = match std::mem::take(&mut self.phase) {
            Phase::RequestHeaders => request_headers(program, uri, kind, body.len()).map(Phase::RequestBody),
            Phase::RequestBody(transaction) => transaction
                .append(body)
                .and_then(Transaction::request_body)
                .map(Phase::ResponseHeaders),
            Phase::ResponseHeaders(transaction) => {
                let headers: [(&[u8], &[u8]); 2] = [(b"content-type", b"text/html"), (b"content-length", b"26")];
                transaction
                    .response_headers(200, b"HTTP/1.1", headers)
                    .map(Phase::ResponseBody)
            }
            Phase::ResponseBody(transaction) => transaction
                .append(b"<html><body>text</body></html>")
                .and_then(Transaction::response_body)
                .map(Phase::Logging),
            Phase::Logging(transaction) => {
                transaction.log();
                self.request += 1;
                return true;
            }
        };
        // An interruption ends a request early, and then there is nothing more of it to warm.
        self.phase = next.unwrap_or_else(|interrupted: Interrupted| Phase::Logging(interrupted.transaction));
        true
    }
}

fn request_headers(
    program: &Arc<Program>,
    uri: &[u8],
    kind: &[u8],
    length: usize,
) -> Result<Transaction<states::RequestBody>, Interrupted> {
    let connection = Connection {
        client_address: b"127.0.0.1",
        client_port: 1,
        server_address: b"127.0.0.1",
        server_port: 80,
    };
    let line = RequestLine {
        method: b"POST",
        uri,
        protocol: b"HTTP/1.1",
    };
    let length = length.to_string();
    let headers: [(&[u8], &[u8]); 6] = [
        (b"host", b"localhost"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"accept", b"text/html,*/*;q=0.8"),
        (b"cookie", b"session=0123456789abcdef"),
        (b"content-type", kind),
        (b"content-length", length.as_bytes()),
    ];
    Transaction::new(program, &connection, &Identity::default()).request_headers(&line, headers)
}
