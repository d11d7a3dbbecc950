//! A way to make the module trap, for tests of what Envoy does then. Compiled with the feature `test-trap` only.

use crate::host::{Headers, Host};

/// Traps if the request has the header field `x-coraza-test-trap`.
#[allow(clippy::panic, reason = "this is what it is for")]
pub(crate) fn on_request(host: &impl Host) {
    if host
        .headers(Headers::Request)
        .is_ok_and(|headers| headers.get("x-coraza-test-trap").is_some())
    {
        panic!("a test asked for it");
    }
}
