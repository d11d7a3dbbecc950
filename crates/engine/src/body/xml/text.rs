//! Character data of XML: references decoded, line ends made one, and what a document's encoding allows. No IO.

use super::XmlError;

/// The longest reference that is looked for: `&#x10FFFF;` with leading zeros, `&quot;`.
const MAX_REFERENCE: usize = 32;

/// Encodings in which markup and ASCII text are ASCII bytes. Bytes above stay as they are.
const ENCODINGS: [(&str, Encoding); 4] = [
    ("utf-8", Encoding::Utf8),
    ("utf8", Encoding::Utf8),
    ("us-ascii", Encoding::Utf8),
    ("iso-8859-1", Encoding::Latin1),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Latin1,
}

/// The encoding that an XML declaration (without its marks) names.
pub(super) fn declared_encoding(declaration: &[u8]) -> Result<Encoding, XmlError> {
    let Some(at) = memchr::memmem::find(declaration, b"encoding") else {
        return Ok(Encoding::Utf8);
    };
    let quoted = declaration.get(at..).unwrap_or_default();
    let mut pieces = quoted.split(|byte| matches!(byte, b'"' | b'\''));
    let name = pieces.nth(1).unwrap_or_default();
    let known = ENCODINGS
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    known
        .map(|(_, encoding)| *encoding)
        .ok_or(XmlError::UnsupportedEncoding)
}

/// Whether a document begins as those in UTF-16, UTF-32 or EBCDIC do, in which its text can't be read as bytes.
pub(super) fn is_wide(body: &[u8]) -> bool {
    matches!(
        body,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] | [0x4c, 0x6f, 0xa7, 0x94, ..]
    )
}

/// Whether all of a document's characters are allowed.
pub(super) fn is_valid(body: &[u8], encoding: Encoding) -> bool {
    let control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    !body.iter().any(control) && (encoding == Encoding::Latin1 || std::str::from_utf8(body).is_ok())
}

/// Appends an attribute's value to `out`, as [`decode`] does, and with a space for each tab and line end that isn't a reference (XML 1.0, 3.3.3).
pub(super) fn decode_attribute(raw: &[u8], out: &mut Vec<u8>) -> Result<(), XmlError> {
    decode_with(raw, out, |plain, out| {
        let start = out.len();
        push_lines(plain, out);
        let added = out.iter_mut().skip(start);
        added
            .filter(|byte| matches!(byte, b'\t' | b'\n'))
            .for_each(|byte| *byte = b' ');
    })
}

/// Appends `raw` to `out`, its references decoded and its line ends made one. The first reference that can't be decoded is returned as an error.
pub(super) fn decode(raw: &[u8], out: &mut Vec<u8>) -> Result<(), XmlError> {
    decode_with(raw, out, push_lines)
}

/// Appends `raw` to `out` with a line feed for each line end: `\r\n`, or `\r` alone (XML 1.0, 2.11). An application never sees the others.
pub(super) fn push_lines(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some((line, [_, after @ ..])) = memchr::memchr(b'\r', rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = after.strip_prefix(b"\n").unwrap_or(after);
    }
    out.extend_from_slice(rest);
}

fn decode_with(raw: &[u8], out: &mut Vec<u8>, push: impl Fn(&[u8], &mut Vec<u8>)) -> Result<(), XmlError> {
    let mut result = Ok(());
    let mut rest = raw;
    while let Some((plain, reference)) = memchr::memchr(b'&', rest).and_then(|at| rest.split_at_checked(at)) {
        push(plain, out);
        let (text, after) = split_reference(reference);
        match text.and_then(character) {
            Some(character) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            None => {
                result = Err(XmlError::UnknownReference);
                out.push(b'&');
                rest = reference.get(1..).unwrap_or_default();
            }
        }
    }
    push(rest, out);
    result
}

/// What stands between the `&` that `text` begins with and the next `;`, if there is one near, and what comes after.
fn split_reference(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let near = text.get(..text.len().min(MAX_REFERENCE)).unwrap_or_default();
    let end = memchr::memchr(b';', near).unwrap_or(0);
    (text.get(1..end), text.get(end + 1..).unwrap_or_default())
}

fn character(reference: &[u8]) -> Option<char> {
    let number = |digits: &[u8], radix| {
        // `from_str_radix` takes a sign, XML does not.
        let first = digits.first()?;
        let digits = std::str::from_utf8(digits).ok().filter(|_| first.is_ascii_hexdigit())?;
        char::from_u32(u32::from_str_radix(digits, radix).ok()?)
    };
    match reference {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    }
}
