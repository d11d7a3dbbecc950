//! JSON documents: each scalar is an argument, named by its path (`json.user.emails.0`). The path of an array is that of its length. No IO.
//!
//! A walker of its own, without recursion: values come out in order of arrival, duplicate keys each time, numbers as they are written,
//! and what can be read of a malformed document is given too. Errors inside a string don't end the walk, for the string still reaches
//! whatever is more lenient behind us.

mod string;
mod walker;

use super::{Options, Outcome, Sink};
use walker::Walker;

/// How the items of arrays are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ArrayKeys {
    /// By their number: `json.list.0`, as Coraza does.
    #[default]
    Index,
    /// As ModSecurity does: `json.list.array_0`.
    Prefixed,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It ends too soon.
    #[error("the document ends too soon")]
    Truncated,
    /// A value was expected.
    #[error("not a value")]
    InvalidValue,
    /// A number is not written as JSON wants it.
    #[error("malformed number")]
    InvalidNumber,
    /// A key was expected.
    #[error("an object's key is not a string")]
    InvalidKey,
    /// A key is not followed by a colon.
    #[error("no colon after an object's key")]
    MissingColon,
    /// Neither a comma nor the container's end follows a value.
    #[error("neither a comma nor the end after a value")]
    MissingComma,
    /// Something follows the document.
    #[error("bytes after the document")]
    TrailingBytes,
    /// A string holds a backslash that is no escape. It stays as it is.
    #[error("invalid escape in a string")]
    InvalidEscape,
    /// A string holds a control character. It stays as it is.
    #[error("control character in a string")]
    ControlCharacter,
    /// A string is not UTF-8. Its bytes stay as they are.
    #[error("invalid UTF-8 in a string")]
    InvalidUtf8,
    /// Containers nest deeper than [`Options::json_depth`].
    #[error("nested deeper than the limit")]
    TooDeep,
    /// There are more values than [`Options::arguments`].
    #[error("more arguments than the limit")]
    TooManyArguments,
    /// The names of the arguments are together far longer than the document: long keys around many values.
    #[error("paths longer than the limit")]
    PathsTooLong,
}

