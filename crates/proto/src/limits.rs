//! Sizes and counts that messages may have. The sizes of gRPC messages follow from `--max-ruleset-bytes`, which both processes take.

use coraza_ruleset::Timestamp;

/// Room in a RuleSet's message for what isn't payload: key, digest, timestamp, the names of at most 2,048 sources (253 bytes each), and at
/// most 16 bytes of tags and lengths for each of them, each source and as many data files as there are sources.
const FRAMING: u64 = 640 << 10;
/// Room for a Hello of 10,000 holdings and [`MAX_GRANTS`] grants whose names all have the greatest length (63 and 253 bytes, twice in a
/// grant).
const HELLO: u64 = 16 << 20;
/// The most grants that a cache holds: 8,000 Engines, each with a token that is used and one that is about to expire. Some 300 bytes each.
pub const MAX_GRANTS: usize = 1 << 14;
/// Grants, or tokens to forget, in one message: little enough to be applied in a millisecond.
pub const MAX_GRANTS_PER_MESSAGE: usize = 512;
/// The most data planes that a cache keeps account of, and the controller of all caches together.
pub const MAX_POLLERS: usize = 10_240;
/// Data planes in one report.
pub const MAX_POLLERS_PER_REPORT: usize = 2_048;
/// Sources, or data files, in one RuleSet: far above what the custom resources allow, and low enough that a message full of empty
/// ones can't take many times its size in memory.
pub const MAX_PARTS: usize = 1 << 16;
/// The longest name of a replica or of a data file: as Kubernetes limits the names of Pods and the keys of ConfigMaps.
pub const MAX_NAME: usize = 253;
/// The longest detail of a NACK that is kept, in bytes: as much as a Kubernetes Event's note takes.
pub const MAX_ERROR_DETAIL: usize = 1024;
/// The latest timestamp that is believed (the year 2500): one at the end of what can be represented would leave no later one, and
/// its key could never change again.
pub const LATEST_TIMESTAMP: Timestamp = Timestamp::from_unix_nanos(16_725_225_600_000_000_000);

/// The largest message that a controller sends, in bytes, when RuleSets have at most `max_ruleset_bytes` of payload.
#[must_use]
pub fn max_response_bytes(max_ruleset_bytes: u64) -> usize {
    saturating(max_ruleset_bytes.saturating_add(FRAMING))
}

/// The largest message that a cache sends, in bytes, when RuleSets have at most `max_ruleset_bytes` of payload.
#[must_use]
pub fn max_request_bytes(max_ruleset_bytes: u64) -> usize {
    saturating(max_ruleset_bytes.saturating_add(FRAMING).max(HELLO))
}

fn saturating(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Whether `name` is one that a data file (a key of a ConfigMap) or a Pod may have: safe in a path, a log line, a message.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

/// The longest prefix of `text` that has at most `limit` bytes and ends between two characters.
#[must_use]
pub fn truncated(text: &str, limit: usize) -> &str {
    let end = text.floor_char_boundary(limit);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_config_map_keys() {
        for (name, accepted) in [
            ("php-errors.data", true),
            ("A_1", true),
            ("..", true),
            (&*"n".repeat(253), true),
            (&*"n".repeat(254), false),
            ("", false),
            ("a/b", false),
            ("a b", false),
            ("é", false),
            ("a\0", false),
        ] {
            assert_eq!(is_name(name), accepted, "{name:?}");
        }
    }

    #[test]
    fn sizes_follow_the_flag_and_never_overflow() {
        assert_eq!(max_response_bytes(8 << 20), (8 << 20) + (640 << 10));
        assert_eq!(max_request_bytes(1), 16 << 20);
        assert_eq!(max_request_bytes(u64::MAX), usize::MAX);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("", 3), "");
    }
}
