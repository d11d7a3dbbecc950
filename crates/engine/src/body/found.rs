//! A sink that keeps findings as text, for tests.

use super::{Found, Outcome, Sink};

/// Runs a processor and shows what it found, one finding a text, and its outcome.
pub(super) fn collect(process: impl FnOnce(&mut Sink<'_>) -> Outcome) -> (Vec<String>, Outcome) {
    let mut found = Vec::new();
    let outcome = process(&mut |finding| found.push(show(finding)));
    (found, outcome)
}

fn show(finding: Found<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match finding {
        Found::Argument { name, value } => format!("{}={}", text(name), text(value)),
        Found::File(file) => format!(
            "file {} {} {}",
            text(file.name),
            text(file.filename),
            text(file.content)
        ),
        Found::PartName(name) => format!("name {}", text(name)),
        Found::PartFilename(name) => format!("filename {}", text(name)),
        Found::PartHeader { part, line } => format!("header {} {}", text(part), text(line)),
        Found::XmlText(value) => format!("text {}", text(value)),
        Found::XmlAttribute(value) => format!("attribute {}", text(value)),
    }
}
