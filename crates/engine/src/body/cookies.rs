//! The `Cookie` header: `name=value` pairs. No IO.

use super::cursor::is_space;

/// Reads one `Cookie` header and gives each pair's name and value to `sink` (`REQUEST_COOKIES`), as they are: cookies aren't decoded
/// and quotes are part of the value. A cookie without `=` has an empty value; one without a name is left out.
pub fn parse(header: &[u8], mut sink: impl FnMut(&[u8], &[u8])) {
    for pair in trim_end(header.strip_suffix(b";").unwrap_or(header)).split(|byte| *byte == b';') {
        let pair = trim_start(pair);
        let (name, value) = match memchr::memchr(b'=', pair).and_then(|at| pair.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
            None => (pair, &[][..]),
        };
        if !name.is_empty() {
            sink(name, value);
        }
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte));
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_split_and_kept_as_they_are() {
        let cases: [(&[u8], &[&str]); 11] = [
            (b"", &[]),
            (b"a=1; b=2", &["a=1", "b=2"]),
            (b"a ;b=1", &["a =", "b=1"]),
            (b"a; b \t;", &["a=", "b="]),
            (b"=x; ; ;", &[]),
            (b"a=b=c;", &["a=b=c"]),
            (b" a = b ;  c=d", &["a = b ", "c=d"]),
            (b"a=%41+b", &["a=%41+b"]),
            (b"a=\"x y\";\ta=2,b=3", &["a=\"x y\"", "a=2,b=3"]),
            (b"a= b \t", &["a= b"]),
            (b"$Version=1; a=\xff\x00", &["$Version=1", "a=\u{fffd}\0"]),
        ];
        for (header, expected) in cases {
            let mut found = Vec::new();
            parse(header, |name, value| {
                found.push(String::from_utf8_lossy(&[name, b"=", value].concat()).into_owned());
            });
            assert_eq!(found, expected, "{}", header.escape_ascii());
        }
    }
}
