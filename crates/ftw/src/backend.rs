//! What the standard backend of the Core Rule Set's tests (albedo) answers: nothing, or what a request to `/reflect` asks for. No IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::case::{Request, Response};

/// What browsers and Go's `http.DetectContentType` take for the beginning of HTML, if a space or `>` follows.
const HTML: [&[u8]; 17] = [
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

/// The answer to a request.
#[must_use]
pub fn answer(request: &Request) -> Response {
    let path = request.uri.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path != b"/reflect" {
        return Response::default();
    }
    let Ok(wish) = serde_json::from_slice::<Value>(&request.body) else {
        return response(400, Vec::new(), b"Invalid JSON in request body".to_vec());
    };
    let status = wish.get("status").and_then(Value::as_u64);
    let headers = wish.get("headers").and_then(Value::as_object);
    let headers = headers.into_iter().flatten().filter_map(|(name, value)| {
        let value = value.as_str()?;
        Some((name.clone().into_bytes(), value.as_bytes().to_vec()))
    });
    let text = |field| wish.get(field).and_then(Value::as_str);
    let body = text("encodedBody").and_then(|body| STANDARD.decode(body).ok());
    let body = body.unwrap_or_else(|| text("body").unwrap_or_default().as_bytes().to_vec());
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    response(status, headers.collect(), body)
}

/// A response; its type is guessed from its body, as Go's server does.
#[must_use]
pub fn response(status: u16, mut headers: Vec<(Vec<u8>, Vec<u8>)>, body: Vec<u8>) -> Response {
    let is_typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    if !body.is_empty() && !is_typed {
        headers.push((b"Content-Type".to_vec(), guess(&body).to_vec()));
    }
    Response { status, headers, body }
}

fn guess(body: &[u8]) -> &'static [u8] {
    let start = body.trim_ascii_start();
    let is_html = HTML.iter().any(|tag| {
        let (own, after) = (start.get(..tag.len()), start.get(tag.len()));
        own.is_some_and(|own| own.eq_ignore_ascii_case(tag)) && after.is_some_and(|byte| b" >".contains(byte))
    });
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    match () {
        () if is_html => b"text/html; charset=utf-8",
        () if start.starts_with(b"<?xml") => b"text/xml; charset=utf-8",
        () if body.iter().take(512).any(is_binary) => b"application/octet-stream",
        () => b"text/plain; charset=utf-8",
    }
}
