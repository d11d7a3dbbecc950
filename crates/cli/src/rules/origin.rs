//! `Origin`: where a text of rules stands, so that its lines can be named as an editor names them. No IO.

use std::sync::Arc;

/// Where a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file, or the object of a cluster.
    pub(crate) file: Arc<str>,
    /// The object of a manifest whose field it is: `RuleSource shop/base-rules`.
    pub(crate) object: Option<Arc<str>>,
    shift: Shift,
}

/// How the lines of the text are numbered in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    /// It is the whole file.
    None,
    /// It is a literal block of a manifest: so many lines stand before it, and so many blanks before each of its lines.
    Block { lines: u32, blanks: u32 },
    /// Its lines don't stand in the file as they are.
    Lost,
}

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Origin {
    /// A text that is a whole file, or a whole object of a cluster.
    pub(crate) fn whole(file: &str) -> Self {
        Self {
            file: file.into(),
            object: None,
            shift: Shift::None,
        }
    }

    /// A field of a manifest. `text` is its value, whose scalar begins on `line` of `manifest`.
    pub(crate) fn field(file: &str, object: &str, manifest: &str, line: u32, text: &str) -> Self {
        Self {
            file: file.into(),
            object: Some(object.into()),
            shift: block(manifest, line, text).unwrap_or(Shift::Lost),
        }
    }

    /// Where a place of the text stands in the file; nothing if its lines aren't there as they are.
    pub(crate) fn place(&self, line: u32, column: u32) -> Option<Position> {
        match self.shift {
            Shift::None => Some(Position { line, column }),
            Shift::Block { lines, blanks } => Some(Position {
                line: line.saturating_add(lines),
                column: column.saturating_add(blanks),
            }),
            Shift::Lost => None,
        }
    }

    /// `file:line`, or what says as much.
    pub(crate) fn describe(&self, line: u32) -> String {
        match (self.place(line, 1), &self.object) {
            (Some(position), _) => format!("{}:{}", self.file, position.line),
            (None, Some(object)) => format!("{} ({object}:{line})", self.file),
            (None, None) => self.file.to_string(),
        }
    }
}

/// The lines of `text` as they stand in the manifest, at or after `line`, each behind the same blanks.
fn block(manifest: &str, line: u32, text: &str) -> Option<Shift> {
    let first = text.lines().next().filter(|first| !first.is_empty())?;
    let start = usize::try_from(line).ok()?.checked_sub(1)?;
    // The scalar begins with its indicator, or with its first line.
    let (lines, blanks) = manifest.lines().enumerate().skip(start).take(2).find_map(|(at, own)| {
        let blanks = own.strip_suffix(first)?;
        blanks.bytes().all(|byte| byte == b' ').then_some((at, blanks.len()))
    })?;
    let own = manifest.lines().skip(lines);
    let is_same = |(own, wanted): (&str, &str)| match own.get(blanks..) {
        Some(own) => own == wanted,
        None => wanted.is_empty() && own.trim_start_matches(' ').is_empty(),
    };
    let same = own.zip(text.lines()).all(is_same);
    same.then_some(Shift::Block {
        lines: u32::try_from(lines).ok()?,
        blanks: u32::try_from(blanks).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_block_is_found_in_its_manifest_and_nothing_else_is() {
        let place = |manifest: &str, line, text: &str| {
            Origin::field("a.yaml", "RuleSource a", manifest, line, text)
                .place(3, 5)
                .map(|position| (position.line, position.column))
        };
        let text = "one\n\n  three\n";
        let manifest = "kind: RuleSource\nspec:\n  rules: |\n    one\n\n      three\n";
        assert_eq!(place(manifest, 3, text), Some((6, 9)));
        assert_eq!(place(manifest, 4, text), Some((6, 9)));
        assert_eq!(place("rules: >\n  one\n  two\n", 1, "one two\n"), None);
        assert_eq!(place("rules: \"one\\ntwo\"", 1, "one\ntwo"), None);
        assert_eq!(place("rules: one", 1, "one"), None);
        assert_eq!(place("", 9, ""), None);
    }
}
