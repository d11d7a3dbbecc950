//! Byte offsets into one source, and the lines and columns that people count in. Pure, no IO.

use memchr::memchr_iter;

/// The largest source that is parsed, in bytes (256 MiB): offsets are `u32`, and no object of the API server comes near.
pub const MAX_SOURCE_BYTES: usize = 256 << 20;

/// Which of the sources given to [`lower`](crate::lower): its index there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A half-open range of bytes of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte; never less than `start`.
    pub end: u32,
}

impl Span {
    /// The range from `start` to `end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The number of bytes.
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span holds no byte (it still is a place).
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The same bytes of `text`; empty if the span is not of this text.
    pub fn slice(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A span of one of several sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The source.
    pub source: SourceId,
    /// Where in it.
    pub span: Span,
}

/// A place as people name it; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineColumn {
    /// The physical line.
    pub line: u32,
    /// The character in it: bytes that continue a UTF-8 character don't count.
    pub column: u32,
}

/// Where each line of a source starts, so that many offsets can be placed without reading the text again.
#[derive(Clone, Debug)]
pub struct LineIndex<'a> {
    text: &'a [u8],
    starts: Vec<u32>,
}

impl<'a> LineIndex<'a> {
    /// Reads `text` once.
    pub fn new(text: &'a [u8]) -> Self {
        let after_newlines = memchr_iter(b'\n', text).map(|at| offset(at + 1));
        Self {
            text,
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    /// The line and column of a byte offset; an offset past the end is placed at the end.
    pub fn line_column(&self, at: u32) -> LineColumn {
        let at = at.min(offset(self.text.len()));
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let before = Span::new(start, at).slice(self.text);
        LineColumn {
            line: offset(line),
            column: offset(characters(before)) + 1,
        }
    }

    /// The span of the line that holds the offset, without its line end.
    pub fn line(&self, at: u32) -> Span {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let end = self.starts.get(line).map_or(offset(self.text.len()), |next| next - 1);
        let carriage_return = Span::new(start, end).slice(self.text).ends_with(b"\r");
        Span::new(start, end - u32::from(carriage_return))
    }
}

/// An offset as it is stored. Sources are at most [`MAX_SOURCE_BYTES`] long, so nothing is cut.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How many characters the bytes are, if they are UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let index = LineIndex::new("ab\r\n\u{e9}c\n\nd".as_bytes());
        let places = [
            (0, 1, 1),
            (1, 1, 2),
            (4, 2, 1),
            (6, 2, 2),
            (7, 2, 3),
            (8, 3, 1),
            (9, 4, 1),
            (10, 4, 2),
            (99, 4, 2),
        ];
        for (at, line, column) in places {
            assert_eq!(index.line_column(at), LineColumn { line, column }, "offset {at}");
        }
        assert_eq!(index.line(1), Span::new(0, 2));
        assert_eq!(index.line(8), Span::new(8, 8));
        assert_eq!(index.line(10), Span::new(9, 10));
    }

    #[test]
    fn an_empty_source_has_one_line() {
        let index = LineIndex::new(b"");
        assert_eq!(index.line_column(0), LineColumn { line: 1, column: 1 });
        assert_eq!(index.line(0), Span::new(0, 0));
    }
}
