//! Where a long text of rules may be cut, so that it can be parsed in pieces, and whose each piece is. Pure.
//!
//! Rules travel as one text; parsing all of a Core Rule Set at once would hold a worker for tens of milliseconds.

use coraza_engine::Source;

use crate::poll::SourceLines;

/// What a text is called whose sources aren't known.
const UNNAMED: &str = "rules";

/// How long a piece is at least, in bytes, unless its source ends: about a millisecond.
const LEAST: usize = 24 << 10;

/// A text of rules, and the pieces that it is cut into, none of which is of two sources.
#[derive(Debug)]
pub(super) struct Chunks {
    text: String,
    pieces: Vec<Piece>,
    /// Empty if it isn't known whose the lines are.
    sources: Vec<SourceLines>,
}

/// Where a piece begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: usize,
    /// Which source it is of.
    source: usize,
    /// The number of its first line there, from 1.
    line: u32,
}

impl Chunks {
    /// Cuts a text. Sources whose lines aren't those of the text are forgotten.
    pub(super) fn of(text: String, mut sources: Vec<SourceLines>) -> Self {
        if !are_lines_of(&text, &sources) {
            sources.clear();
        }
        let pieces = pieces(&text, &sources);
        Self { text, pieces, sources }
    }

    /// The `nth` piece.
    pub(super) fn nth(&self, nth: usize) -> Option<&str> {
        let start = self.pieces.get(nth)?.start;
        let next = nth.checked_add(1).and_then(|next| self.pieces.get(next));
        self.text.get(start..next.map_or(self.text.len(), |next| next.start))
    }

    /// The pieces as the engine knows sources, so that what matches names its source and line.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let pieces = self.pieces.iter().enumerate();
        let sources = pieces.filter_map(|(at, piece)| {
            let source = Source::new(self.name(*piece).unwrap_or(UNNAMED), self.nth(at)?.as_bytes());
            Some(Source {
                first_line: piece.line,
                ..source
            })
        });
        sources.collect()
    }

    /// What a line of the `nth` piece is called, counted from 1.
    pub(super) fn place(&self, nth: usize, line: u32) -> String {
        let Some(piece) = self.pieces.get(nth) else {
            return String::new();
        };
        let line = piece.line.saturating_add(line.saturating_sub(1));
        match self.name(*piece) {
            Some(name) => format!("{name}, line {line}"),
            None => format!("line {line}"),
        }
    }

    fn name(&self, piece: Piece) -> Option<&str> {
        self.sources.get(piece.source).map(|source| &*source.name)
    }
}

/// Whether a text has the lines of these sources.
fn are_lines_of(text: &str, sources: &[SourceLines]) -> bool {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
    let named = sources.iter().map(|source| source.lines);
    named.clone().all(|lines| lines > 0) && named.fold(0, usize::saturating_add) == lines
}

