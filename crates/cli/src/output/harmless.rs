//! What would steer a terminal, taken out of a text that others have written parts of: messages of rules, conditions, answers of an API
//! server. Our own colours stay. Pure.

use std::borrow::Cow;

/// What stands in place of what was taken out.
const REPLACEMENT: char = '\u{fffd}';

/// The text, which prints what it says: no control character is left in it but line feeds, tabs and colours, and nothing that turns the
/// direction of what follows.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match color(rest) {
            Some((color, after)) => {
                clean.push_str(color);
                after
            }
            None => {
                clean.push(if steers(character) { REPLACEMENT } else { character });
                after
            }
        };
    }
    Cow::Owned(clean)
}

fn steers(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // Of the directions of text, those that hold beyond a word.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}

/// The sequence that a text begins with, if that changes how what follows looks and hides none of it; and what is behind it.
fn color(text: &str) -> Option<(&str, &str)> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let (codes, after) = codes.split_once('m')?;
    let shows = |code: &str| matches!(code.parse(), Ok(0..=4_u8 | 31..=37 | 91..=97));
    let whole = text.len() - after.len();
    codes.split(';').all(shows).then(|| text.split_at(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paint;

    #[test]
    fn colours_and_lines_stay_as_they_are() {
        for text in [
            String::new(),
            "a\n\tb ä \u{1f980}".to_owned(),
            format!("{} {} {}\n", paint::error("no"), paint::good("yes"), paint::faint("?")),
        ] {
            assert_eq!(harmless(&text), text);
        }
    }

    #[test]
    fn what_steers_is_shown_and_does_nothing() {
        for (text, clean) in [
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("a\rb\u{8}", "a\u{fffd}b\u{fffd}"),
            ("\u{1b}[2J\u{1b}[31mred", "\u{fffd}[2J\u{1b}[31mred"),
            ("\u{9b}31m", "\u{fffd}31m"),
            // Concealed, and black on what may be black.
            ("\u{1b}[8mhidden", "\u{fffd}[8mhidden"),
            ("\u{1b}[1;30mhidden", "\u{fffd}[1;30mhidden"),
            ("\u{1b}[38;5;0mhidden", "\u{fffd}[38;5;0mhidden"),
            ("\u{1b}", "\u{fffd}"),
            ("\u{1b}[", "\u{fffd}["),
            ("\u{202e}gpj.exe", "\u{fffd}gpj.exe"),
        ] {
            assert_eq!(harmless(text), clean, "{text:?}");
        }
    }
}
