//! Transformations (`t:`): what a value goes through before an operator sees it. Bytes in, bytes out; no IO.
//!
//! They work on bytes as ModSecurity's do, never on characters; where they differ from libmodsecurity 3.0.15 the crate's
//! `DEVIATIONS.md` says so. The work of each is linear in the value's length, and [`max_len`] bounds what it writes.

pub(crate) mod ascii;
mod base64;
mod bytes;
mod command;
mod comment;
mod digest;
mod escape;
mod hex;
mod html;
mod path;
mod php;
mod url;
mod utf8;
mod whitespace;

#[cfg(test)]
mod tests;

pub use ascii::ByteSet;
pub use coraza_seclang::rules::Transformation;

/// What a transformation did with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// The value stays as it is. Nothing was written.
    Unchanged,
    /// The new value was written.
    Changed,
}

/// Which byte `urlDecodeUni` writes for the code point of a `%uHHHH`. Full-width forms become ASCII either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnicodeMap {
    /// Its low byte: ModSecurity without `SecUnicodeMapFile`.
    #[default]
    LowByte,
    /// Its look-alike of code page 20127, else its low byte: `SecUnicodeMapFile unicode.mapping 20127`.
    UsAscii,
}

/// Which values a transformation may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggers {
    /// None.
    Nothing,
    /// Those that hold one of these bytes.
    Bytes(&'static ByteSet),
    /// Any, the empty one too.
    Anything,
}

impl Triggers {
    /// Whether the transformation may change `value`.
    pub fn hit(self, value: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bytes(set) => set.intersects(value),
            Self::Anything => true,
        }
    }
}

/// Transforms `input`. `out` is cleared first and holds the new value if there is one; it isn't touched further (so nothing is
/// allocated) for values outside of [`triggers`].
pub fn apply(transformation: Transformation, unicode: UnicodeMap, input: &[u8], out: &mut Vec<u8>) -> Effect {
    out.clear();
    if !triggers(transformation).hit(input) {
        return Effect::Unchanged;
    }
    out.reserve(max_len(transformation, input.len()));
    run(transformation, unicode, input, out);
    if out == input {
        out.clear();
        return Effect::Unchanged;
    }
    Effect::Changed
}

/// Appends what `transformation` makes of `input`, whatever its triggers.
fn run(transformation: Transformation, unicode: UnicodeMap, input: &[u8], out: &mut Vec<u8>) {
    match transformation {
        Transformation::None => out.extend_from_slice(input),
        Transformation::Base64Decode => base64::decode(input, out),
        Transformation::Base64DecodeExt => base64::decode_ext(input, out),
        Transformation::Base64Encode => base64::encode(input, out),
        Transformation::CmdLine => command::normalise(input, out),
        Transformation::CompressWhitespace => whitespace::compress(input, out),
        Transformation::CssDecode => escape::css(input, out),
        Transformation::EscapeSeqDecode => escape::ansi_c(input, out),
        Transformation::HexDecode => hex::decode(input, out),
        Transformation::HexEncode => hex::encode(input, out),
        Transformation::HtmlEntityDecode => html::decode(input, out),
        Transformation::JsDecode => escape::js(input, out),
        Transformation::Length => digest::length(input, out),
        Transformation::Lowercase => bytes::map(input, out, |byte| byte.to_ascii_lowercase()),
        Transformation::Md5 => digest::md5(input, out),
        Transformation::NormalisePath => path::normalise(input, out),
        Transformation::NormalisePathWin => path::normalise_win(input, out),
        Transformation::ParityEven7bit => bytes::map(input, out, bytes::even_parity),
        Transformation::ParityOdd7bit => bytes::map(input, out, bytes::odd_parity),
        Transformation::ParityZero7bit => bytes::map(input, out, bytes::zero_parity),
        Transformation::PhpArgsNames => php::args_name(input, out),
        Transformation::RemoveComments => comment::remove(input, out),
        Transformation::RemoveCommentsChar => comment::remove_marks(input, out),
        Transformation::RemoveNulls => bytes::remove_nulls(input, out),
        Transformation::RemoveWhitespace => whitespace::remove(input, out),
        Transformation::ReplaceComments => comment::replace(input, out),
        Transformation::ReplaceNulls => bytes::map(input, out, bytes::replace_null),
        Transformation::Sha1 => digest::sha1(input, out),
        Transformation::SqlHexDecode => hex::decode_sql(input, out),
        Transformation::Trim => out.extend_from_slice(whitespace::trim_left(whitespace::trim_right(input))),
        Transformation::TrimLeft => out.extend_from_slice(whitespace::trim_left(input)),
        Transformation::TrimRight => out.extend_from_slice(whitespace::trim_right(input)),
        Transformation::Uppercase => bytes::map(input, out, |byte| byte.to_ascii_uppercase()),
        Transformation::UrlDecode => url::decode(input, out),
        Transformation::UrlDecodeUni => url::decode_uni(unicode, input, out),
        Transformation::UrlEncode => url::encode(input, out),
        Transformation::Utf8ToUnicode => utf8::to_unicode(input, out),
    }
}

