//! Bracketed classes. Here the dialects differ most: for regex-syntax `[` opens a class in the class, `&&`, `--` and `~~` are
//! set operators, and a hyphen beside `\w` is an error.

use super::error::{ErrorKind, PatternError};
use super::translate::{Translator, number};

/// What stands before the place in a class, which decides what a hyphen there means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The opening, a class such as `\w`, or a complete range: a hyphen is a hyphen.
    NoRange,
    /// A single byte: a hyphen may make a range of it.
    Byte,
    /// A byte and a hyphen: the next byte ends the range.
    HalfRange,
}

impl Translator<'_> {
    /// A class, from its `[` to its `]`.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        let start = self.at();
        self.copy(if self.rest().starts_with(b"[^") { 2 } else { 1 });
        let mut before = Before::NoRange;
        if self.peek() == Some(b']') {
            self.replace(1, r"\]");
            before = Before::Byte;
        }
        loop {
            match self.peek() {
                Some(b']') => {
                    self.copy(1);
                    return Ok(());
                }
                Some(byte) => before = self.class_item(byte, before)?,
                None => {
                    let kind = ErrorKind::Syntax("unclosed character class".into());
                    return Err(PatternError::new(kind, start..self.at()));
                }
            }
        }
    }

    /// One item of a class; returns what then stands before the next.
    fn class_item(&mut self, byte: u8, before: Before) -> Result<Before, PatternError> {
        if let Some(length) = set_length(self.rest()) {
            self.copy(length);
            return Ok(Before::NoRange);
        }
        if byte == b'-' && before != Before::HalfRange {
            let next = self.rest().get(1..).unwrap_or_default();
            if before == Before::Byte && next.first() != Some(&b']') && set_length(next).is_none() {
                self.copy(1);
                return Ok(Before::HalfRange);
            }
        }
        match byte {
            b'\\' => self.class_escape()?,
            b'[' | b'&' | b'~' | b'-' => self.replace(1, &format!("\\{}", char::from(byte))),
            // With (?x) regex-syntax skips these in classes; PCRE does not.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b'#' => self.byte(1, byte),
            _ => self.copy(1),
        }
        Ok(if before == Before::HalfRange {
            Before::NoRange
        } else {
            Before::Byte
        })
    }

    /// A backslash in a class, before a single byte.
    fn class_escape(&mut self) -> Result<(), PatternError> {
        match self.rest() {
            [_, b'b', ..] => self.byte(2, 0x08),
            // No back-reference can stand here: octal.
            [_, digits @ ..] if matches!(digits, [b'1'..=b'7', ..]) => {
                let (value, length) = number(digits, 8, 3);
                self.byte(length.saturating_add(1), value);
            }
            [_, byte @ (b'A' | b'B' | b'g' | b'k' | b'z' | b'8' | b'9'), ..] => {
                return self.refuse(2, ErrorKind::UnsupportedEscape(char::from(*byte)));
            }
            _ => return self.common_escape(),
        }
        Ok(())
    }
}

/// The length of an item that is a set of its own: `\w` and its like, or `[:alpha:]`.
fn set_length(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'd' | b'D' | b's' | b'S' | b'w' | b'W', ..] => Some(2),
        [b'[', b':', name @ ..] => {
            let length = name
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'^')
                .count();
            name.get(length..)?.starts_with(b":]").then(|| length.saturating_add(4))
        }
        _ => None,
    }
}
