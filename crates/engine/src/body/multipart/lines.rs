//! The lines of a multipart body, and which of them are boundaries. No IO.

use memchr::memmem::Finder;

use super::super::cursor::{Cursor, is_space};
use super::{Flags, UnmatchedBoundary};

pub(super) struct Lines<'b> {
    cursor: Cursor<'b>,
    boundary: &'b [u8],
    /// Finds `--` and the boundary anywhere in a line.
    delimiter: Finder<'static>,
    boundaries: usize,
    /// The line before the next one.
    previous: &'b [u8],
}

/// A line of a body.
pub(super) enum Line<'b> {
    /// A boundary.
    Boundary {
        /// It is the last one.
        is_final: bool,
        /// Where it begins in the body.
        start: usize,
    },
    /// What may be a boundary for more lenient parsers.
    InvalidBoundary,
    /// Anything else.
    Other(Text<'b>),
}

/// A line that is no boundary.
#[derive(Clone, Copy)]
pub(super) struct Text<'b> {
    /// Its bytes, its end among them.
    pub(super) bytes: &'b [u8],
    /// The body from this line on.
    pub(super) body: &'b [u8],
    /// Where it begins in the body.
    pub(super) start: usize,
}

impl<'b> Lines<'b> {
    pub(super) fn new(body: &'b [u8], boundary: &'b [u8]) -> Self {
        Self {
            cursor: Cursor::new(body),
            boundary,
            delimiter: Finder::new(&[b"--", boundary].concat()).into_owned(),
            boundaries: 0,
            previous: &[],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cursor.is_empty()
    }

    /// How many bytes were read: where the next line begins.
    pub(super) fn read(&self) -> usize {
        self.cursor.read()
    }

    pub(super) fn next(&mut self, flags: &mut Flags) -> Option<Line<'b>> {
        let (body, start) = (self.cursor.rest(), self.cursor.read());
        let len = memchr::memchr(b'\n', body).map_or(body.len(), |end| end + 1);
        let bytes = self.cursor.take(len);
        if bytes.is_empty() {
            return None;
        }
        let previous = std::mem::replace(&mut self.previous, bytes);
        let other = Line::Other(Text { bytes, body, start });
        // A lone `--` is text.
        let looks_like_one = bytes.starts_with(b"--") && bytes.len() > 3;
        if !looks_like_one {
            if self.delimiter.find(bytes).is_some() {
                flags.unmatched_boundary = UnmatchedBoundary::Suspected;
            }
            return Some(other);
        }
        match bytes
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(self.boundary))
        {
            Some(after) => Some(self.boundary(previous, after, start, flags)),
            None if self.is_disguised(bytes, flags) => Some(Line::InvalidBoundary),
            None => {
                flags.unmatched_boundary = UnmatchedBoundary::Suspected;
                Some(other)
            }
        }
    }

    /// A line that begins with the boundary and goes on with `after`. The end of the line before it is part of the boundary.
    fn boundary(&mut self, previous: &[u8], after: &[u8], start: usize, flags: &mut Flags) -> Line<'b> {
        if self.boundaries > 0 {
            flags.unmatched_boundary = UnmatchedBoundary::Matched;
        }
        let (is_final, end) = match after.strip_prefix(b"--") {
            Some(end) => (true, end),
            None => (false, after),
        };
        // Only the last line of a body may lack its end, and only if it is the final boundary.
        let ends = matches!(end, b"\r\n" | b"\n") || is_final && end.is_empty();
        if !ends {
            return Line::InvalidBoundary;
        }
        flags.line_end(previous);
        flags.line_end(end);
        self.boundaries += 1;
        Line::Boundary { is_final, start }
    }

    /// Whether a line is the boundary for a parser that skips spaces or takes its quotes literally.
    fn is_disguised(&self, line: &[u8], flags: &Flags) -> bool {
        let text = line.get(2..).unwrap_or_default();
        if flags.boundary_quoted
            && text
                .strip_prefix(b"\"")
                .is_some_and(|text| text.starts_with(self.boundary))
        {
            return true;
        }
        let unspaced = text.iter().position(|byte| !is_space(*byte)).unwrap_or(0);
        unspaced > 0 && text.get(unspaced..).is_some_and(|text| text.starts_with(self.boundary))
    }
}
