//! Strings of JSON: escapes decoded, errors noted and passed over. No IO.

use super::super::cursor::Cursor;
use super::JsonError;
use crate::transformations::ascii::hex_byte;

/// What a lone half of a surrogate pair becomes.
const REPLACEMENT: u8 = b'?';

/// Reads a string after its opening quote, appending it to `text`, and notes the first thing that is wrong with it in `error`.
/// Whether it has a closing quote is returned.
pub(super) fn read(cursor: &mut Cursor<'_>, text: &mut Vec<u8>, error: &mut Option<JsonError>) -> bool {
    loop {
        let special = memchr::memchr2(b'"', b'\\', cursor.rest());
        let plain = cursor.take(special.unwrap_or(usize::MAX));
        if let Some(wrong) = fault(plain) {
            error.get_or_insert(wrong);
        }
        text.extend_from_slice(plain);
        match cursor.take(1) {
            [b'"'] => return true,
            [b'\\'] => escape(cursor, text, error),
            _ => return false,
        }
    }
}

fn fault(plain: &[u8]) -> Option<JsonError> {
    if plain.iter().any(|byte| *byte < b' ') {
        return Some(JsonError::ControlCharacter);
    }
    std::str::from_utf8(plain).is_err().then_some(JsonError::InvalidUtf8)
}

/// Decodes an escape after its backslash.
fn escape(cursor: &mut Cursor<'_>, text: &mut Vec<u8>, error: &mut Option<JsonError>) {
    let decoded = match cursor.peek() {
        Some(byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') if let Some(unit) = code_unit(cursor.rest()) => {
            cursor.take(5);
            return code_point(unit, cursor, text);
        }
        _ => {
            error.get_or_insert(JsonError::InvalidEscape);
            return text.push(b'\\');
        }
    };
    cursor.take(1);
    text.push(decoded);
}

/// The code unit of `uHHHH`.
fn code_unit(text: &[u8]) -> Option<u16> {
    let [b'u', a, b, c, d, ..] = *text else {
        return None;
    };
    Some(u16::from_be_bytes([hex_byte(a, b)?, hex_byte(c, d)?]))
}

/// Appends the character that `unit` begins, taking the other half of a surrogate pair.
fn code_point(unit: u16, cursor: &mut Cursor<'_>, text: &mut Vec<u8>) {
    let low = match cursor.rest() {
        [b'\\', rest @ ..] => code_unit(rest),
        _ => None,
    };
    if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (unit, low) {
        cursor.take(6);
        push(
            0x10000 + ((u32::from(unit) & 0x3ff) << 10 | u32::from(low) & 0x3ff),
            text,
        );
    } else {
        push(u32::from(unit), text);
    }
}

fn push(code: u32, text: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => text.push(REPLACEMENT),
    }
}
