//! `Content-Disposition` of a part, read as strictly as ModSecurity does. No IO.

use std::borrow::Cow;

use super::super::Found;
use super::super::Sink;
use super::super::cursor::Cursor;
use super::super::urlencoded::Decoder;
use super::{Flags, MultipartError};

/// What a part is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: Vec<u8>,
    /// Not of an argument. An empty one is that of an argument.
    pub(super) filename: Vec<u8>,
}

/// Reads the header's value. The names it finds are given to `sink` even if the value turns out to be invalid.
pub(super) fn parse(value: &[u8], flags: &mut Flags, sink: &mut Sink<'_>) -> Result<Disposition, MultipartError> {
    let mut cursor = Cursor::new(value);
    let mut disposition = Disposition::default();
    let mut extended = false;
    if !cursor.eat(b"form-data") {
        return Err(MultipartError::InvalidDisposition);
    }
    space(&mut cursor);
    while !cursor.is_empty() {
        if !cursor.eat(b";") {
            return Err(MultipartError::InvalidDisposition);
        }
        if cursor.is_empty() {
            break;
        }
        match parameter(&mut cursor, flags)? {
            (b"name", value) => {
                sink(Found::PartName(&value));
                set(&mut disposition.name, value)?;
            }
            (b"filename", value) => {
                sink(Found::PartFilename(&value));
                set(&mut disposition.filename, value)?;
            }
            (b"filename*", value) if !extended => {
                extended = true;
                sink(Found::PartFilename(Decoder::default().decode(extended_value(&value)?)));
            }
            _ => return Err(MultipartError::InvalidDisposition),
        }
    }
    if disposition.name.is_empty() {
        return Err(MultipartError::NoName);
    }
    // Parsers that don't know `filename*` take such a part for an argument.
    if extended && disposition.filename.is_empty() {
        return Err(MultipartError::InvalidDisposition);
    }
    Ok(disposition)
}

fn set(slot: &mut Vec<u8>, value: Cow<'_, [u8]>) -> Result<(), MultipartError> {
    if !slot.is_empty() {
        return Err(MultipartError::InvalidDisposition);
    }
    *slot = value.into_owned();
    Ok(())
}

/// Reads a parameter and the spaces around it.
fn parameter<'v>(cursor: &mut Cursor<'v>, flags: &mut Flags) -> Result<(&'v [u8], Cow<'v, [u8]>), MultipartError> {
    space(cursor);
    let name = cursor.take_while(|byte| !matches!(byte, b'=' | b'\t' | b' '));
    space(cursor);
    if !cursor.eat(b"=") {
        return Err(MultipartError::InvalidDisposition);
    }
    space(cursor);
    if cursor.is_empty() {
        return Err(MultipartError::InvalidDisposition);
    }
    let value = match cursor.peek() {
        Some(quote @ (b'"' | b'\'')) if name != b"filename*" => {
            flags.invalid_quoting |= quote == b'\'';
            let value = quoted(cursor, quote, flags)?;
            // What follows may be part of the value for others.
            flags.invalid_quoting |= !matches!(cursor.peek(), None | Some(b';' | b' ' | b'\t'));
            Cow::Owned(value)
        }
        _ if name == b"filename*" => Cow::Borrowed(cursor.take_while(|byte| !matches!(byte, b';' | b' ' | b'\t'))),
        _ => Cow::Borrowed(cursor.take_while(is_token)),
    };
    space(cursor);
    Ok((name, value))
}

/// Reads a value in quotes. Only the quote and the backslash can be escaped: some clients send paths with single backslashes.
fn quoted(cursor: &mut Cursor<'_>, quote: u8, flags: &mut Flags) -> Result<Vec<u8>, MultipartError> {
    cursor.take(1);
    let mut value = Vec::new();
    loop {
        value.extend_from_slice(cursor.take_while(|byte| byte != quote && byte != b'\\'));
        match (cursor.take(1), cursor.peek()) {
            ([b'\\'], Some(escaped)) if escaped == quote || escaped == b'\\' => {
                value.push(escaped);
                cursor.take(1);
            }
            ([b'\\'], Some(_)) => value.push(b'\\'),
            ([byte], _) if *byte == quote => return Ok(value),
            _ => {
                // The quote is not closed.
                flags.invalid_quoting = true;
                return Err(MultipartError::InvalidDisposition);
            }
        }
    }
}

/// The text of RFC 5987's `charset'language'text`.
fn extended_value(value: &[u8]) -> Result<&[u8], MultipartError> {
    let mut pieces = value.splitn(3, |byte| *byte == b'\'');
    pieces.nth(2).ok_or(MultipartError::InvalidDisposition)
}

fn space(cursor: &mut Cursor<'_>) {
    cursor.take_while(|byte| matches!(byte, b' ' | b'\t'));
}

/// RFC 2045's characters of a token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}
