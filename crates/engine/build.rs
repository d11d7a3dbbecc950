//! Writes the tables of the injection detectors: libinjection's SQL words and fingerprints, and its names of HTML events.

#[path = "src/detect/sqli/hash.rs"]
mod hash;

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

const EVENTS: &str = "src/detect/xss/events.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/detect/sqli/hash.rs");
    println!("cargo::rerun-if-changed={EVENTS}");
    let folder = env::var("OUT_DIR")?;
    fs::write(Path::new(&folder).join("sql_words.rs"), words()?)?;
    fs::write(Path::new(&folder).join("sql_fingerprints.rs"), fingerprints()?)?;
    fs::write(Path::new(&folder).join("html_events.rs"), events()?)?;
    Ok(())
}

/// A hash table with linear probing: 0 is a free slot, n the (n - 1)th word.
fn words() -> Result<String, Box<dyn Error>> {
    let words: Vec<_> = SQL_KEYWORDS.iter().filter(|word| word.token_type != b'F').collect();
    let mut slots = [0_usize; hash::SLOTS];
    for (at, word) in words.iter().enumerate() {
        let mut slot = hash::slot(word.word.as_bytes());
        while slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = hash::next(slot);
        }
        *slots.get_mut(slot).ok_or("a slot beyond the table")? = at + 1;
    }
    let mut text = format!("pub(super) static WORDS: [(&[u8], Kind); {}] = [\n", words.len());
    for word in &words {
        writeln!(text, "    (b{:?}, {}),", word.word, kind(word.token_type)?)?;
    }
    writeln!(
        text,
        "];\n\npub(super) static SLOTS: [u16; {}] = {slots:?};",
        slots.len()
    )?;
    let starts = phrase_starts(words.iter().map(|word| word.word));
    writeln!(
        text,
        "\npub(super) static PHRASE_STARTS: [u32; hash::PHRASE_STARTS] = {starts:?};"
    )?;
    Ok(text)
}

/// Marks what a phrase may begin with: all of its words but the last ones.
fn phrase_starts<'a>(phrases: impl Iterator<Item = &'a str>) -> [u32; hash::PHRASE_STARTS] {
    let mut marks = [0; hash::PHRASE_STARTS];
    for phrase in phrases {
        for (space, _) in phrase.match_indices(' ') {
            let (letter, bit) = hash::phrase_start(phrase.as_bytes().get(..space).unwrap_or_default());
            if let Some(mark) = marks.get_mut(letter) {
                *mark |= bit;
            }
        }
    }
    marks
}

fn kind(letter: u8) -> Result<&'static str, Box<dyn Error>> {
    Ok(match letter {
        b'k' => "Kind::Keyword",
        b'U' => "Kind::Union",
        b'B' => "Kind::Group",
        b'E' => "Kind::Expression",
        b't' => "Kind::SqlType",
        b'f' => "Kind::Function",
        b'n' => "Kind::Bareword",
        b'1' => "Kind::Number",
        b'v' => "Kind::Variable",
        b'o' => "Kind::Operator",
        b'&' => "Kind::Logic",
        b'A' => "Kind::Collate",
        b'T' => "Kind::Tsql",
        _ => return Err(format!("no kind of token for {:?}", char::from(letter)).into()),
    })
}

/// The fingerprints of attacks, packed and sorted. In the table each begins with a `0`.
fn fingerprints() -> Result<String, Box<dyn Error>> {
    let attacks = SQL_KEYWORDS.iter().filter(|word| word.token_type == b'F');
    let mut packed = Vec::new();
    for attack in attacks {
        let letters = attack.word.strip_prefix('0').ok_or("a fingerprint without its mark")?;
        packed.push(hash::pack(letters.bytes()).ok_or("a fingerprint of an unknown letter")?);
    }
    packed.sort_unstable();
    Ok(format!(
        "pub(super) static FINGERPRINTS: [u32; {}] = {packed:?};\n",
        packed.len()
    ))
}

/// The names, sorted, without those that begin with another: they are looked up as prefixes.
fn events() -> Result<String, Box<dyn Error>> {
    let text = fs::read_to_string(EVENTS)?;
    let mut names: Vec<_> = text.lines().collect();
    names.sort_unstable();
    names.dedup_by(|name, before| name.starts_with(*before));
    Ok(format!(
        "pub(super) static EVENTS: [&str; {}] = {names:?};\n",
        names.len()
    ))
}
