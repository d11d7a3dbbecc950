//! libinjection's tables: SQL words and the fingerprints of attacks. No IO.

use super::hash;
use super::token::Kind;

include!(concat!(env!("OUT_DIR"), "/sql_words.rs"));
include!(concat!(env!("OUT_DIR"), "/sql_fingerprints.rs"));

/// The longest word of the table.
const LONGEST: usize = 29;

/// What a word, phrase or operator of the table is, in any case.
pub(super) fn find(word: &[u8]) -> Option<Kind> {
    if word.len() > LONGEST {
        return None;
    }
    let mut slot = hash::slot(word);
    loop {
        let at = usize::from(*SLOTS.get(slot)?).checked_sub(1)?;
        let (known, kind) = WORDS.get(at)?;
        if known.eq_ignore_ascii_case(word) {
            return Some(*kind);
        }
        slot = hash::next(slot);
    }
}

/// Whether a phrase of the table may begin with the word: most don't.
pub(super) fn may_begin_phrase(word: &[u8]) -> bool {
    let (letter, bit) = hash::phrase_start(word);
    PHRASE_STARTS.get(letter).is_some_and(|mark| mark & bit != 0)
}

/// Whether a fingerprint is one of an attack.
pub(super) fn is_attack(fingerprint: &[u8]) -> bool {
    let packed = hash::pack(fingerprint.iter().map(u8::to_ascii_uppercase));
    packed.is_some_and(|packed| FINGERPRINTS.binary_search(&packed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        let cases: [(&[u8], Option<Kind>); 9] = [
            (b"select", Some(Kind::Expression)),
            (b"Union All", Some(Kind::Union)),
            (b"in boolean mode", Some(Kind::Keyword)),
            (b"||", Some(Kind::Logic)),
            (b"!=", Some(Kind::Operator)),
            (b"UTL_INADDR.GET_HOST_ADDRESS", Some(Kind::Function)),
            (b"selects", None),
            (b"", None),
            (b"DBMS_UTILITY.SQLID_TO_SQLHASHES", None),
        ];
        for (word, expected) in cases {
            assert_eq!(find(word), expected, "{}", word.escape_ascii());
        }
    }

    #[test]
    fn every_word_is_found() {
        assert_eq!(WORDS.len(), 985);
        assert_eq!(WORDS.iter().map(|(word, _)| word.len()).max(), Some(LONGEST));
        for (word, kind) in WORDS {
            assert_eq!(find(word), Some(kind), "{}", word.escape_ascii());
        }
    }

    #[test]
    fn starts_of_phrases_are_marked() {
        for start in [b"union" as &[u8], b"in", b"IN BOOLEAN", b"not", b"AT TIME"] {
            assert!(may_begin_phrase(start), "{}", start.escape_ascii());
        }
        for word in [
            b"" as &[u8],
            b"x",
            b"xylophone",
            b"a word of more than thirty-two bytes",
        ] {
            assert!(!may_begin_phrase(word), "{}", word.escape_ascii());
        }
    }

    #[test]
    fn fingerprints_are_found() {
        assert_eq!(FINGERPRINTS.len(), 8367);
        assert!(
            FINGERPRINTS.is_sorted_by(|a, b| a < b),
            "two fingerprints are packed alike"
        );
        for attack in [b"X" as &[u8], b"1c", b"s&1c", b"sk)UE", b"1;Tkn"] {
            assert!(is_attack(attack), "{}", attack.escape_ascii());
        }
        for innocent in [b"" as &[u8], b"n", b"nn", b"1111", b"s", b"sk)UEk"] {
            assert!(!is_attack(innocent), "{}", innocent.escape_ascii());
        }
    }

    #[test]
    fn probes_are_short() {
        let longest_run = SLOTS.split(|slot| *slot == 0).map(<[u16]>::len).max();
        assert!(longest_run < Some(24), "{longest_run:?}");
    }
}
