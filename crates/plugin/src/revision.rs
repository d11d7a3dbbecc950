//! `Revision`: which rules, and since when. Pure.

use std::cmp::Ordering;

/// The longest uuid that is taken: the cache's have 36 characters.
const MAX_UUID: usize = 64;

/// A revision of a RuleSet, as the cache names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// What the rules are: the same text has the same one.
    pub uuid: Box<str>,
    /// When they became current, in nanoseconds since 1970. It is the order; 0 if the cache says none that can be read.
    pub timestamp: u64,
}

impl Revision {
    /// A revision, if the uuid could be one.
    #[must_use]
    pub fn new(uuid: &str, timestamp: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if uuid.is_empty() || uuid.len() > MAX_UUID || !uuid.bytes().all(plain) {
            return None;
        }
        Some(Self {
            uuid: uuid.into(),
            timestamp: nanoseconds(timestamp.as_bytes()).unwrap_or_default(),
        })
    }

    /// As an entity tag, in the form of our caches.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("W/\"{}-{}\"", self.timestamp, self.uuid)
    }

    /// Whether this one is older than `other`. Without a timestamp nothing is known.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.timestamp != 0 && other.timestamp != 0 && self.timestamp.cmp(&other.timestamp) == Ordering::Less
    }
}

/// An RFC 3339 time as nanoseconds since 1970, if it is one between 1970 and 2554.
fn nanoseconds(text: &[u8]) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| {
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
        })
    };
    let separated = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if !separated.iter().all(|(at, separator)| text.get(*at) == Some(separator))
        || !matches!(text.get(10), Some(b'T' | b't' | b' '))
    {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction = 0_i64;
    if let Some(digits) = rest.strip_prefix(b".") {
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let places = digits
            .iter()
            .take(count)
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        fraction = places.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        rest = digits.get(count..)?;
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] => {
            let all = [a, b, c, d].iter().all(|digit| digit.is_ascii_digit());
            let two =
                |tens: &u8, ones: &u8| i64::from(tens.saturating_sub(b'0')) * 10 + i64::from(ones.saturating_sub(b'0'));
            let minutes = all.then(|| two(a, b) * 60 + two(c, d))?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    u64::try_from(nanoseconds).ok()
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    before_year + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_rfc_3339_has_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.000000001Z", Some(1)),
            ("1970-01-01T01:00:00.5+01:00", Some(500_000_000)),
            ("1969-12-31T23:59:59-00:01", Some(59_000_000_000)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000_000_000)),
            ("2026-11-29T22:43:00.123456789Z", Some(1_795_992_180_123_456_789)),
            ("2026-11-29T22:43:00.1234567899999Z", Some(1_795_992_180_123_456_789)),
            ("2026-11-29 22:43:00Z", Some(1_795_992_180_000_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-11-29T22:43:00", None),
            ("2026-11-29T22:43Z", None),
            ("2026-13-29T22:43:00Z", None),
            ("2026-11-29T22:43:00+0100", None),
            ("2026-11-29T22:43:00Zx", None),
            ("+026-11-29T22:43:00Z", None),
            ("9999-12-31T23:59:59Z", None),
            ("", None),
        ] {
            assert_eq!(nanoseconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_revision_is_written_as_caches_write_it() {
        let revision = Revision::new("4b56cfad-d846-8c4f-8b81-147bd82d1026", "1970-01-01T00:00:01Z").expect("revision");
        assert_eq!(revision.etag(), "W/\"1000000000-4b56cfad-d846-8c4f-8b81-147bd82d1026\"");
        let at = |timestamp| Revision {
            uuid: "a".into(),
            timestamp,
        };
        assert!(at(1).is_older_than(&at(2)));
        assert!(!at(2).is_older_than(&at(2)) && !at(0).is_older_than(&at(2)) && !at(1).is_older_than(&at(0)));
        for uuid in ["", "a\"b", "a b", "a\r\n", &"a".repeat(65)] {
            assert_eq!(Revision::new(uuid, ""), None, "{uuid}");
        }
    }

    proptest! {
        #[test]
        fn no_time_is_too_much(text in prop::collection::vec(any::<u8>(), 0..40)) {
            nanoseconds(&text);
        }
    }
}
