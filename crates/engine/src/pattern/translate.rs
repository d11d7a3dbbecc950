//! From the dialect that PCRE and RE2 share to that of `regex-syntax`, one pass over the bytes. No IO.
//!
//! Both read most patterns alike. What is rewritten is what `regex-syntax` refuses though it is harmless (a literal `{`, `\e`,
//! `[\w-.]`) and, worse, what it accepts with another meaning (`[a[b]`, `[a&&b]`, `\<`). Rewriting before the first attempt
//! rather than after a failed one is what catches the latter. What no automaton can do is refused by its name.

use std::fmt::Write as _;
use std::ops::Range;

use super::error::{ErrorKind, PatternError};

/// A translated pattern and the way back.
#[derive(Debug)]
pub(super) struct Translation {
    /// ASCII: every other byte is written as `\xHH`.
    pub(super) text: String,
    /// Of each byte of `text`, the offset in the pattern of what it was made from; one more for the end.
    origins: Vec<usize>,
}

impl Translation {
    /// Leads a span in `text` back to the pattern. An empty span grows to the byte that follows: there is something to point at.
    pub(super) fn origin(&self, span: &Range<usize>) -> Range<usize> {
        let of = |offset: usize| self.origins.get(offset).or(self.origins.last()).copied().unwrap_or(0);
        let start = of(span.start);
        let end = if span.is_empty() {
            span.end.saturating_add(1)
        } else {
            span.end
        };
        start..of(end).max(start)
    }
}

/// Translates a pattern.
pub(super) fn translate(pattern: &[u8]) -> Result<Translation, PatternError> {
    let mut translator = Translator {
        pattern,
        at: 0,
        text: String::new(),
        origins: Vec::new(),
        verbose: false,
        outer: Vec::new(),
    };
    while let Some(byte) = translator.peek() {
        translator.item(byte)?;
    }
    translator.origins.push(pattern.len());
    Ok(Translation {
        text: translator.text,
        origins: translator.origins,
    })
}

/// The place in the pattern and what was written so far.
pub(super) struct Translator<'p> {
    pattern: &'p [u8],
    at: usize,
    text: String,
    origins: Vec<usize>,
    /// Whether `(?x)` holds here: `#` starts a comment, which must not be read as a pattern.
    pub(super) verbose: bool,
    /// The same of each group around this place, for when this one closes.
    pub(super) outer: Vec<bool>,
}

impl<'p> Translator<'p> {
    pub(super) fn rest(&self) -> &'p [u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Writes `text` for the next `length` bytes of the pattern.
    pub(super) fn replace(&mut self, length: usize, text: &str) {
        self.text.push_str(text);
        self.origins.resize(self.text.len(), self.at);
        self.at = self.at.saturating_add(length).min(self.pattern.len());
    }

    /// Copies the next `length` bytes, those that aren't ASCII as escapes.
    pub(super) fn copy(&mut self, length: usize) {
        for byte in self.rest().iter().copied().take(length) {
            if byte.is_ascii() {
                self.replace(1, char::from(byte).encode_utf8(&mut [0; 4]));
            } else {
                self.byte(1, byte);
            }
        }
    }

    /// Writes a byte as `\xHH` for the next `length` bytes of the pattern.
    pub(super) fn byte(&mut self, length: usize, byte: u8) {
        let mut escape = String::new();
        // Writing to a String can't fail.
        let _ = write!(escape, "\\x{byte:02x}");
        self.replace(length, &escape);
    }

    /// An error about the next `length` bytes of the pattern.
    pub(super) fn refuse<T>(&self, length: usize, kind: ErrorKind) -> Result<T, PatternError> {
        let end = self.at.saturating_add(length).min(self.pattern.len());
        Err(PatternError::new(kind, self.at..end))
    }

    /// One item outside of classes.
    fn item(&mut self, byte: u8) -> Result<(), PatternError> {
        match byte {
            b'\\' => self.escape(),
            b'[' => self.class(),
            b'(' => self.group(),
            b')' => {
                self.verbose = self.outer.pop().unwrap_or(false);
                self.copy(1);
                Ok(())
            }
            b'*' | b'+' | b'?' => self.quantifier(1),
            b'{' => match counted_length(self.rest()) {
                Some(length) => self.quantifier(length),
                None => {
                    self.replace(1, r"\{");
                    Ok(())
                }
            },
            b'#' if self.verbose => {
                let rest = self.rest();
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.replace(end, "");
                Ok(())
            }
            _ => {
                self.copy(1);
                Ok(())
            }
        }
    }

