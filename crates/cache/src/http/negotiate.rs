//! What a request's headers ask for: an encoding, only news, a wait. Pure.

use std::time::Duration;

use coraza_ruleset::{Revision, RevisionTag};
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};

/// RFC 7240; not among the names that `http` knows.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Identity,
    /// In gzip.
    Gzip,
}

/// The encoding that the caller likes best: gzip when it takes it as gladly as the plain body, since it is a fifth of it. A
/// caller that refuses both is sent the plain body, as RFC 9110 (12.5.3) lets servers do.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let (mut gzip, mut identity, mut other) = (None, None, None);
    for item in list(headers, &ACCEPT_ENCODING) {
        let (coding, weight) = weighted(item);
        let place = match coding {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => &mut gzip,
            coding if coding.eq_ignore_ascii_case("identity") => &mut identity,
            "*" => &mut other,
            _ => continue,
        };
        *place = Some(weight);
    }
    let gzip = gzip.or(other).unwrap_or(0);
    if gzip > 0 && gzip >= identity.unwrap_or(0) {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// Whether the caller has what `If-None-Match` would be answered with, or something later. A replica that lags must not
/// answer with the past: its callers would load it, and the present again from the next replica.
pub(super) fn has_latest(headers: &HeaderMap, etag: &HeaderValue, revision: &Revision) -> bool {
    let mut values = headers.get_all(IF_NONE_MATCH).iter();
    // What our own pollers send.
    if let (Some(only), None) = (values.next(), values.next())
        && only == etag
    {
        return true;
    }
    list(headers, &IF_NONE_MATCH).any(|item| match item {
        "*" => true,
        tag => opaque(tag).is_some_and(|tag| {
            Some(tag) == etag.to_str().ok().and_then(opaque)
                || tag
                    .parse()
                    .is_ok_and(|theirs: RevisionTag| theirs.timestamp > revision.timestamp)
        }),
    })
}

/// How long the caller would wait for news: `Prefer: wait=<seconds>`, cut to `max`. The first one counts (RFC 7240, 2).
pub(super) fn wait(headers: &HeaderMap, max: Duration) -> Option<Duration> {
    let seconds = list(headers, &PREFER).find_map(|item| {
        let preference = item.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("wait") && !value.starts_with('+')).then(|| value.parse::<u32>().ok())?
    })?;
    Some(Duration::from_secs(seconds.into()).min(max)).filter(|wait| !wait.is_zero())
}

/// The items of a comma-separated header. Values that are no text are left out.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// A coding and its weight in thousandths, 1000 if none is given and 0 if it can't be read.
fn weighted(item: &str) -> (&str, u16) {
    let Some((coding, parameters)) = item.split_once(';') else {
        return (item, 1_000);
    };
    let weight = parameters
        .split(';')
        .map(str::trim)
        .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
    let thousandths = weight.map_or(1_000, |weight| match weight.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0).round() as u16,
        _ => 0,
    });
    (coding.trim(), thousandths)
}

/// What stands between the quotes of an entity tag, weak or not: `If-None-Match` compares weakly.
fn opaque(tag: &str) -> Option<&str> {
    tag.strip_prefix("W/")
        .unwrap_or(tag)
        .strip_prefix('"')?
        .strip_suffix('"')
}

/// The revision that an entity tag of ours names.
pub(super) fn tag(etag: &HeaderValue) -> Option<RevisionTag> {
    opaque(etag.to_str().ok()?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_ruleset::{Digest, Timestamp};
    use proptest::prelude::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| HeaderValue::from_bytes(value.as_bytes()).expect("value"));
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn gzip_is_sent_to_who_likes_it_at_least_as_well() {
        for (values, expected) in [
            (&[][..], Encoding::Identity),
            (&["gzip"], Encoding::Gzip),
            (&["br, GZip;q=0.5"], Encoding::Gzip),
            (&["br", "x-gzip"], Encoding::Gzip),
            (&["*"], Encoding::Gzip),
            (&["gzip;q=0"], Encoding::Identity),
            (&["*, gzip;q=0"], Encoding::Identity),
            (&["gzip; q=0.001"], Encoding::Gzip),
            (&["identity, gzip;q=0.5"], Encoding::Identity),
            (&["identity;q=0.5, gzip;q=0.5"], Encoding::Gzip),
            (&["identity;q=0"], Encoding::Identity),
            (&["gzip;q=2"], Encoding::Identity),
            (&["gzip;q=x"], Encoding::Identity),
            (&["gzip;Q=1;level=9"], Encoding::Gzip),
            (&["deflate, br, zstd"], Encoding::Identity),
            (&["\u{e9}, gzip"], Encoding::Identity),
            (&[",,;"], Encoding::Identity),
        ] {
            assert_eq!(encoding(&headers(&ACCEPT_ENCODING, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn callers_with_the_same_or_a_later_revision_have_the_latest() {
        let revision = Revision {
            digest: Digest::new([7; 32]),
            timestamp: Timestamp::from_unix_nanos(100),
        };
        let (ours, others) = (revision.uuid(), Digest::new([8; 32]).uuid());
        let etag = HeaderValue::try_from(format!("W/\"100-{ours}\"")).expect("etag");
        for (value, expected) in [
            (format!("W/\"100-{ours}\""), true),
            (format!("\"100-{ours}\""), true),
            (format!("\"x\", W/\"100-{ours}\""), true),
            ("*".into(), true),
            (format!("W/\"101-{others}\""), true),
            (format!("W/\"99-{ours}\""), false),
            (format!("W/\"100-{others}\""), false),
            (format!("W/\"99-{others}\""), false),
            ("W/\"101-short\"".into(), false),
            ("W/\"101".into(), false),
            (format!("101-{others}"), false),
            (format!("W/\"99999999999999999999-{others}\""), false),
            (String::new(), false),
        ] {
            assert_eq!(
                has_latest(&headers(&IF_NONE_MATCH, &[&value]), &etag, &revision),
                expected,
                "{value}"
            );
        }
        assert!(!has_latest(&HeaderMap::new(), &etag, &revision));
    }

    #[test]
    fn waits_are_read_and_cut() {
        let max = Duration::from_secs(60);
        for (values, expected) in [
            (&[][..], None),
            (&["wait=10"], Some(10)),
            (&["wait=600"], Some(60)),
            (&["respond-async, WAIT = \"15\"; foo"], Some(15)),
            (&["respond-async", "wait=7"], Some(7)),
            (&["wait=5, wait=9"], Some(5)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=+1"], None),
            (&["wait=1.5"], None),
            (&["wait"], None),
            (&["wait=99999999999"], None),
        ] {
            assert_eq!(
                wait(&headers(&PREFER, values), max),
                expected.map(Duration::from_secs),
                "{values:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_much(value in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let revision = Revision { digest: Digest::new([7; 32]), timestamp: Timestamp::from_unix_nanos(100) };
                let headers: HeaderMap =
                    [ACCEPT_ENCODING, IF_NONE_MATCH, PREFER].into_iter().map(|name| (name, value.clone())).collect();
                encoding(&headers);
                has_latest(&headers, &HeaderValue::from_static("W/\"\""), &revision);
                wait(&headers, Duration::MAX);
            }
        }
    }
}
