//! Requests that a new program is run on before it serves. No IO.

use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, RequestLine};
use coraza_engine::{Program, Transaction};

/// Query, content type and body of each.
const REQUESTS: [(&[u8], &[u8], &[u8]); 2] = [
    (
        b"/index.html?id=1&name=value%20with+space&q=1'2\"3(4)5;6",
        b"application/x-www-form-urlencoded",
        b"a=b&text=some+words",
    ),
    (
        b"/api/v1/items?page=2",
        b"application/json",
        b"{\"name\":\"value\",\"list\":[1,2,\"three\"]}",
    ),
];

/// Runs the `nth` request through all phases; whether there was one.
pub(super) fn run(program: &Arc<Program>, nth: usize) -> bool {
    let Some((uri, kind, body)) = REQUESTS.get(nth) else {
        return false;
    };
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
    let length = body.len().to_string();
    let headers: [(&[u8], &[u8]); 6] = [
        (b"host", b"localhost"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"accept", b"text/html,*/*;q=0.8"),
        (b"cookie", b"session=0123456789abcdef"),
        (b"content-type", kind),
        (b"content-length", length.as_bytes()),
    ];
    let response: [(&[u8], &[u8]); 2] = [(b"content-type", b"text/html"), (b"content-length", b"26")];
    // An interruption ends it early, and then there is nothing more to warm.
    let _ = Transaction::new(program, &connection, &Identity::default())
        .request_headers(&line, headers)
        .and_then(|transaction| transaction.append(body))
        .and_then(Transaction::request_body)
        .and_then(|transaction| transaction.response_headers(200, b"HTTP/1.1", response))
        .and_then(|transaction| transaction.append(b"<html><body>text</body></html>"))
        .and_then(Transaction::response_body)
        .map(Transaction::log);
    true
}
