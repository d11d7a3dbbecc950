//! What is said about an object in its status and in Events: in [`outcome`] the words, in [`conditions`] the state, in [`writer`]
//! and [`events`] the calls. Only the last two do IO.

pub mod conditions;
pub mod diagnostics;
pub mod events;
pub mod outcome;
pub mod writer;

/// A text of at most `limit` bytes, cut between two characters and with an ellipsis if there was more.
fn cut(mut text: String, limit: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(ELLIPSIS.len())));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cut;
    use proptest::prelude::*;

    #[test]
    fn short_texts_stay_as_they_are() {
        assert_eq!(cut("abcd".into(), 4), "abcd");
        assert_eq!(cut("abcde".into(), 4), "a...");
        assert_eq!(cut("äää".into(), 5), "ä...");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_begins_as_the_whole(text in "[aä\u{1F980}]{0,40}", limit in 3_usize..60) {
            let short = cut(text.clone(), limit);
            prop_assert!(short.len() <= limit);
            prop_assert!(text.starts_with(short.strip_suffix("...").unwrap_or(&short)));
            prop_assert_eq!(short == text, text.len() <= limit);
        }
    }
}
