//! Which line of which source a rule stands in. No IO.

use std::sync::Arc;

use coraza_seclang::{Location, SourceId};

use super::Source;

/// Counts lines as the rules come, which is in their order: each source is read once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    file: Arc<str>,
    source: Option<SourceId>,
    offset: usize,
    /// That of the offset.
    line: u32,
}

impl Lines {
    /// The source's name and the line, from 1; an empty name and 0 if the source isn't known.
    pub(super) fn find(&mut self, sources: &[Source<'_>], location: Location) -> (Arc<str>, u32) {
        let Location { source, span } = location;
        let known = usize::try_from(source.0).ok().and_then(|at| sources.get(at));
        let Some(Source { name, text, first_line }) = known else {
            return (Arc::default(), 0);
        };
        let to = span.start as usize;
        if self.source != Some(source) {
            (self.source, self.file) = (Some(source), Arc::from(*name));
            (self.offset, self.line) = (0, *first_line);
        } else if to < self.offset {
            (self.offset, self.line) = (0, *first_line);
        }
        let between = text.get(self.offset..to.min(text.len())).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', between).count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.offset = to;
        (Arc::clone(&self.file), self.line)
    }
}

#[cfg(test)]
mod tests {
    use coraza_seclang::Span;

    use super::*;

    #[test]
    fn lines_are_counted_from_one_in_each_source() {
        let mut sources = [("a.conf", "1\n2\n3"), ("b.conf", "\n\n3"), ("a.conf", "4\n5")]
            .map(|(name, text)| Source::new(name, text.as_bytes()));
        sources[2].first_line = 4;
        let mut lines = Lines::default();
        let mut find = |source, at| {
            let location = Location {
                source: SourceId(source),
                span: Span::new(at, at),
            };
            let (file, line) = lines.find(&sources, location);
            format!("{file}:{line}")
        };
        let found =
            [(0, 0), (0, 4), (1, 2), (1, 0), (0, 2), (0, 99), (2, 2), (3, 0)].map(|(source, at)| find(source, at));
        assert_eq!(
            found,
            [
                "a.conf:1", "a.conf:3", "b.conf:3", "b.conf:1", "a.conf:2", "a.conf:3", "a.conf:5", ":0"
            ]
        );
    }
}
