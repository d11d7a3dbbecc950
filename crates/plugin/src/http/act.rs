//! What an interruption does to a stream.

use coraza_engine::{Disruption, Interruption};

use crate::host::{Action, Host, LocalResponse, Side};

/// The body of an answer while there are no rules.
pub(super) const NO_RULES: &[u8] = b"The web application firewall has no rules yet.\n";
/// The body of an answer when the firewall failed.
pub(super) const ENGINE_ERROR: &[u8] = b"The web application firewall could not inspect this request.\n";
/// How much of a `Location` is sent.
const MAX_LOCATION: usize = 8_192;

/// Does what the interruption says. In the middle of a response, whose head the client has, all that is left is to break it off.
pub(super) fn act(host: &impl Host, interruption: &Interruption, side: Side) -> Action {
    let done = match (&interruption.action, side) {
        (Disruption::Drop, side) | (_, side @ Side::Response) => host.close(side),
        (Disruption::Deny, Side::Request) => respond(host, status(interruption.status), &[]),
        (Disruption::Redirect(location), Side::Request) => respond(
            host,
            status(interruption.status),
            &[(b"location", &header_value(location))],
        ),
    };
    // A stream that can't be answered must not go on either.
    if done.is_err() {
        let _ = host.close(side);
    }
    Action::Pause
}

fn respond(host: &impl Host, status: u16, headers: &[(&[u8], &[u8])]) -> crate::host::Result<()> {
    host.respond(&LocalResponse {
        status,
        headers,
        body: b"",
        details: "coraza_waf_interruption",
    })
}

/// Refuses a stream that can't be inspected.
pub(super) fn unavailable(host: &impl Host, body: &[u8]) -> Action {
    let headers: &[(&[u8], &[u8])] = &[(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")];
    let response = LocalResponse {
        status: 503,
        headers,
        body,
        details: "coraza_waf_unavailable",
    };
    if host.respond(&response).is_err() {
        let _ = host.close(Side::Request);
    }
    Action::Pause
}

/// Rules may name any number, Envoy can send final statuses only.
const fn status(of_rule: u16) -> u16 {
    match of_rule {
        200..=599 => of_rule,
        _ => 403,
    }
}

/// A value may hold what a client sent: what could end the header field, or is not ASCII, is percent-encoded.
fn header_value(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len());
    for byte in text.iter().take(MAX_LOCATION) {
        match byte {
            b'!'..=b'~' => value.push(*byte),
            other => value.extend(format!("%{other:02X}").bytes()),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_sends_ends_a_header_field() {
        assert_eq!(header_value(b"/a?b=\r\nX: y\0\xff"), b"/a?b=%0D%0AX:%20y%00%FF");
        assert_eq!(header_value(&[b'a'; 10_000]).len(), MAX_LOCATION);
    }

    #[test]
    fn statuses_that_are_none_become_403() {
        for (given, expected) in [
            (403, 403),
            (200, 200),
            (599, 599),
            (0, 403),
            (100, 403),
            (600, 403),
            (u16::MAX, 403),
        ] {
            assert_eq!(status(given), expected);
        }
    }
}
