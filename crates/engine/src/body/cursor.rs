//! A position in a body that only moves forward, and so reads each byte once. No IO.

/// What is left of a body.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'b> {
    rest: &'b [u8],
    read: usize,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(body: &'b [u8]) -> Self {
        Self { rest: body, read: 0 }
    }

    /// How many bytes it has moved over.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Moves over `len` bytes, or all if there are fewer, and returns them.
    pub(super) fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        self.read += taken.len();
        taken
    }

    /// Moves over the bytes that hold `condition`, and returns them.
    pub(super) fn take_while(&mut self, condition: impl Fn(u8) -> bool) -> &'b [u8] {
        let len = self.rest.iter().position(|byte| !condition(*byte));
        self.take(len.unwrap_or(self.rest.len()))
    }

    /// Moves over `expected` if it comes next.
    pub(super) fn eat(&mut self, expected: &[u8]) -> bool {
        let found = self.rest.starts_with(expected);
        if found {
            self.take(expected.len());
        }
        found
    }

    /// Moves over `end` and what comes before it, which is returned; over everything if there is no `end`.
    pub(super) fn take_until(&mut self, end: &[u8]) -> (&'b [u8], bool) {
        match memchr::memmem::find(self.rest, end) {
            Some(at) => {
                let taken = self.take(at);
                self.take(end.len());
                (taken, true)
            }
            None => (self.take(self.rest.len()), false),
        }
    }
}

/// C's `isspace`, by which ModSecurity's parsers go: the vertical tab and the form feed are spaces too.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
