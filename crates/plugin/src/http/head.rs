//! The head of a request: header fields as Envoy has them → what the engine and we want to know. Pure.

use crate::host::Pairs;

/// The bodies that are streams whatever is configured.
const GRPC: &[u8] = b"application/grpc";

/// What the head of a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: Vec<u8>,
    pub(super) uri: Vec<u8>,
    pub(super) authority: Vec<u8>,
    pub(super) request_id: Vec<u8>,
    pub(super) body: Body,
}

/// What comes after the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// A body with an end.
    #[default]
    Whole,
    /// An upgrade whose request has a body of so many bytes: no handshake has one, but who sends it may hope that nobody looks.
    Upgrade(usize),
    /// Something without an end: a tunnel, an upgrade, a stream of messages. Holding it would stall it for ever.
    Stream,
}

impl RequestHead {
    pub(super) fn of(headers: &Pairs, stream_types: &[String]) -> Self {
        let value = |name| headers.get(name).unwrap_or_default().to_vec();
        let (method, authority, path) = (value(":method"), value(":authority"), value(":path"));
        let connect = method == b"CONNECT";
        Self {
            body: body(headers, connect, stream_types),
            uri: if connect && path.is_empty() {
                authority.clone()
            } else {
                path
            },
            request_id: value("x-request-id"),
            method,
            authority,
        }
    }

    /// Header fields as the rules see them: the client's, with the `Host` that Envoy made `:authority` of in front.
    pub(super) fn fields<'a>(&'a self, headers: &'a Pairs) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let host = headers.get("host").is_none() && !self.authority.is_empty();
        let host = host.then_some((&b"host"[..], &*self.authority));
        host.into_iter().chain(headers.regular())
    }
}

fn body(headers: &Pairs, connect: bool, stream_types: &[String]) -> Body {
    let upgrade = headers.get("upgrade").is_some()
        && headers
            .get("connection")
            .is_some_and(|value| has_token(value, b"upgrade"));
    if connect || upgrade {
        let length = headers
            .get("content-length")
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        return length
            .filter(|length| *length > 0 && !connect)
            .map_or(Body::Stream, Body::Upgrade);
    }
    if headers
        .get("content-type")
        .is_some_and(|kind| is_stream(kind, stream_types))
    {
        return Body::Stream;
    }
    Body::Whole
}

/// Whether bodies of this type are streams of messages.
fn is_stream(kind: &[u8], stream_types: &[String]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let grpc = kind
        .get(..GRPC.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    // `application/grpc`, `application/grpc+proto`, but not `application/grpcx`.
    (grpc && !kind.get(GRPC.len()).is_some_and(u8::is_ascii_alphanumeric))
        || stream_types
            .iter()
            .any(|listed| kind.eq_ignore_ascii_case(listed.trim().as_bytes()))
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Whether a response is a stream of events, which is never held.
pub(super) fn is_event_stream(headers: &Pairs) -> bool {
    headers
        .get("content-type")
        .is_some_and(|kind| is_stream(kind, &["text/event-stream".to_owned()]))
}

/// `10.0.0.1:80` or `[::1]:80` → address and port. A pipe has neither.
pub(super) fn address(text: &[u8]) -> (&[u8], u16) {
    let Some(colon) = text.iter().rposition(|byte| *byte == b':') else {
        return (text, 0);
    };
    let (host, port) = (
        text.get(..colon).unwrap_or_default(),
        text.get(colon + 1..).unwrap_or_default(),
    );
    let Some(port) = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok()) else {
        return (text, 0);
    };
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    (bare.unwrap_or(host), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(fields: &[(&str, &str)]) -> Pairs {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        Pairs::decode(Pairs::encode(&fields)).expect("pairs")
    }

    fn body_of(fields: &[(&str, &str)]) -> Body {
        RequestHead::of(&pairs(fields), &["application/x-stream".to_owned()]).body
    }

    #[test]
    fn streams_are_told_from_bodies() {
        let upgrade = [("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")];
        assert_eq!(body_of(&upgrade), Body::Stream);
        assert_eq!(body_of(&[upgrade[0]]), Body::Whole);
        assert_eq!(
            body_of(&[upgrade[0], upgrade[1], ("content-length", "7")]),
            Body::Upgrade(7)
        );
        assert_eq!(
            body_of(&[upgrade[0], upgrade[1], ("content-length", "0")]),
            Body::Stream
        );
        assert_eq!(
            body_of(&[(":method", "CONNECT"), ("content-length", "7")]),
            Body::Stream
        );
        for (kind, expected) in [
            ("application/grpc", Body::Stream),
            ("Application/gRPC+proto; x=y", Body::Stream),
            ("application/grpcx", Body::Whole),
            ("application/x-stream ;a", Body::Stream),
            ("application/json", Body::Whole),
            ("", Body::Whole),
        ] {
            assert_eq!(body_of(&[("content-type", kind)]), expected, "{kind}");
        }
    }

    #[test]
    fn rules_see_what_the_client_sent() {
        let headers = pairs(&[(":method", "GET"), (":path", "/a"), (":authority", "x"), ("a", "1")]);
        let head = RequestHead::of(&headers, &[]);
        let fields: Vec<_> = head.fields(&headers).collect();
        assert_eq!(fields, [(&b"host"[..], &b"x"[..]), (b"a", b"1")]);
        assert_eq!(head.uri, b"/a");
        let connect = pairs(&[(":method", "CONNECT"), (":authority", "x:443")]);
        assert_eq!(RequestHead::of(&connect, &[]).uri, b"x:443");
        let empty = pairs(&[]);
        assert_eq!(RequestHead::of(&empty, &[]).fields(&empty).count(), 0);
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (text, expected) in [
            ("10.0.0.1:80", ("10.0.0.1", 80)),
            ("[::1]:8080", ("::1", 8080)),
            ("/run/pipe", ("/run/pipe", 0)),
            ("", ("", 0)),
        ] {
            let (host, port) = expected;
            assert_eq!(address(text.as_bytes()), (host.as_bytes(), port), "{text}");
        }
    }
}
