//! How the tables of SQL words and fingerprints are laid out: shared by the build script that writes them and the look-up. No IO.

/// Slots of the table of words: a power of two, so that the 985 words fill less than half and a probe is short.
pub(crate) const SLOTS: usize = 2048;

/// The slot at which the search for an upper-case word begins.
pub(crate) fn slot(word: impl Iterator<Item = u8>) -> usize {
    // FNV-1a. Its high bits are the better mixed ones.
    let hash = word.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 15) as usize % SLOTS
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
