//! A diagnostic as text for a terminal or a status field: place, source line, caret, hint. No IO.

use std::fmt::Write as _;

use super::Diagnostic;
use crate::span::{LineIndex, Span};

/// How many characters of the source line are shown; a rule's line may have thousands.
const WINDOW: usize = 100;

/// How many of them stand before the span when the line must be cut there.
const LEAD: usize = 30;

/// What stands for the part of a line that was cut.
const CUT: &str = "...";

/// Writes a diagnostic of the source called `name`, whose text `lines` indexes:
///
/// ```text
/// error: unknown operator `@foo`
///  --> tenant-rules:3:14
///   |
/// 3 | SecRule ARGS "@foo bar" "id:1"
///   |               ^^^^
///   = hint: did you mean `@rx`?
/// ```
///
/// Tabs become blanks, bytes that aren't text become `\xHH`, and long lines are cut around the span.
pub fn render(diagnostic: &Diagnostic, name: &str, lines: &LineIndex<'_>, text: &[u8]) -> String {
    let Diagnostic {
        kind: _,
        severity,
        span,
        message,
        hint,
    } = diagnostic;
    let place = lines.line_column(span.start);
    let line = lines.line(span.start);
    let gutter = " ".repeat(place.line.to_string().len());
    let (excerpt, carets) = excerpt(text, line, *span);
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(out, "{severity}: {message}");
    let _ = writeln!(out, "{gutter}--> {name}:{}:{}", place.line, place.column);
    let _ = writeln!(out, "{gutter} |");
    let _ = writeln!(out, "{} | {excerpt}", place.line);
    let _ = writeln!(out, "{gutter} | {carets}");
    if let Some(hint) = hint {
        let _ = writeln!(out, "{gutter} = hint: {hint}");
    }
    out
}

/// The part of the line around the span, and the line of carets below it.
fn excerpt(text: &[u8], line: Span, span: Span) -> (String, String) {
    // A span over several lines is underlined to the end of its first one.
    let start = span.start.clamp(line.start, line.end);
    let end = span.end.clamp(start, line.end);
    // A line that fits is shown whole, however its bytes must be written.
    let fits = line.len() as usize <= WINDOW;
    let (lead, most) = if fits {
        (usize::MAX / 8, usize::MAX / 8)
    } else {
        (LEAD, WINDOW - LEAD)
    };
    let before = printable(Span::new(line.start, start).slice(text), lead, Keep::End);
    let marked = printable(Span::new(start, end).slice(text), most, Keep::Start);
    let room = if fits {
        most
    } else {
        WINDOW.saturating_sub(before.width + marked.width)
    };
    let after = printable(Span::new(end, line.end).slice(text), room, Keep::Start);
    let carets = format!("{}{}", " ".repeat(before.width), "^".repeat(marked.width.max(1)));
    (format!("{}{}{}", before.text, marked.text, after.text), carets)
}

/// Which end of a text is worth more.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Start,
    End,
}

struct Printable {
    text: String,
    /// In characters.
    width: usize,
}

/// At most about `room` characters of the bytes, printable.
fn printable(bytes: &[u8], room: usize, keep: Keep) -> Printable {
    // A character is at most four bytes: more than this is cut anyway, and a line may be megabytes long.
    let most = room.saturating_mul(4) + 8;
    let near = match keep {
        Keep::Start => bytes.get(..most),
        Keep::End => bytes.len().checked_sub(most).and_then(|from| bytes.get(from..)),
    };
    let far_cut = near.is_some();
    let mut cells: Vec<String> = Vec::new();
    for chunk in near.unwrap_or(bytes).utf8_chunks() {
        cells.extend(chunk.valid().chars().map(cell));
        cells.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    let total: usize = cells.iter().map(|cell| cell.chars().count()).sum();
    let cut = far_cut || total > room;
    let mut left = if cut { room.saturating_sub(CUT.len()) } else { room };
    let fits = |cell: &&String| {
        let width = cell.chars().count();
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let kept: Vec<&String> = match keep {
        Keep::Start => cells.iter().take_while(fits).collect(),
        Keep::End => {
            let mut kept: Vec<&String> = cells.iter().rev().take_while(fits).collect();
            kept.reverse();
            kept
        }
    };
    let shown: String = kept.into_iter().map(String::as_str).collect();
    let text = match (cut, keep) {
        (false, _) => shown,
        (true, Keep::Start) => shown + CUT,
        (true, Keep::End) => format!("{CUT}{shown}"),
    };
    Printable {
        width: text.chars().count(),
        text,
    }
}

fn cell(character: char) -> String {
    match character {
        '\t' => " ".to_owned(),
        control if control.is_control() => format!("\\x{:02X}", u32::from(control)),
        // They would turn the line around them on a terminal.
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => format!("\\u{{{:04X}}}", u32::from(character)),
        plain => plain.to_string(),
    }
}