/// Which values `transformation` may change. A value outside of them is the same after it, so that a planner can drop the step.
pub const fn triggers(transformation: Transformation) -> Triggers {
    const SPACE: ByteSet = ByteSet::new(b" \t\n\x0b\x0c\r");
    const ALPHANUMERIC: ByteSet = ByteSet::range(b'0', b'9')
        .or(ByteSet::range(b'A', b'Z'))
        .or(ByteSet::range(b'a', b'z'));
    match transformation {
        Transformation::None => Triggers::Nothing,
        Transformation::Base64Decode
        | Transformation::Base64DecodeExt
        | Transformation::Base64Encode
        | Transformation::HexDecode
        | Transformation::HexEncode
        | Transformation::Length
        | Transformation::Md5
        | Transformation::Sha1 => Triggers::Anything,
        Transformation::CmdLine => Triggers::Bytes(&command::TRIGGERS),
        Transformation::CompressWhitespace
        | Transformation::Trim
        | Transformation::TrimLeft
        | Transformation::TrimRight => Triggers::Bytes(&SPACE),
        Transformation::CssDecode | Transformation::EscapeSeqDecode | Transformation::JsDecode => {
            Triggers::Bytes(&const { ByteSet::new(b"\\") })
        }
        Transformation::HtmlEntityDecode => Triggers::Bytes(&const { ByteSet::new(b"&") }),
        Transformation::Lowercase => Triggers::Bytes(&const { ByteSet::range(b'A', b'Z') }),
        Transformation::NormalisePath => Triggers::Bytes(&const { ByteSet::new(b"/.") }),
        Transformation::NormalisePathWin => Triggers::Bytes(&const { ByteSet::new(b"/\\.") }),
        Transformation::ParityEven7bit => Triggers::Bytes(&bytes::CHANGED_BY_EVEN),
        Transformation::ParityOdd7bit => Triggers::Bytes(&bytes::CHANGED_BY_ODD),
        Transformation::ParityZero7bit => Triggers::Bytes(&const { ByteSet::range(0x80, 0xff) }),
        Transformation::PhpArgsNames => Triggers::Bytes(&const { ByteSet::new(b" .[") }),
        Transformation::RemoveComments | Transformation::RemoveCommentsChar => {
            Triggers::Bytes(&const { ByteSet::new(b"/-#") })
        }
        Transformation::RemoveNulls | Transformation::ReplaceNulls => Triggers::Bytes(&const { ByteSet::new(b"\x00") }),
        Transformation::RemoveWhitespace => Triggers::Bytes(&const { SPACE.or(ByteSet::new(b"\xa0\xc2")) }),
        Transformation::ReplaceComments => Triggers::Bytes(&const { ByteSet::new(b"/") }),
        Transformation::SqlHexDecode => Triggers::Bytes(&const { ByteSet::new(b"xX") }),
        Transformation::Uppercase => Triggers::Bytes(&const { ByteSet::range(b'a', b'z') }),
        Transformation::UrlDecode | Transformation::UrlDecodeUni => Triggers::Bytes(&const { ByteSet::new(b"%+") }),
        Transformation::UrlEncode => Triggers::Bytes(&const { ALPHANUMERIC.or(ByteSet::new(b"*")).complement() }),
        Transformation::Utf8ToUnicode => {
            Triggers::Bytes(&const { ByteSet::range(0xc0, 0xf7).or(ByteSet::new(b"\x00")) })
        }
    }
}

/// The most bytes that `transformation` makes of a value of `len` bytes.
pub const fn max_len(transformation: Transformation, len: usize) -> usize {
    match transformation {
        Transformation::Base64Encode => len.div_ceil(3).saturating_mul(4),
        Transformation::HexEncode => len.saturating_mul(2),
        Transformation::HexDecode => len / 2,
        // A decimal number of 64 bits has 20 digits, the digest 20 bytes.
        Transformation::Length | Transformation::Sha1 => 20,
        Transformation::Md5 => 16,
        Transformation::UrlEncode => len.saturating_mul(3),
        // Two bytes that are overlong become seven.
        Transformation::Utf8ToUnicode => len.div_ceil(2).saturating_mul(7),
        _ => len,
    }
}

/// Asserts what `transformation` makes of each input, without a Unicode map.
#[cfg(test)]
fn check(transformation: Transformation, cases: &[(&[u8], &[u8])]) {
    let mut out = Vec::new();
    for (input, expected) in cases {
        let effect = apply(transformation, UnicodeMap::LowByte, input, &mut out);
        let shown = input.escape_ascii();
        match effect {
            Effect::Unchanged => assert_eq!(input, expected, "{shown}"),
            Effect::Changed => assert_eq!(
                out.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{shown}"
            ),
        }
        assert_eq!(effect == Effect::Changed, input != expected, "{shown}");
    }
}
