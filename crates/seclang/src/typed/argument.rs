//! The arguments of plain directives: how many, and of which type. No IO.

use crate::ast::{Argument, Quote};
use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::names::Names;
use crate::parser::Context;

/// A directive's name with its arguments.
pub(super) struct Arguments<'d, 'a> {
    pub(super) name: Word<'a>,
    pub(super) list: &'d [Argument<'a>],
}

impl<'a> Arguments<'_, 'a> {
    /// The words between the quotes.
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'a>> {
        self.list.iter().map(|argument| argument.text)
    }

    /// The argument at an index, which must be there.
    pub(super) fn required(&self, at: usize, what: &str, context: &mut Context) -> Option<Word<'a>> {
        let word = self.list.get(at).map(|argument| argument.text);
        if word.is_none() {
            context.error(
                Kind::MissingArgument,
                self.name,
                format!("`{}` needs {what}", self.name.shown()),
            );
        }
        word
    }

    /// Complains about arguments beyond a number.
    pub(super) fn at_most(&self, number: usize, context: &mut Context) {
        if let (Some(first), Some(last)) = (self.list.get(number), self.list.last()) {
            let message = format!("`{}` takes no more arguments", self.name.shown());
            context.error(Kind::UnexpectedArgument, first.text.to(last.text), message);
        }
    }

    /// The only argument.
    pub(super) fn single(&self, what: &str, context: &mut Context) -> Option<Word<'a>> {
        let word = self.required(0, what, context)?;
        self.at_most(1, context);
        Some(word)
    }

    /// All that was written, for a text that nobody quoted although it holds blanks.
    pub(super) fn text(&self, context: &mut Context) -> Option<Word<'a>> {
        let first = self.required(0, "a text", context)?;
        let last = self.list.last().map_or(first, |last| last.text);
        if self.list.iter().all(|argument| argument.quote == Quote::Bare) {
            return Some(first.to(last));
        }
        self.at_most(1, context);
        Some(first)
    }

    /// `On` or `Off`.
    pub(super) fn switch(&self, context: &mut Context) -> Option<bool> {
        let word = self.single("`On` or `Off`", context)?;
        switch(word, Kind::InvalidArgument, context)
    }

    /// A whole number in a range.
    pub(super) fn number(&self, least: u64, most: u64, context: &mut Context) -> Option<u64> {
        let word = self.single("a number", context)?;
        number(word, least, most, Kind::InvalidArgument, context)
    }

    /// One of several names.
    pub(super) fn choice<T: Copy>(&self, names: &Names<T>, context: &mut Context) -> Option<T> {
        let word = self.single("a value", context)?;
        choice(word, names, Kind::InvalidArgument, context)
    }
}

/// `On` or `Off`.
pub(super) fn switch(word: Word<'_>, kind: Kind, context: &mut Context) -> Option<bool> {
    let value = match word.bytes() {
        on if on.eq_ignore_ascii_case(b"on") => Some(true),
        off if off.eq_ignore_ascii_case(b"off") => Some(false),
        _ => None,
    };
    if value.is_none() {
        context.error(kind, word, format!("`{}` is neither `On` nor `Off`", word.shown()));
    }
    value
}

/// A whole number in a range, both ends included.
pub(super) fn number(word: Word<'_>, least: u64, most: u64, kind: Kind, context: &mut Context) -> Option<u64> {
    let value = digits(word.bytes()).filter(|value| (least..=most).contains(value));
    if value.is_none() {
        let range = if most == u64::MAX {
            format!("of at least {least}")
        } else {
            format!("from {least} to {most}")
        };
        context.error(kind, word, format!("`{}` is not a whole number {range}", word.shown()));
    }
    value
}

/// One of several names.
pub(super) fn choice<T: Copy>(word: Word<'_>, names: &Names<T>, kind: Kind, context: &mut Context) -> Option<T> {
    let value = names.find(word.bytes());
    if value.is_none() {
        let known: Vec<String> = names.0.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!("`{}` is none of the possible values", word.shown());
        let hint = format!("the values are {}", known.join(", "));
        context
            .diagnostics
            .push(Diagnostic::error(kind, word.span(), message).hint(hint));
    }
    value
}

/// The number that the bytes are, if they are digits only and it fits.
pub(super) fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}
