//! Where a long text of rules may be cut, so that it can be parsed in pieces. Pure.
//!
//! Rules travel as one text; parsing all of a Core Rule Set at once would hold a worker for tens of milliseconds.

use coraza_engine::Source;

/// What the text is called in logs.
const NAME: &str = "rules";

/// How long a piece is at least, in bytes: about a millisecond.
const LEAST: usize = 24 << 10;

/// Where the pieces begin. Each but the first begins with a directive that surely begins there: its line starts with `Sec`, the
/// line before doesn't continue, and no back-tick block is open.
pub(super) fn starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let (mut at, mut last) = (0, 0);
    let (mut continues, mut quoted) = (false, false);
    for line in text.split_inclusive('\n') {
        if at - last >= LEAST && !continues && !quoted && line.starts_with("Sec") {
            starts.push(at);
            last = at;
        }
        at += line.len();
        let trimmed = line.trim();
        // Comments may stand inside of a continued directive and don't end it.
        if !(trimmed.starts_with('#')) {
            continues = trimmed.ends_with('\\');
            quoted ^= line.bytes().filter(|byte| *byte == b'`').count() % 2 == 1;
        }
    }
    starts
}

/// The pieces as the engine knows sources: what matches names the line of the text as it is served.
pub(super) fn sources<'a>(text: &'a str, starts: &[usize], first_lines: &[u32]) -> Vec<Source<'a>> {
    let pieces = (0..starts.len()).filter_map(|at| nth(text, starts, at));
    let sources = pieces.zip(first_lines).map(|(piece, first_line)| Source {
        first_line: *first_line,
        ..Source::new(NAME, piece.as_bytes())
    });
    sources.collect()
}

/// The number of the first line of each piece.
pub(super) fn first_lines(text: &str, starts: &[usize]) -> Vec<u32> {
    let mut line = 1_u32;
    let mut lines = Vec::with_capacity(starts.len());
    for at in 0..starts.len() {
        lines.push(line);
        let piece = nth(text, starts, at).unwrap_or_default();
        let more = piece.bytes().filter(|byte| *byte == b'\n').count();
        line = line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
    }
    lines
}

/// The `nth` piece.
pub(super) fn nth<'a>(text: &'a str, starts: &[usize], nth: usize) -> Option<&'a str> {
    let start = *starts.get(nth)?;
    let end = nth
        .checked_add(1)
        .and_then(|next| starts.get(next))
        .copied()
        .unwrap_or(text.len());
    text.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            assert_eq!(starts(&text).len() == 2, cut, "{before}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_pieces_are_the_text(lines in prop::collection::vec("(Sec|#|`| )?[a-z`\\\\]{0,8}", 0..4_000), filler in 0_usize..200) {
            let text: String = lines.iter().map(|line| format!("{line}{}\n", "x".repeat(filler))).collect();
            let starts = starts(&text);
            let pieces: String = (0..starts.len()).filter_map(|at| nth(&text, &starts, at)).collect();
            prop_assert_eq!(&pieces, &text);
            for (start, line) in starts.iter().zip(first_lines(&text, &starts)) {
                let before = text.bytes().take(*start).filter(|byte| *byte == b'\n').count();
                prop_assert_eq!(usize::try_from(line), Ok(before + 1));
            }
        }
    }
}
