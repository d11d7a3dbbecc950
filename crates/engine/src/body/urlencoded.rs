//! Forms and query strings: `name=value` pairs, percent-encoded. No IO.

use super::{Found, Options, Outcome, Sink};
use crate::transformations::ascii::hex_byte;

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlEncodedError {
    /// There are more arguments than [`Options::arguments`]; the rest was not read.
    #[error("more arguments than the limit")]
    TooManyArguments,
}

/// Reads a query string or the body of a form. Every separator ends a pair, empty or not; nothing after the last one is no pair.
pub fn parse(input: &[u8], options: &Options, sink: &mut Sink<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut name, mut value) = (Decoder::default(), Decoder::default());
    let mut rest = input;
    let mut left = options.arguments;
    while !rest.is_empty() {
        if left == 0 {
            outcome.error = Some(super::BodyError::UrlEncoded(UrlEncodedError::TooManyArguments));
            break;
        }
        left -= 1;
        let (pair, next) = split(rest, options.argument_separator);
        let (raw_name, raw_value) = split(pair, b'=');
        let argument = Found::Argument {
            name: name.decode(raw_name),
            value: value.decode(raw_value),
        };
        sink(argument);
        outcome.work += rest.len() - next.len();
        rest = next;
    }
    outcome.work += name.written + value.written;
    outcome.invalid_escape = name.invalid_escape || value.invalid_escape;
    outcome
}

/// What comes before and after the first `separator`.
fn split(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(separator, text).and_then(|at| text.split_at_checked(at)) {
        Some((before, [_, after @ ..])) => (before, after),
        _ => (text, &[]),
    }
}

/// Decodes percent-encoding, its buffer used again for each text.
#[derive(Default)]
pub(super) struct Decoder {
    decoded: Vec<u8>,
    /// Whether there has been a `%` without two hexadecimal digits. It stays as it is.
    invalid_escape: bool,
    written: usize,
}

impl Decoder {
    pub(super) fn decode<'a>(&'a mut self, text: &'a [u8]) -> &'a [u8] {
        if memchr::memchr2(b'%', b'+', text).is_none() {
            return text;
        }
        self.decoded.clear();
        let mut rest = text;
        while let Some((plain, escape)) = memchr::memchr2(b'%', b'+', rest).and_then(|at| rest.split_at_checked(at)) {
            self.decoded.extend_from_slice(plain);
            rest = self.escape(escape);
        }
        self.decoded.extend_from_slice(rest);
        self.written += self.decoded.len();
        &self.decoded
    }

    /// Decodes the escape that `text` begins with and returns what comes after it.
    fn escape<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        match text {
            [b'+', rest @ ..] => {
                self.decoded.push(b' ');
                rest
            }
            [_, high, low, rest @ ..] if let Some(byte) = hex_byte(*high, *low) => {
                self.decoded.push(byte);
                rest
            }
            [first, rest @ ..] => {
                self.invalid_escape = true;
                self.decoded.push(*first);
                rest
            }
            [] => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::collect;
    use super::*;

    fn check(options: &Options, input: &[u8], found: &[&str], invalid_escape: bool) {
        let (actual, outcome) = collect(|sink| parse(input, options, sink));
        assert_eq!(actual, found, "{}", input.escape_ascii());
        assert_eq!(outcome.invalid_escape, invalid_escape, "{}", input.escape_ascii());
        assert_eq!(outcome.error, None);
    }

    #[test]
    fn pairs_are_split_and_decoded() {
        let options = Options::default();
        check(&options, b"", &[], false);
        check(&options, b"a=1&&b=2&", &["a=1", "=", "b=2"], false);
        check(&options, b"a&=b&=", &["a=", "=b", "="], false);
        check(&options, b"a=b=c", &["a=b=c"], false);
        check(&options, b"a+b=c+d%2B", &["a b=c d+"], false);
        check(&options, b"%41=%00&b;c=d", &[r"A=\x00", "b;c=d"], false);
        check(&options, b"%2541=%26%3d", &["%41=&="], false);
    }

    #[test]
    fn invalid_escapes_stay_and_are_told() {
        let options = Options::default();
        for input in ["a=%4", "a=%", "a=%zz", "%zz=1", "a=%u0041", "a=%%41"] {
            let decoded = input.replace("%%41", "%A");
            check(&options, input.as_bytes(), &[&decoded], true);
        }
    }

    #[test]
    fn the_separator_can_be_chosen() {
        let options = Options {
            argument_separator: b';',
            ..Options::default()
        };
        check(&options, b"a=1;b=2&c=3", &["a=1", "b=2&c=3"], false);
    }

    #[test]
    fn arguments_beyond_the_limit_are_an_error() {
        let options = Options {
            arguments: 2,
            ..Options::default()
        };
        check(&options, b"a=1&b=2&", &["a=1", "b=2"], false);
        let (found, outcome) = collect(|sink| parse(b"a=1&b=2&c", &options, sink));
        assert_eq!(found, ["a=1", "b=2"]);
        assert_eq!(
            outcome.error,
            Some(super::super::BodyError::UrlEncoded(UrlEncodedError::TooManyArguments))
        );
    }
}
