//! Logical lines: comments and blank lines dropped, continuations joined, back-tick blocks gathered. No IO.
//!
//! A line that ends with `\` goes on with the next one, both trimmed. Comments and blank lines are dropped wherever they stand,
//! inside a continuation too. Lines may be of any length.

use std::borrow::Cow;

use memchr::memchr;

use crate::error::{Diagnostic, Diagnostics, Kind};
use crate::span::{Span, offset};

/// One logical line: a directive with its arguments.
#[derive(Debug)]
pub struct Line<'a> {
    text: Cow<'a, [u8]>,
    /// The offset in the source of the first byte.
    start: u32,
    /// Where each further physical line begins: offset in the text, offset in the source. Empty for a single one.
    joints: Vec<(u32, u32)>,
    /// The lines of a back-tick block that ends the logical line.
    block: Option<Block<'a>>,
    /// Whether the source ends before the line does; this has been reported.
    unfinished: bool,
}

/// The lines between two back-ticks.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Trimmed, without comments and blank lines, each with its offset in the source.
    pub(crate) lines: Vec<(&'a [u8], u32)>,
    /// Both back-ticks and all between.
    pub(crate) span: Span,
}

/// A part of a logical line that remembers where it stands. Two are equal if their bytes are.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    bytes: &'a [u8],
    /// Offset in the line.
    at: u32,
    line: &'a Line<'a>,
}

impl<'a> Line<'a> {
    /// All of it, but the back-tick block.
    pub fn word(&'a self) -> Word<'a> {
        Word {
            bytes: &self.text,
            at: 0,
            line: self,
        }
    }

    /// Whether the source ends before the line does, so that it can't be judged.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    pub(crate) fn block(&self) -> Option<&Block<'a>> {
        self.block.as_ref()
    }

    /// The span in the source of the whole logical line, block included.
    pub(crate) fn span(&self) -> Span {
        let line = Span::new(self.start, self.place_after(offset(self.text.len())));
        self.block.as_ref().map_or(line, |block| line.join(block.span))
    }

    /// Where a byte of the line stands in the source.
    fn place(&self, at: u32) -> u32 {
        let joint = self.joints.partition_point(|(text, _)| *text <= at);
        let (text, source) = joint
            .checked_sub(1)
            .and_then(|joint| self.joints.get(joint))
            .copied()
            .unwrap_or((0, self.start));
        source + (at - text)
    }

    /// The place after the byte before `at`: not on the next physical line when `at` is a joint.
    fn place_after(&self, at: u32) -> u32 {
        at.checked_sub(1).map_or(self.start, |last| self.place(last) + 1)
    }
}

impl<'a> Word<'a> {
    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Where it stands in the source; an empty word is a place.
    pub fn span(self) -> Span {
        let end = self.at + offset(self.bytes.len());
        let start = self.line.place(self.at);
        if self.bytes.is_empty() {
            // At the end of a physical line rather than at the start of the next.
            let place = self.line.place_after(self.at).max(self.line.start);
            return Span::new(place, place);
        }
        Span::new(start, self.line.place_after(end).max(start))
    }

    /// The bytes from `start` to `end`, cut to what there is.
    #[must_use]
    pub fn part(self, start: usize, end: usize) -> Self {
        let end = end.min(self.bytes.len());
        let start = start.min(end);
        Self {
            bytes: self.bytes.get(start..end).unwrap_or_default(),
            at: self.at + offset(start),
            line: self.line,
        }
    }

    /// The bytes from `start` on.
    #[must_use]
    pub fn from(self, start: usize) -> Self {
        self.part(start, self.bytes.len())
    }

    /// From the start of this word to the end of another one of the same line.
    #[must_use]
    pub(crate) fn to(self, last: Self) -> Self {
        let end = last.at as usize + last.bytes.len();
        self.line.word().part(self.at as usize, end)
    }

    /// Both sides of a byte offset.
    pub fn split(self, at: usize) -> (Self, Self) {
        (self.part(0, at), self.from(at))
    }

    /// Both sides of the first `byte`, which is in neither.
    pub fn split_once(self, byte: u8) -> Option<(Self, Self)> {
        let at = memchr(byte, self.bytes)?;
        Some((self.part(0, at), self.from(at + 1)))
    }

    /// Without white space on both sides.
    #[must_use]
    pub fn trim(self) -> Self {
        let word = self.trim_start();
        word.part(0, word.bytes.trim_ascii_end().len())
    }

    /// Without white space before it.
    #[must_use]
    pub fn trim_start(self) -> Self {
        self.from(self.bytes.len() - self.bytes.trim_ascii_start().len())
    }

    /// Up to the first white space, and what is after it.
    pub fn split_space(self) -> (Self, Self) {
        let at = self
            .bytes
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(self.bytes.len());
        self.split(at)
    }

    /// Without this byte, if it is the first.
    pub fn strip(self, byte: u8) -> Option<Self> {
        (self.bytes.first() == Some(&byte)).then(|| self.from(1))
    }

    /// The text as a person may be shown it in a message: lossy, cut at 40 characters.
    pub fn shown(self) -> String {
        const SHOWN: usize = 40;
        let near = self.bytes.get(..SHOWN * 4).unwrap_or(self.bytes);
        let text = String::from_utf8_lossy(near);
        let mut shown: String = text
            .chars()
            .take(SHOWN)
            .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            .collect();
        if text.chars().count() > SHOWN || near.len() < self.bytes.len() {
            shown.push_str("...");
        }
        shown
    }
}

impl PartialEq for Word<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Word<'_> {}

impl std::fmt::Debug for Word<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.bytes.escape_ascii())
    }
}

