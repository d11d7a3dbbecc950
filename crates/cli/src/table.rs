//! Tables as kubectl prints them: columns as wide as their widest cell, three spaces between them. No IO but the writer's.

use std::io::{self, Write};

/// What is between two columns.
const GAP: &str = "   ";

/// A cell: its text, and the text as it is written, with colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    width: usize,
    written: String,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let written = text.into();
        Self {
            width: written.chars().count(),
            written,
        }
    }
}

impl Cell {
    /// A text that is written in a style.
    pub(crate) fn painted(text: &str, written: impl std::fmt::Display) -> Self {
        Self {
            width: text.chars().count(),
            written: written.to_string(),
        }
    }
}

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// One with these heads.
    pub(crate) fn new(heads: &[&str]) -> Self {
        let heads = heads.iter().map(|head| Cell::from(*head)).collect();
        Self { rows: vec![heads] }
    }

    /// Adds a row; it has a cell for each head.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (number, (cell, width)) in row.iter().zip(&widths).enumerate() {
                write!(out, "{}", cell.written)?;
                // Nothing behind the last one: lines that are longer than what is in them are broken by terminals.
                if number + 1 < row.len() {
                    write!(out, "{:pad$}{GAP}", "", pad = width.saturating_sub(cell.width))?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_whatever_its_colour() {
        let mut table = Table::new(&["NAME", "READY", "AGE"]);
        table.row(vec![
            "ä-long-name".into(),
            Cell::painted("True", "\u{1b}[32mTrue\u{1b}[0m"),
            "3d".into(),
        ]);
        table.row(vec!["b".into(), "False".into(), "<unknown>".into()]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "NAME          READY   AGE\nä-long-name   \u{1b}[32mTrue\u{1b}[0m    3d\nb             False   <unknown>\n"
        );
    }
}
