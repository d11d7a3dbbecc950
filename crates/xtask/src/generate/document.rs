//! Documents that people write, of which a part is generated: it stands between two lines. No IO.

use anyhow::{Context, Result};

/// The document with another generated part.
///
/// # Errors
/// If it has no place for the part.
pub(super) fn splice(document: &str, part: &str, generated: &str) -> Result<String> {
    let begin = format!("<!-- {part}: written by `cargo xtask generate` -->");
    let end = format!("<!-- /{part} -->");
    let missing = |line: &str| format!("the document has no line `{line}`");
    let (head, rest) = document.split_once(&begin).with_context(|| missing(&begin))?;
    let (_, tail) = rest.split_once(&end).with_context(|| missing(&end))?;
    Ok(format!("{head}{begin}\n{generated}{end}{tail}"))
}

/// A row of a table; bars in cells are text.
pub(super) fn row<const CELLS: usize>(cells: [String; CELLS]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays() {
        let document = "before\n<!-- part: written by `cargo xtask generate` -->\nold\n<!-- /part -->\nafter\n";
        let spliced = splice(document, "part", "new\n").unwrap();
        assert_eq!(spliced, document.replace("old", "new"));
        assert_eq!(splice(&spliced, "part", "new\n").unwrap(), spliced);
        for incomplete in [
            "",
            "<!-- part: written by `cargo xtask generate` -->\n",
            "<!-- /part -->",
        ] {
            let error = splice(incomplete, "part", "new\n").unwrap_err().to_string();
            assert!(error.contains("has no line `<!-- "), "{error}");
        }
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        assert_eq!(row(["a|b".to_owned(), "c".to_owned()]), "| a\\|b | c |\n");
    }
}