/// The logical lines of a source, none empty.
pub(crate) fn lines<'a>(text: &'a [u8], diagnostics: &mut Diagnostics) -> Vec<Line<'a>> {
    let mut physical = Physical {
        text,
        at: byte_order_mark(text),
    };
    let mut lines = Vec::new();
    while let Some((bytes, start)) = physical.next() {
        let mut line = Line {
            text: Cow::Borrowed(bytes),
            start,
            joints: Vec::new(),
            block: None,
            unfinished: false,
        };
        if is_dataset(bytes) && bytes.ends_with(b"`") {
            let opening = start + offset(bytes.len()) - 1;
            line.text = Cow::Borrowed(bytes.get(..bytes.len() - 1).unwrap_or_default().trim_ascii_end());
            line.block = Some(block(&mut physical, opening, diagnostics));
        } else if let Some(first) = bytes.strip_suffix(b"\\") {
            line.text = Cow::Borrowed(first);
            line.unfinished = !join(&mut line, &mut physical);
            if line.unfinished {
                let end = line.place_after(offset(line.text.len()));
                let message = "the source ends inside a continuation";
                let diagnostic = Diagnostic::error(Kind::UnclosedContinuation, Span::new(end, end + 1), message);
                diagnostics.push(diagnostic.hint("remove the `\\`, or add the line that it announces"));
            }
        }
        if !line.text.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// The physical lines that say something, trimmed, with their offsets.
struct Physical<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Physical<'a> {
    type Item = (&'a [u8], u32);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.text.len() {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            let trimmed = line.trim_ascii_start();
            let start = self.at + line.len() - trimmed.len();
            self.at += length + 1;
            let trimmed = trimmed.trim_ascii_end();
            if !trimmed.is_empty() && !trimmed.starts_with(b"#") {
                return Some((trimmed, offset(start)));
            }
        }
        None
    }
}

/// Adds the lines that continue this one; `false` if the source ends before they do.
fn join<'a>(line: &mut Line<'a>, physical: &mut Physical<'a>) -> bool {
    for (bytes, start) in physical {
        let text = line.text.to_mut();
        line.joints.push((offset(text.len()), start));
        let Some(part) = bytes.strip_suffix(b"\\") else {
            text.extend_from_slice(bytes);
            return true;
        };
        text.extend_from_slice(part);
    }
    false
}

/// Reads up to the line that starts with the closing back-tick.
fn block<'a>(physical: &mut Physical<'a>, opening: u32, diagnostics: &mut Diagnostics) -> Block<'a> {
    let mut block = Block {
        lines: Vec::new(),
        span: Span::new(opening, opening + 1),
    };
    for (bytes, start) in physical {
        if let Some(after) = bytes.strip_prefix(b"`") {
            block.span.end = start + 1;
            if !after.is_empty() {
                let span = Span::new(start + 1, start + offset(bytes.len()));
                diagnostics.push(Diagnostic::error(
                    Kind::UnexpectedArgument,
                    span,
                    "nothing may follow the closing back-tick",
                ));
            }
            return block;
        }
        block.lines.push((bytes, start));
    }
    let diagnostic = Diagnostic::error(
        Kind::UnclosedBacktick,
        block.span,
        "the source ends inside a back-tick block",
    );
    diagnostics.push(diagnostic.hint("end the block with a line that is a single back-tick"));
    block
}

fn is_dataset(line: &[u8]) -> bool {
    const NAME: &[u8] = b"SecDataset";
    line.get(..NAME.len())
        .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

/// The length of the mark that some editors write first.
fn byte_order_mark(text: &[u8]) -> usize {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    if text.starts_with(MARK) { MARK.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &[u8]) -> Vec<Vec<u8>> {
        lines(source, &mut Diagnostics::default())
            .iter()
            .map(|line| line.text.to_vec())
            .collect()
    }

    #[test]
    fn continuations_are_joined_trimmed_and_comments_in_them_dropped() {
        let source = b"\xEF\xBB\xBF# head\n A b \\\r\n  # not this, \\\n\n   c \\\n\td  \nE\\\n\\\n";
        assert_eq!(texts(source), [b"A b c d".to_vec(), b"E".to_vec()]);
    }

    #[test]
    fn words_know_their_place_in_the_source() {
        let source = b"Sec \\\n   one \\\n  two";
        let mut diagnostics = Diagnostics::default();
        let lines = lines(source, &mut diagnostics);
        let word = lines[0].word();
        for (text, span) in [(&b"Sec"[..], 0..3), (b"one", 9..12), (b"two", 17..20)] {
            let at = word.bytes().windows(3).position(|window| window == text).unwrap();
            let expected = Span::new(span.start, span.end);
            assert_eq!(word.part(at, at + 3).span(), expected);
            assert_eq!(expected.slice(source), text);
        }
        assert_eq!(lines[0].span(), Span::new(0, 20));
        assert!(diagnostics.finish().is_empty());
    }

    #[test]
    fn a_block_of_a_dataset_is_no_text() {
        let source = b"SecDataset names `\n one\n# no\n two\n`\nSecRuleEngine On";
        let mut diagnostics = Diagnostics::default();
        let lines = lines(source, &mut diagnostics);
        let block: Vec<&[u8]> = lines[0].block().unwrap().lines.iter().map(|(line, _)| *line).collect();
        assert_eq!(block, [b"one", b"two"]);
        assert_eq!(lines[0].word().bytes(), b"SecDataset names");
        assert_eq!(lines[1].word().bytes(), b"SecRuleEngine On");
        assert!(diagnostics.finish().is_empty());
    }
}
