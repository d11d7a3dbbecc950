//! Values that are made to be expensive: for patterns, for transformations, for the detection of injections. No IO.

/// A value of a length.
type Make = fn(usize) -> Vec<u8>;

/// All of them, by name.
pub(crate) const ALL: [(&str, Make); 12] = [
    ("punctuation", |length| {
        random(length, b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    }),
    ("printable", |length| {
        let printable: Vec<u8> = (b' '..=b'~').collect();
        random(length, &printable)
    }),
    ("bytes", |length| {
        let all: Vec<u8> = (0..=255).collect();
        random(length, &all)
    }),
    ("letters", |length| random(length, b"abcdefghijklmnopqrstuvwxyz")),
    ("one-letter", |length| cycle(length, b"a")),
    ("spaces", |length| cycle(length, b" ")),
    ("parentheses", |length| cycle(length, b"(((((((")),
    ("quotes", |length| cycle(length, b"'\"`")),
    ("tags", |length| cycle(length, b"<a href=x ")),
    ("comments", |length| cycle(length, b"/*!select*/")),
    ("escapes", |length| cycle(length, b"%25%u0025\\x25&#x25;")),
    ("commands", |length| cycle(length, b";ls -la|cat /etc/p$@a\"\"ss*d;")),
];

/// A form with one field of this value.
pub(crate) fn form(value: &[u8]) -> Vec<u8> {
    let escaped = value.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    format!("field={escaped}").into_bytes()
}

/// The same each time: a linear congruential generator's upper bits.
fn random(length: usize, alphabet: &[u8]) -> Vec<u8> {
    let mut state = 0x2545_f491_u64;
    let bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap_or_default() % alphabet.len();
        alphabet.get(at).copied().unwrap_or_default()
    });
    bytes.take(length).collect()
}

fn cycle(length: usize, piece: &[u8]) -> Vec<u8> {
    piece.iter().copied().cycle().take(length).collect()
}
