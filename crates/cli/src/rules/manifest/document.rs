//! The documents of a file of YAML. No IO.

use serde::de::DeserializeOwned;

/// The documents, each with the number of lines before it. A line that begins with `---` divides them wherever it stands: not even a
/// block can have one (YAML 1.2.2, 9.1.2).
pub(super) fn documents(text: &str) -> Vec<(u32, &str)> {
    let (mut documents, mut start, mut at) = (Vec::new(), 0, 0);
    let (mut lines, mut start_line) = (0_u32, 0);
    for line in text.split_inclusive('\n') {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']));
        if is_marker && at > start {
            documents.extend(text.get(start..at).map(|document| (start_line, document)));
            (start, start_line) = (at, lines);
        }
        at = at.saturating_add(line.len());
        lines = lines.saturating_add(1);
    }
    documents.extend(text.get(start..).map(|document| (start_line, document)));
    documents
}

/// Reads a document.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
}

/// The first line that says anything, from 1.
pub(super) fn first_line(text: &str) -> u32 {
    let is_silent = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with("---")
    };
    let silent = text.lines().take_while(is_silent).count();
    u32::try_from(silent).unwrap_or_default().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_begin_with_dashes_divide_documents() {
        let text = "# first\na: 1\n---\nb: |\n  ---\n  x\n--- # third\nc: 1\n----\n";
        assert_eq!(
            documents(text),
            [
                (0, "# first\na: 1\n"),
                (2, "---\nb: |\n  ---\n  x\n"),
                (6, "--- # third\nc: 1\n----\n")
            ]
        );
        assert_eq!(documents(""), [(0, "")]);
        assert_eq!(first_line("---\n# x\n\na: 1"), 4);
    }

    proptest! {
        #[test]
        fn documents_are_the_whole_text(text in "(-{0,4} ?[a\r]{0,2}\n?){0,20}") {
            let all: String = documents(&text).into_iter().map(|(_, document)| document).collect();
            prop_assert_eq!(all, text);
        }

        /// Whatever a file holds, it is read or said to be unreadable.
        #[test]
        fn nothing_in_a_file_stops_the_program(text in "([-:{}\\[\\]|>&*!%@'\" \n]|apiVersion|kind: RuleSource|metadata|name|spec|rules){0,60}") {
            let text = format!("apiVersion: waf.k8s.coraza.io/v1alpha1\n{text}");
            let (objects, findings) = super::super::read("x.yaml", &text, true);
            prop_assert!(objects.len() + findings.len() <= text.lines().count() + 1);
        }
    }
}
