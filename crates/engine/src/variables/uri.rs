//! The parts of a request's target, cut out as ModSecurity does: leniently, so that nothing makes them disappear. No IO.

/// A request target in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Decoded, without scheme, authority and fragment: `REQUEST_URI`.
    pub(super) uri: Vec<u8>,
    /// The decoded path: `REQUEST_FILENAME`.
    pub(super) path: Vec<u8>,
    /// What stands between `?` and `#`, as it is: `QUERY_STRING`.
    pub(super) query: Vec<u8>,
}

impl Target {
    pub(super) fn parse(raw: &[u8]) -> Self {
        let fragment = raw.iter().position(|byte| *byte == b'#').unwrap_or(raw.len());
        let before_fragment = raw.get(..fragment).unwrap_or_default();
        let mark = before_fragment.iter().position(|byte| *byte == b'?');
        let query = mark
            .and_then(|mark| before_fragment.get(mark + 1..))
            .unwrap_or_default();
        let path = before_fragment.get(..mark.unwrap_or(fragment)).unwrap_or_default();
        Self {
            uri: decode(after_authority(before_fragment)),
            path: decode(after_authority(path)),
            query: query.to_vec(),
        }
    }

    /// What comes after the last slash of the path: `REQUEST_BASENAME`.
    pub(super) fn basename(&self) -> &[u8] {
        let slash = self.path.iter().rposition(|byte| matches!(byte, b'/' | b'\\'));
        slash.and_then(|slash| self.path.get(slash + 1..)).unwrap_or(&self.path)
    }
}

/// What follows `scheme://authority`, if a target begins so.
fn after_authority(target: &[u8]) -> &[u8] {
    let scheme = target
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte));
    let Some(scheme) = scheme.filter(|scheme| *scheme > 0) else {
        return target;
    };
    let Some(rest) = target.get(scheme..).and_then(|rest| rest.strip_prefix(b"://")) else {
        return target;
    };
    let path = rest.iter().position(|byte| *byte == b'/');
    path.and_then(|path| rest.get(path..)).unwrap_or(target)
}

/// Percent-encoding taken off; a `+` stays.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, after) {
            (b'%', [high, low, after @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                decoded.push(high << 4 | low);
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_cut_at_the_first_mark() {
        for (raw, uri, path, query, basename) in [
            ("/a/b.php?c=%20d", "/a/b.php?c= d", "/a/b.php", "c=%20d", "b.php"),
            ("/", "/", "/", "", ""),
            ("", "", "", "", ""),
            ("*", "*", "*", "", "*"),
            ("/a?b?c#d?e", "/a?b?c", "/a", "b?c", "a"),
            ("/a#b?c", "/a", "/a", "", "a"),
            ("/a%3fb?c", "/a?b?c", "/a?b", "c", "a?b"),
            ("http://host:80/a?b", "/a?b", "/a", "b", "a"),
            ("http://host", "http://host", "http://host", "", "host"),
            ("/%2", "/%2", "/%2", "", "%2"),
            ("/a%5Cb", "/a\\b", "/a\\b", "", "b"),
        ] {
            let target = Target::parse(raw.as_bytes());
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let parts = [&target.uri, &target.path, &target.query].map(|part| shown(part));
            assert_eq!(parts, [uri, path, query], "{raw}");
            assert_eq!(shown(target.basename()), basename, "{raw}");
        }
    }
}
