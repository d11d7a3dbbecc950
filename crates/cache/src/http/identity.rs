//! Which data plane a poll comes from: headers that our plugin sends. Pure.
//!
//! | header | value |
//! |---|---|
//! | `x-coraza-engine` | `<namespace>/<name>` of its Engine. For people who read traffic: which Engine it is, the token's grant says |
//! | `x-coraza-pod` | the name of its Pod. A hint: whoever has the Engine's token can say so |
//! | `x-coraza-revision` | the `ETag` of the revision that its worst worker runs, `none` if that has no rules |
//!
//! The Go plugin sends none of them. It is known by its address then, and what it runs by what it was served last.

use std::net::IpAddr;

use coraza_proto::limits::is_name;
use coraza_ruleset::Running;
use http::{HeaderMap, HeaderName};

use super::negotiate;
use crate::pollers::Identity;

const POD: HeaderName = HeaderName::from_static("x-coraza-pod");
const REVISION: HeaderName = HeaderName::from_static("x-coraza-revision");
/// What stands in place of a revision.
const NOTHING: &str = "none";

/// Who polls from `address` with these headers, and what it says that it runs. Headers that can't be are as if they weren't there.
pub(super) fn of(headers: &HeaderMap, address: IpAddr) -> (Identity<'_>, Running) {
    let pod = headers.get(&POD).and_then(|value| value.to_str().ok());
    let Some(pod) = pod.filter(|pod| is_name(pod)) else {
        return (Identity::Address(address), Running::Unknown);
    };
    let running = match headers.get(&REVISION) {
        None => Running::Unknown,
        Some(value) if value == NOTHING => Running::Nothing,
        Some(value) => negotiate::tag(value).map_or(Running::Unknown, Running::Revision),
    };
    (Identity::Pod(pod), running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_a_plugin_says_is_taken_if_it_can_be() {
        let uuid = "07070707-0707-8707-8707-070707070707";
        let revision = Running::Revision(format!("5-{uuid}").parse().expect("a tag"));
        let (etag, long) = (format!("W/\"5-{uuid}\""), "p".repeat(254));
        let address = IpAddr::from([10, 0, 0, 1]);
        for (pod, said, expected) in [
            (Some("gateway-0"), Some(&*etag), (Identity::Pod("gateway-0"), revision)),
            (
                Some("gateway-0"),
                Some("none"),
                (Identity::Pod("gateway-0"), Running::Nothing),
            ),
            (Some("gateway-0"), None, (Identity::Pod("gateway-0"), Running::Unknown)),
            (
                Some("gateway-0"),
                Some("5"),
                (Identity::Pod("gateway-0"), Running::Unknown),
            ),
            (Some(""), Some("none"), (Identity::Address(address), Running::Unknown)),
            (
                Some("a/b"),
                Some("none"),
                (Identity::Address(address), Running::Unknown),
            ),
            (Some(&*long), None, (Identity::Address(address), Running::Unknown)),
            (None, Some(&*etag), (Identity::Address(address), Running::Unknown)),
        ] {
            let headers = [(POD, pod), (REVISION, said)];
            let headers: HeaderMap = headers
                .into_iter()
                .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).expect("a value"))))
                .collect();
            assert_eq!(of(&headers, address), expected, "{pod:?} {said:?}");
        }
    }
}
