//! Pieces of rule text that outlive their source: bytes with a span, and bytes with macros in them. No IO.

use std::fmt;
use std::ops::{Deref, Range};

use super::variable::Variable;
use crate::span::Span;

/// Bytes of a rule, unquoted, with their place.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text {
    /// The bytes; not necessarily UTF-8.
    pub bytes: Box<[u8]>,
    /// Where they come from. Longer than the bytes where quotes, escapes or continuations were taken out.
    pub span: Span,
}

impl Text {
    /// Where a part of the bytes stands in the source: exact unless escapes or continuations were taken out, else the whole.
    pub fn locate(&self, part: Range<usize>) -> Span {
        let exact =
            self.span.len() as usize == self.bytes.len() && part.end <= self.bytes.len() && part.start <= part.end;
        match (u32::try_from(part.start), u32::try_from(part.end)) {
            (Ok(start), Ok(end)) if exact => Span::new(self.span.start + start, self.span.start + end),
            _ => self.span,
        }
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes.escape_ascii())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

/// Bytes that may hold macros (`%{tx.score}`), which stand for values of the transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    /// The text as written.
    pub text: Text,
    /// The macros in it, in order and disjoint.
    pub macros: Box<[Macro]>,
}

/// One `%{...}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Macro {
    /// Its first byte in the template's text.
    pub start: u32,
    /// After its last byte.
    pub end: u32,
    /// The variable that it stands for.
    pub variable: Variable,
    /// The key, if the variable is a collection and one is named.
    pub key: Option<Box<[u8]>>,
}

/// A piece of a [`Template`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Bytes as they are.
    Literal(&'a [u8]),
    /// The value of a variable.
    Macro(&'a Macro),
}

impl Template {
    /// Whether it is the same for every transaction.
    pub fn is_static(&self) -> bool {
        self.macros.is_empty()
    }

    /// Its pieces in order; no literal is empty.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        (0..=self.macros.len()).flat_map(|at| {
            let next = self.macros.get(at);
            let from = at
                .checked_sub(1)
                .and_then(|before| self.macros.get(before))
                .map_or(0, |before| before.end as usize);
            let to = next.map_or(self.text.len(), |next| next.start as usize);
            let literal = self.text.get(from..to).filter(|literal| !literal.is_empty());
            literal.map(Part::Literal).into_iter().chain(next.map(Part::Macro))
        })
    }
}
