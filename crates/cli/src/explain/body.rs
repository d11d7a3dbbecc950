//! The body that curl would send. No IO: files come from `read`.

use std::io;

use super::request::InvalidRequest;
use crate::args::Part;

/// A body, and the headers that curl adds for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Its type, but for JSON.
    pub(super) content_type: Option<String>,
    /// Whether type and `Accept` are JSON.
    pub(super) is_json: bool,
}

/// What stands between the parts of a multipart body. curl takes a random one; one that doesn't change can be repeated.
const BOUNDARY: &str = "------------------------kubectlcoraza000";

/// Reads a file.
pub(super) type ReadFile<'r> = &'r dyn Fn(&str) -> io::Result<Vec<u8>>;

/// Puts parts together; nothing if there are none.
pub(super) fn body(parts: &[Part], read: ReadFile<'_>) -> Result<Option<Body>, InvalidRequest> {
    let is_form = |part: &Part| matches!(part, Part::Form(_) | Part::FormString(_));
    if parts.is_empty() {
        return Ok(None);
    }
    if parts.iter().all(is_form) {
        return multipart(parts, read).map(Some);
    }
    if parts.iter().any(is_form) {
        return Err(InvalidRequest::MixedBody);
    }
    let mut body = Body::default();
    for (part, at) in parts.iter().zip(0..) {
        let joint: &[u8] = if at > 0 && !matches!(part, Part::Json(_)) {
            b"&"
        } else {
            b""
        };
        body.bytes.extend(joint);
        match part {
            Part::Data(text) => {
                let mut bytes = text_or_file(text, read)?;
                if text.starts_with('@') {
                    bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                }
                body.bytes.extend(bytes);
            }
            Part::Binary(text) => body.bytes.extend(text_or_file(text, read)?),
            Part::Raw(text) => body.bytes.extend(text.bytes()),
            Part::Urlencode(text) => body.bytes.extend(urlencode(text, read)?),
            Part::Json(text) => {
                body.is_json = true;
                body.bytes.extend(text_or_file(text, read)?);
            }
            Part::Form(_) | Part::FormString(_) => {}
        }
    }
    if !body.is_json {
        body.content_type = Some("application/x-www-form-urlencoded".to_owned());
    }
    Ok(Some(body))
}

fn text_or_file(text: &str, read: ReadFile<'_>) -> Result<Vec<u8>, InvalidRequest> {
    match text.strip_prefix('@') {
        Some(path) => file(path, read),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn file(path: &str, read: ReadFile<'_>) -> Result<Vec<u8>, InvalidRequest> {
    read(path).map_err(|source| InvalidRequest::File {
        path: path.to_owned(),
        source,
    })
}

/// `content`, `=content`, `name=content`, `@file`, `name@file`: the name stays as it is.
fn urlencode(text: &str, read: ReadFile<'_>) -> Result<Vec<u8>, InvalidRequest> {
    let (name, content) = match text.find(['=', '@']) {
        None => ("", text.as_bytes().to_vec()),
        Some(at) => {
            let (name, rest) = text.split_at(at);
            match (rest.strip_prefix('='), rest.strip_prefix('@')) {
                (Some(content), _) => (name, content.as_bytes().to_vec()),
                (None, path) => (name, file(path.unwrap_or_default(), read)?),
            }
        }
    };
    let mut out = Vec::new();
    if !name.is_empty() {
        out.extend(name.bytes());
        out.push(b'=');
    }
    for byte in content {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    Ok(out)
}

fn multipart(parts: &[Part], read: ReadFile<'_>) -> Result<Body, InvalidRequest> {
    let mut bytes = Vec::new();
    for part in parts {
        let (Part::Form(text) | Part::FormString(text)) = part else {
            continue;
        };
        let (name, value) = text.split_once('=').ok_or_else(|| InvalidRequest::Form(text.clone()))?;
        let field = match part {
            Part::Form(_) => field(value, read)?,
            _ => Field::plain(value),
        };
        bytes.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"",
                quoted(name)
            )
            .bytes(),
        );
        if let Some(file_name) = &field.file_name {
            bytes.extend(format!("; filename=\"{}\"", quoted(file_name)).bytes());
        }
        bytes.extend(b"\r\n");
        if let Some(kind) = &field.content_type {
            bytes.extend(format!("Content-Type: {kind}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&field.content);
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("--{BOUNDARY}--\r\n").bytes());
    Ok(Body {
        bytes,
        content_type: Some(format!("multipart/form-data; boundary={BOUNDARY}")),
        is_json: false,
    })
}

/// A field of a multipart body.
#[derive(Default)]
struct Field {
    content: Vec<u8>,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl Field {
    fn plain(text: &str) -> Self {
        Self {
            content: text.as_bytes().to_vec(),
            ..Self::default()
        }
    }
}

/// `content`, `@file` or `<file`, then `;type=...` and `;filename=...`.
fn field(text: &str, read: ReadFile<'_>) -> Result<Field, InvalidRequest> {
    let mut parts = text.split(';');
    let content = parts.next().unwrap_or_default();
    let mut field = match (content.strip_prefix('@'), content.strip_prefix('<')) {
        (Some(path), _) => Field {
            content: file(path, read)?,
            file_name: Some(path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()),
            content_type: Some(guess(path).to_owned()),
        },
        (None, Some(path)) => Field {
            content: file(path, read)?,
            ..Field::default()
        },
        (None, None) => Field::plain(content),
    };
    for part in parts {
        match part.split_once('=') {
            Some(("type", kind)) => field.content_type = Some(kind.to_owned()),
            Some(("filename", name)) => field.file_name = Some(name.trim_matches('"').to_owned()),
            // curl takes what it doesn't know for nothing, too.
            _ => {}
        }
    }
    Ok(field)
}

/// The types that curl knows of by the ends of names.
fn guess(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("gif") => "image/gif",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain",
        Some("htm" | "html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}

fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
