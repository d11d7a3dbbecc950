//! The request that curl would send for these flags. No IO: files come from outside.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coraza_ftw::{Request, Response, backend};

use super::body::{Body, ReadFile, body};
use crate::args::{Explain, ResponseFlags};

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRequest {
    /// What is no URL.
    #[error("{0:?} is no URL: {1}")]
    Url(String, &'static str),
    /// What is no header.
    #[error("{0:?} is no header: write 'Name: value'")]
    Header(String),
    /// A part of a form without a name.
    #[error("{0:?} is no part of a form: write name=content")]
    Form(String),
    /// `-F` together with `-d`.
    #[error("a body is either a form (-F) or data (-d), not both")]
    MixedBody,
    /// A file of cookies.
    #[error("{0:?} are no cookies: write name=value (files of cookies are not read)")]
    Cookies(String),
    /// A file.
    #[error("failed to read {path}")]
    File {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// A request, and to which port it goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) port: u16,
    pub(crate) request: Request,
}

/// Names and values, in order.
type Headers = Vec<(Vec<u8>, Vec<u8>)>;

const USER_AGENT: &str = "kubectl-coraza";

/// The request of a command line.
pub(crate) fn request(args: &Explain, read: ReadFile<'_>) -> Result<Sent, InvalidRequest> {
    let flags = &args.request;
    let mut url = Url::parse(&args.url)?;
    if !flags.path_as_is {
        url.path = without_dots(&url.path);
    }
    let mut body = body(&args.body.parts, read)?;
    if flags.get
        && let Some(data) = body.take()
    {
        let query = String::from_utf8_lossy(&data.bytes).into_owned();
        url.query = Some(match url.query {
            Some(own) => format!("{own}&{query}"),
            None => query,
        });
    }
    let method = match &flags.method {
        Some(method) => method.as_str(),
        None if flags.head => "HEAD",
        None if body.is_some() => "POST",
        None => "GET",
    };
    let version = match (flags.http1_0, flags.http2) {
        (true, _) => "HTTP/1.0",
        (_, true) => "HTTP/2",
        _ => "HTTP/1.1",
    };
    let headers = headers(args, &url, body.as_ref())?;
    Ok(Sent {
        port: url.port,
        request: Request {
            method: method.as_bytes().to_vec(),
            uri: url.target().into_bytes(),
            version: version.as_bytes().to_vec(),
            headers,
            body: body.map(|body| body.bytes).unwrap_or_default(),
        },
    })
}

/// The response of a command line, if there is one.
pub(crate) fn response(flags: &ResponseFlags, read: ReadFile<'_>) -> Result<Option<Response>, InvalidRequest> {
    if !flags.is_given() {
        return Ok(None);
    }
    let body = match &flags.body {
        Some(body) => match body.strip_prefix('@') {
            Some(path) => read(path).map_err(|source| InvalidRequest::File {
                path: path.to_owned(),
                source,
            })?,
            None => body.as_bytes().to_vec(),
        },
        None => Vec::new(),
    };
    let mut headers = Vec::new();
    for header in &flags.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| InvalidRequest::Header(header.clone()))?;
        headers.push((name.trim().into(), value.trim().into()));
    }
    let status = flags.status.unwrap_or(200);
    Ok(Some(backend::response(status, headers, body)))
}

/// What curl sends by itself, changed by what the flags say, and what they add.
fn headers(args: &Explain, url: &Url, body: Option<&Body>) -> Result<Headers, InvalidRequest> {
    let flags = &args.request;
    let mut headers: Vec<(String, String)> = vec![("Host".to_owned(), url.authority.clone())];
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
    if let Some(credentials) = flags.credentials.as_ref().or(url.credentials.as_ref()) {
        add("Authorization", format!("Basic {}", STANDARD.encode(credentials)));
    }
    match flags.user_agent.as_deref() {
        Some("") => {}
        agent => add("User-Agent", agent.unwrap_or(USER_AGENT).to_owned()),
    }
    let is_json = body.is_some_and(|body| body.is_json);
    if !is_json {
        add("Accept", "*/*".to_owned());
    }
    if flags.compressed {
        add("Accept-Encoding", "deflate, gzip, br, zstd".to_owned());
    }
    if let Some(referer) = &flags.referer {
        add("Referer", referer.clone());
    }
    if let Some(bad) = flags.cookies.iter().find(|cookies| !cookies.contains('=')) {
        return Err(InvalidRequest::Cookies(bad.clone()));
    }
    if !flags.cookies.is_empty() {
        add("Cookie", flags.cookies.join(";"));
    }
    if is_json {
        add("Content-Type", "application/json".to_owned());
        add("Accept", "application/json".to_owned());
    }
    let mut last = Vec::new();
    if let Some(body) = body {
        last.push(("Content-Length".to_owned(), body.bytes.len().to_string()));
        last.extend(body.content_type.clone().map(|kind| ("Content-Type".to_owned(), kind)));
    }
    let mut extra = Vec::new();
    for header in &flags.headers {
        let (name, value) = match (header.split_once(':'), header.strip_suffix(';')) {
            (Some((name, value)), _) => (name.trim(), Some(value.trim()).filter(|value| !value.is_empty())),
            (None, Some(name)) => (name.trim(), Some("")),
            (None, None) => return Err(InvalidRequest::Header(header.clone())),
        };
        if name.is_empty() {
            return Err(InvalidRequest::Header(header.clone()));
        }
        headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        last.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        extra.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    // Where a header says which host is meant it stands where that of the URL did.
    let host = extra.iter().position(|(name, _)| name.eq_ignore_ascii_case("host"));
    if let Some(host) = host {
        headers.insert(0, extra.remove(host));
    }
    headers.extend(extra);
    headers.extend(last);
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
        .collect())
}

/// The parts of a URL, as they are written.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    credentials: Option<String>,
    /// As the Host header has it.
    authority: String,
    port: u16,
    path: String,
    query: Option<String>,
}

impl Url {
    fn parse(text: &str) -> Result<Self, InvalidRequest> {
        let invalid = |why| InvalidRequest::Url(text.to_owned(), why);
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(invalid("blanks and control characters are written as %20"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let usual = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            // What has no scheme may have a URL in its query.
            _ if text.starts_with('/') => 80,
            _ => return Err(invalid("the scheme is http or https")),
        };
        let rest = if text.starts_with('/') { text } else { rest };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
            None => (None, authority),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse().map_err(|_| invalid("the port is no number up to 65535"))?,
            ),
            _ => (authority, usual),
        };
        let host = if text.starts_with('/') { "localhost" } else { host };
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Self {
            credentials,
            authority: if port == usual {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            port,
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
            query,
        })
    }

    /// As the request line has it.
    fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// A path without `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let segments: Vec<_> = path.split('/').collect();
    let last = segments.len().saturating_sub(1);
    for (segment, at) in segments.into_iter().zip(0..) {
        match segment {
            "." | ".." => {
                if segment == ".." && out.len() > 1 {
                    out.pop();
                }
                if at == last {
                    out.push("");
                }
            }
            plain => out.push(plain),
        }
    }
    out.join("/")
}

#[cfg(test)]
mod tests;