/// Reads a document. The empty body is no error.
pub fn parse(body: &[u8], options: &Options, sink: &mut Sink<'_>) -> Outcome {
    if body.is_empty() {
        return Outcome::default();
    }
    let mut walker = Walker::new(body, options, sink);
    let end = walker.document();
    Outcome {
        error: walker.string_error().or(end.err()).map(super::BodyError::Json),
        work: walker.work(),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::collect;
    use super::*;

    fn check(options: &Options, body: &[u8], found: &[&str], error: Option<JsonError>) {
        let (actual, outcome) = collect(|sink| parse(body, options, sink));
        assert_eq!(actual, found, "{}", body.escape_ascii());
        assert_eq!(
            outcome.error,
            error.map(super::super::BodyError::Json),
            "{}",
            body.escape_ascii()
        );
    }

    #[test]
    fn scalars_are_named_by_their_path() {
        let options = Options::default();
        check(&options, b"", &[], None);
        check(&options, b"5", &["json=5"], None);
        check(&options, b" \"a\" ", &["json=a"], None);
        check(&options, b"{}", &[], None);
        check(&options, b"[[[]],{}]", &["json.0.0=0", "json.0=1", "json=2"], None);
        check(
            &options,
            br#"{"a":[1,2,{"b":3}],"c":null,"d":{"e":true},"f":false}"#,
            &[
                "json.a.0=1",
                "json.a.1=2",
                "json.a.2.b=3",
                "json.a=3",
                "json.c=",
                "json.d.e=true",
                "json.f=false",
            ],
            None,
        );
        check(&options, br#"{"a":1,"a":2}"#, &["json.a=1", "json.a=2"], None);
        check(
            &options,
            br#"{"":1,"a":{"":2}}"#,
            &["json.empty-key=1", "json.a.empty-key=2"],
            None,
        );
        check(
            &options,
            br#"[1,[2,3],{"a":[]},4]"#,
            &[
                "json.0=1",
                "json.1.0=2",
                "json.1.1=3",
                "json.1=2",
                "json.2.a=0",
                "json.3=4",
                "json=4",
            ],
            None,
        );
    }

    #[test]
    fn items_can_be_named_as_modsecurity_does() {
        let options = Options {
            json_array_keys: ArrayKeys::Prefixed,
            ..Options::default()
        };
        let found = ["json.a.array_0=1", "json.a.array_1.b=2", "json.a.array_2.array_0=3"];
        check(&options, br#"{"a":[1,{"b":2},[3]]}"#, &found, None);
    }

    #[test]
    fn numbers_stay_as_written() {
        let options = Options::default();
        for number in ["0", "-0", "1e999", "-1.5E+10", "123456789012345678901234567890", "0.10"] {
            check(&options, number.as_bytes(), &[&format!("json={number}")], None);
        }
        for number in ["-", "1.", "1e", "1e+", "-a"] {
            check(&options, number.as_bytes(), &[], Some(JsonError::InvalidNumber));
        }
        check(&options, b"01", &["json=0"], Some(JsonError::TrailingBytes));
    }

    #[test]
    fn escapes_are_decoded() {
        let options = Options::default();
        let cases: [(&[u8], &str); 6] = [
            (br#""\"\\\/\b\f\n\r\t""#, r#"json=\"\\/\x08\x0c\n\r\t"#),
            (br#""\u0041\u00e9\u0000""#, r"json=A\xc3\xa9\x00"),
            (br#""\ud83d\ude00""#, r"json=\xf0\x9f\x98\x80"),
            (br#""\ud83dx\ude00""#, "json=?x?"),
            (br#""\ud83d\u0041""#, "json=?A"),
            (br#""\ud83d""#, "json=?"),
        ];
        for (body, found) in cases {
            check(&options, body, &[found], None);
        }
    }

    #[test]
    fn faults_of_a_string_stay_in_it() {
        let options = Options::default();
        check(
            &options,
            br#"["\q",1]"#,
            &[r"json.0=\\q", "json.1=1", "json=2"],
            Some(JsonError::InvalidEscape),
        );
        check(
            &options,
            br#"["\u00zz"]"#,
            &[r"json.0=\\u00zz", "json=1"],
            Some(JsonError::InvalidEscape),
        );
        check(
            &options,
            b"[\"a\nb\"]",
            &[r"json.0=a\nb", "json=1"],
            Some(JsonError::ControlCharacter),
        );
        check(
            &options,
            b"[\"\xff\",1]",
            &[r"json.0=\xff", "json.1=1", "json=2"],
            Some(JsonError::InvalidUtf8),
        );
        check(
            &options,
            b"{\"\xff\":1}",
            &[r"json.\xff=1"],
            Some(JsonError::InvalidUtf8),
        );
    }

    #[test]
    fn what_comes_before_an_error_is_kept() {
        let options = Options::default();
        let cases: [(&[u8], &[&str], JsonError); 20] = [
            (b"   ", &[], JsonError::Truncated),
            (br#"{"a":1} x"#, &["json.a=1"], JsonError::TrailingBytes),
            (br#"{"a":1,"#, &["json.a=1"], JsonError::Truncated),
            (br#"{"a":1,}"#, &["json.a=1"], JsonError::InvalidKey),
            (b"[1,]", &["json.0=1"], JsonError::InvalidValue),
            (b"[1 2]", &["json.0=1"], JsonError::MissingComma),
            (br#"{"a" 1}"#, &[], JsonError::MissingColon),
            (b"{a:1}", &[], JsonError::InvalidKey),
            (b"{'a':1}", &[], JsonError::InvalidKey),
            (br#"{"a":"x"#, &["json.a=x"], JsonError::Truncated),
            (br#"{"a"#, &[], JsonError::Truncated),
            (br#"{"a":"x\"#, &[r"json.a=x\\"], JsonError::InvalidEscape),
            (b"nul", &[], JsonError::InvalidValue),
            (b"nullx", &["json="], JsonError::TrailingBytes),
            (b"{\"a\":1}\0", &["json.a=1"], JsonError::TrailingBytes),
            (b"// c\n1", &[], JsonError::InvalidValue),
            (b"\xef\xbb\xbf{}", &[], JsonError::InvalidValue),
            (b"{} {}", &[], JsonError::TrailingBytes),
            (b"[1}", &["json.0=1"], JsonError::MissingComma),
            (b"]", &[], JsonError::InvalidValue),
        ];
        for (body, found, error) in cases {
            check(&options, body, found, Some(error));
        }
    }

    #[test]
    fn limits_end_the_walk() {
        let options = Options {
            json_depth: 2,
            arguments: 2,
            ..Options::default()
        };
        check(&options, b"{\"x\":[1]}", &["json.x.0=1", "json.x=1"], None);
        check(
            &options,
            br#"{"x":1,"b":[[2]]}"#,
            &["json.x=1"],
            Some(JsonError::TooDeep),
        );
        check(
            &options,
            b"[1,2,3]",
            &["json.0=1", "json.1=2"],
            Some(JsonError::TooManyArguments),
        );
    }

    #[test]
    fn a_long_key_around_many_values_is_no_amplifier() {
        let body = format!("{{\"{}\":[{}1]}}", "k".repeat(1 << 20), "1,".repeat(900));
        let (_, outcome) = collect(|sink| parse(body.as_bytes(), &Options::default(), sink));
        assert_eq!(
            outcome.error,
            Some(super::super::BodyError::Json(JsonError::PathsTooLong))
        );
        assert!(outcome.work < 4 * body.len() + (1 << 20), "{}", outcome.work);
    }
}
