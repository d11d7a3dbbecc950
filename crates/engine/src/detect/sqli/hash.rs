//! How the tables of SQL words and fingerprints are laid out: shared by the build script that writes them and the look-up. No IO.

/// Slots of the table of words: a power of two, so that the 985 words fill less than half and a probe is short.
pub(crate) const SLOTS: usize = 2048;

/// The slot at which the search for a word begins, whatever its case. Its length and four of its bytes tell most words apart,
/// and cost the same for each.
pub(crate) fn slot(word: &[u8]) -> usize {
    let middle = word.get(word.len() / 2).copied().unwrap_or_default();
    let (first, second, last) = match *word {
        [first, second, .., last] => (first, second, last),
        [first, last] => (first, 0, last),
        [only] => (only, 0, 0),
        [] => (0, 0, 0),
    };
    // Without the bit that tells letters of either case apart.
    let bytes = u32::from_le_bytes([first, second, middle, last]) & 0xdfdf_dfdf;
    let mixed = (u64::from(bytes) | (word.len() as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize % SLOTS
}

/// The slot after one that is taken.
pub(crate) const fn next(slot: usize) -> usize {
    (slot + 1) % SLOTS
}

/// The letters of fingerprints, in upper case.
const LETTERS: &[u8] = b"KUBETFN1VSO&CA(){}.,:;?X\\";

/// A fingerprint of at most five upper-case letters as one number.
pub(crate) fn pack(letters: impl Iterator<Item = u8>) -> Option<u32> {
    letters.into_iter().try_fold(0, |packed, letter| {
        let at = LETTERS.iter().position(|known| *known == letter)?;
        Some(packed << 5 | (at as u32 + 1))
    })
}

/// Where the first words of phrases are marked: by first letter, a bit for each length.
pub(crate) const PHRASE_STARTS: usize = 32;

/// The mark of a word: a letter's place and the bit of its length.
pub(crate) fn phrase_start(word: &[u8]) -> (usize, u32) {
    let letter = word.first().map_or(0, |first| usize::from(first & 31));
    (letter, 1_u32.checked_shl(word.len() as u32).unwrap_or(0))
}