    /// A quantifier of `length` bytes and the `?` that makes it lazy. What follows must not be one more.
    fn quantifier(&mut self, length: usize) -> Result<(), PatternError> {
        self.copy(length);
        let lazy = match self.peek() {
            Some(b'?') => {
                self.copy(1);
                true
            }
            _ => false,
        };
        match self.peek() {
            Some(b'+') if !lazy => self.refuse(1, ErrorKind::Possessive),
            Some(b'*' | b'+' | b'?') => self.refuse(1, ErrorKind::NestedQuantifier),
            _ => Ok(()),
        }
    }

    /// A backslash outside of classes.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.rest() {
            [_, b'1'..=b'9' | b'g' | b'k', ..] => self.refuse(2, ErrorKind::BackReference),
            [_, b'h', ..] => {
                self.replace(2, r"[\t\x20\xa0]");
                Ok(())
            }
            _ => self.common_escape(),
        }
    }

    /// A backslash that means the same inside and outside of classes.
    pub(super) fn common_escape(&mut self) -> Result<(), PatternError> {
        match self.rest() {
            [_, b'x', b'{', ..] => self.braced_hexadecimal(),
            [_, b'x', digits @ ..] => {
                let (value, length) = number(digits, 16, 2);
                self.byte(length.saturating_add(2), value);
            }
            [_, b'0', digits @ ..] => {
                let (value, length) = number(digits, 8, 2);
                self.byte(length.saturating_add(2), value);
            }
            [_, b'e', ..] => self.byte(2, 0x1b),
            // Redundant escapes; regex-syntax reads `\<` and `\>` as the start and end of a word.
            [_, byte @ (b'<' | b'>'), ..] => self.byte(2, *byte),
            [_, byte, ..] if !byte.is_ascii() => self.byte(2, *byte),
            [_, b'p' | b'P', ..] => return self.refuse(2, ErrorKind::Unicode),
            [
                _,
                byte
                @ (b'c' | b'C' | b'E' | b'G' | b'H' | b'K' | b'N' | b'Q' | b'R' | b'U' | b'V' | b'X' | b'Z' | b'u'),
                ..,
            ] => {
                return self.refuse(2, ErrorKind::UnsupportedEscape(char::from(*byte)));
            }
            _ => self.copy(2),
        }
        Ok(())
    }

    /// `\x{…}`: a byte if it is one, else the character as regex-syntax reads it.
    fn braced_hexadecimal(&mut self) {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| *byte == b'}')
            .map_or(rest.len(), |end| end.saturating_add(1));
        let digits = rest
            .get(3..length.saturating_sub(1))
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits
            .filter(|digits| !digits.starts_with('+'))
            .map(|digits| u8::from_str_radix(digits, 16))
        {
            Some(Ok(byte)) => self.byte(length, byte),
            _ => self.copy(length),
        }
    }
}

/// The length of `{n}`, `{n,}` or `{n,m}`; any other brace is literal.
fn counted_length(rest: &[u8]) -> Option<usize> {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let low = digits(rest.get(1..)?);
    let mut at = low.saturating_add(1);
    if low > 0 && rest.get(at) == Some(&b',') {
        at = at.saturating_add(1);
        at = at.saturating_add(digits(rest.get(at..)?));
    }
    (low > 0 && rest.get(at) == Some(&b'}')).then(|| at.saturating_add(1))
}

/// The number that at most `most` digits in front of `bytes` make, and how many there are. Bits beyond a byte are dropped, as
/// octal escapes can have one.
pub(super) fn number(bytes: &[u8], radix: u32, most: usize) -> (u8, usize) {
    let digits = bytes
        .iter()
        .take(most)
        .map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, length) = digits.fold((0_u32, 0_usize), |(value, length), digit| {
        (value * radix + digit, length + 1)
    });
    (u8::try_from(value & 0xff).unwrap_or_default(), length)
}