/// Each piece but the first begins where a source does, or with a directive that surely begins there: its line starts with `Sec`. In either
/// case the line before doesn't continue, and no back-tick block is open.
fn pieces(text: &str, sources: &[SourceLines]) -> Vec<Piece> {
    let ends = sources.iter().scan(0_usize, |end, source| {
        *end = end.saturating_add(source.lines);
        Some(*end)
    });
    // Where each source but the first begins, counted from 0.
    let mut begins = (1..).zip(ends).peekable();
    let mut pieces = vec![Piece {
        start: 0,
        source: 0,
        line: 1,
    }];
    let (mut at, mut last) = (0, 0);
    let (mut continues, mut quoted) = (false, false);
    let (mut source, mut first) = (0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let next = begins.next_if(|(_, begin)| *begin == number);
        if !continues && !quoted {
            if let Some(next) = next {
                (source, first) = next;
            }
            if next.is_some() || (at - last >= LEAST && line.starts_with("Sec")) {
                pieces.push(Piece {
                    start: at,
                    source,
                    line: u32::try_from(number - first + 1).unwrap_or(u32::MAX),
                });
                last = at;
            }
        }
        at += line.len();
        let trimmed = line.trim();
        // Comments may stand inside of a continued directive and don't end it.
        if !(trimmed.starts_with('#')) {
            continues = trimmed.ends_with('\\');
            quoted ^= line.bytes().filter(|byte| *byte == b'`').count() % 2 == 1;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources(sources: &[(&str, usize)]) -> Vec<SourceLines> {
        let source = |(name, lines): &(&str, usize)| SourceLines {
            name: (*name).to_owned(),
            lines: *lines,
        };
        sources.iter().map(source).collect()
    }

    #[test]
    fn no_directive_is_cut() {
        let filler = "# filler\n".repeat(LEAST / 9 + 1);
        for (before, cut) in [
            ("", true),
            ("SecRule ARGS a \\\n", false),
            ("SecRule ARGS a \\\n# between\n", false),
            ("SecRule ARGS a \\  \n  \"id:1\"\n", true),
            ("SecDataset a `\nx\n", false),
            ("SecDataset a `\nx\n`\n", true),
        ] {
            let text = format!("{before}{filler}SecAction \"id:2\"\n");
            assert_eq!(pieces(&text, &[]).len() == 2, cut, "{before}");
            // Not even by who says that a source begins there.
            let lines = before.matches('\n').count();
            let wrong = sources(&[
                ("a", lines.max(1)),
                ("b", text.matches('\n').count() + 1 - lines.max(1)),
            ]);
            let chunks = Chunks::of(text, wrong);
            assert_eq!(chunks.sources.len(), 2);
            assert_eq!(chunks.pieces.iter().any(|piece| piece.source == 1), cut, "{before}");
        }
    }

    #[test]
    fn each_piece_is_of_its_source() {
        let long = format!("{}SecAction \"id:3\"\n", "# filler\n".repeat(LEAST / 9 + 1));
        let text = format!("SecAction \"id:1\"\n\n# b\nSecAction \"id:2\"\n\n{long}");
        let lines = long.matches('\n').count();
        let chunks = Chunks::of(text, sources(&[("a", 2), ("b", 3), ("c", lines + 1)]));
        let found: Vec<_> = chunks
            .sources()
            .iter()
            .map(|source| (source.name, source.first_line))
            .collect();
        assert_eq!(
            found,
            [("a", 1), ("b", 1), ("c", 1), ("c", u32::try_from(lines).expect("few"))]
        );
        assert_eq!(chunks.place(1, 2), "b, line 2");
        assert_eq!(chunks.place(3, 1), format!("c, line {lines}"));
    }

    #[test]
    fn lines_of_another_text_name_nothing() {
        for wrong in [
            &[("a", 1)][..],
            &[("a", 3)],
            &[("a", 0), ("b", 2)],
            &[("a", usize::MAX), ("b", 3)],
        ] {
            let chunks = Chunks::of("SecRuleEngine On\n".into(), sources(wrong));
            assert_eq!(chunks.place(0, 1), "line 1", "{wrong:?}");
            assert_eq!(chunks.sources()[0].name, "rules");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_pieces_are_the_text(lines in prop::collection::vec("(Sec|#|`| )?[a-z`\\\\]{0,8}", 0..4_000), filler in 0_usize..200,
                                   cut in 0_usize..4_000) {
            let text: String = lines.iter().map(|line| format!("{line}{}\n", "x".repeat(filler))).collect();
            let count = lines.len() + 1;
            let first = cut % count;
            let of = sources(&[("a", first), ("b", count - first)]);
            let chunks = Chunks::of(text.clone(), of.clone());
            let pieces: String = (0..chunks.pieces.len()).filter_map(|at| chunks.nth(at)).collect();
            prop_assert_eq!(&pieces, &text);
            for piece in &chunks.pieces {
                let before = text.bytes().take(piece.start).filter(|byte| *byte == b'\n').count();
                let of_source = if piece.source == 1 { before - first } else { before };
                prop_assert_eq!(usize::try_from(piece.line), Ok(of_source + 1));
            }
        }
    }
}
