//! Inputs: known ones from files, and more from a seed, dense with what SQL and HTML are made of and with what tokenizers trip over.

use std::path::Path;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

/// What SQL is made of besides words.
const SQL: &[&str] = &[
    "'",
    "\"",
    "`",
    "''",
    "\\'",
    "/*",
    "*/",
    "/*!",
    "/*!00000",
    "--",
    "-- ",
    "#",
    "(",
    ")",
    ",",
    ";",
    "@",
    "@@",
    "$",
    "$$",
    "$a$",
    "\\",
    "\\N",
    " ",
    "  ",
    "\n",
    "\t",
    "\x0b",
    "\0",
    ".",
    "..",
    ":",
    "::",
    ":=",
    "=",
    "<=>",
    "<>",
    "!=",
    "!",
    "!!",
    "~",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "&",
    "&&",
    "|",
    "||",
    "[",
    "]",
    "{",
    "}",
    "?",
    "_",
    "e'",
    "E'",
    "n'",
    "N'",
    "q'(",
    "nq'[",
    "Q'!",
    "u&'",
    "x'",
    "X'4f'",
    "b'01'",
    "b'2",
    "0x",
    "0x1f",
    "0b",
    "0b1",
    "1",
    "23",
    "1.5",
    ".5",
    "1e",
    "1e5",
    "1.e",
    ".E+",
    "1E-3",
    "1.5f",
    "2d",
    "1u",
    "$1,000.00",
    "$tag$x$tag$",
    "a",
    "foo",
    "a.b",
    "a.select",
    "select.a",
    "sp_password",
    "SP_PASSWORD",
    "user",
    "user_id",
    "current_date",
    "IF",
    "into",
    "in boolean mode",
    "lock in share mode",
    "at time zone",
    "is not distinct from",
    "not in",
    "not like",
    "sounds like",
    "union all",
    "procedure analyse",
    "like",
    "in",
    "not",
    "or",
    "and",
    "xor",
    "union",
    "select",
    "collate",
    "utf8_bin",
    "0x31",
    "'1'='1",
    "1=1",
];

/// What HTML and its attacks are made of.
const HTML: &[&str] = &[
    "<",
    ">",
    "</",
    "/>",
    "=",
    "\"",
    "'",
    "`",
    " ",
    "\t",
    "\n",
    "\x0b",
    "\x0c",
    "\0",
    "/",
    "!",
    "<!",
    "<!--",
    "-->",
    "--!>",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE",
    "<!doctype html>",
    "<?",
    "?>",
    "<%",
    "%>",
    "&",
    "&#",
    "&#x",
    "&#106",
    "&#x6a;",
    "&#0000106;",
    "&Tab;",
    ";",
    "script",
    "svg",
    "xsl",
    "iframe",
    "img",
    "a",
    "b",
    "style",
    "object",
    "meta",
    "form",
    "svgx",
    "xslt",
    "href",
    "src",
    "action",
    "formaction",
    "filter",
    "dataformatas",
    "datasrc",
    "attributename",
    "by",
    "from",
    "to",
    "values",
    "xmlns",
    "xlink:href",
    "on",
    "on\0load",
    "o\0nload",
    "javascript:",
    "JaVaScRiPt:",
    "java\0script",
    "java\nscript",
    "data:",
    "view-source:",
    "vbscript:",
    "alert(1)",
    "x",
    "[if",
    "xml",
    "import",
    "entity",
    "IMPORT x",
    "ENTITY y",
    "\u{1}",
    "\x7f",
    "autofocus",
    "<a ",
    "<img src=x ",
    " style=",
    " href=",
];

/// The names of events, which `on` makes attributes of.
const EVENTS: &str = include_str!("../../src/detect/xss/events.txt");

/// All inputs of a folder's `.txt` files, a line each, percent-decoded as far as they are encoded.
pub(crate) fn read(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(std::fs::DirEntry::path);
    let mut inputs = Vec::new();
    for path in paths.iter().map(std::fs::DirEntry::path) {
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = std::fs::read(path)?;
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            inputs.extend(lines.flat_map(|line| [line.to_vec(), decode(line)]));
        }
    }
    Ok(inputs)
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| Some(char::from(*tail.get(at)?).to_digit(16)? as u8);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', ..) => {
                decoded.push(b' ');
                rest = tail;
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

/// Makes inputs from a seed: the same ones every time.
pub(crate) struct Generator {
    random: fastrand::Rng,
    known: Vec<Vec<u8>>,
    words: Vec<&'static str>,
    events: Vec<&'static str>,
}

impl Generator {
    /// `known` inputs are starting points.
    pub(crate) fn new(seed: u64, known: Vec<Vec<u8>>) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            known,
            // Fingerprints are in that table too; they begin with a digit that no word begins with.
            words: SQL_KEYWORDS
                .iter()
                .map(|entry| entry.word)
                .filter(|word| !word.starts_with('0'))
                .collect(),
            events: EVENTS.lines().collect(),
        }
    }

    /// The next input.
    pub(crate) fn input(&mut self) -> Vec<u8> {
        match self.random.u8(0..10) {
            0..4 => self.pieces(Self::sql),
            4..7 => self.pieces(Self::html),
            7 if !self.known.is_empty() => self.mutation(),
            8 => self.pieces(|generator| {
                if generator.random.bool() {
                    generator.sql()
                } else {
                    generator.html()
                }
            }),
            _ => self.bytes(),
        }
    }

    fn pieces(&mut self, piece: impl Fn(&mut Self) -> Vec<u8>) -> Vec<u8> {
        let spaced = self.random.bool();
        let mut input = Vec::new();
        for _ in 0..self.random.usize(1..=14) {
            input.extend(piece(self));
            if spaced && self.random.u8(0..3) > 0 {
                input.push(b' ');
            }
        }
        input
    }

    fn sql(&mut self) -> Vec<u8> {
        let text = match self.random.u8(0..3) {
            0 => self.random.choice(&self.words).copied().unwrap_or_default(),
            _ => self.random.choice(SQL).copied().unwrap_or_default(),
        };
        self.recased(text)
    }

    fn html(&mut self) -> Vec<u8> {
        if self.random.u8(0..6) == 0 {
            let event = self.random.choice(&self.events).copied().unwrap_or_default();
            let name = self.recased(event);
            return [b"on", &*name].concat();
        }
        let text = self.random.choice(HTML).copied().unwrap_or_default();
        self.recased(text)
    }

    /// The text as it is, in lower case, or in mixed case.
    fn recased(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        match self.random.u8(0..3) {
            0 => bytes.make_ascii_lowercase(),
            1 => {
                for byte in &mut bytes {
                    if self.random.bool() {
                        byte.make_ascii_uppercase();
                    }
                }
            }
            _ => {}
        }
        bytes
    }

    /// A known input, with a few changes.
    fn mutation(&mut self) -> Vec<u8> {
        let mut input = self.random.choice(&self.known).cloned().unwrap_or_default();
        input.truncate(400);
        for _ in 0..self.random.usize(1..=4) {
            let at = self.random.usize(0..=input.len());
            match self.random.u8(0..5) {
                0 => {
                    let piece = self.sql();
                    input.splice(at..at, piece);
                }
                1 => {
                    let piece = self.html();
                    input.splice(at..at, piece);
                }
                2 => {
                    let to = self.random.usize(at..=input.len());
                    input.drain(at..to.min(at + 8));
                }
                3 => {
                    let byte = self.random.u8(..);
                    if let Some(place) = input.get_mut(at) {
                        *place = byte;
                    }
                }
                _ => {
                    let other = self.random.choice(&self.known).cloned().unwrap_or_default();
                    let from = self.random.usize(0..=other.len());
                    input.truncate(at);
                    input.extend(other.get(from..).unwrap_or_default());
                }
            }
        }
        input
    }

    /// Bytes without any plan.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.random.usize(0..40);
        (0..length)
            .map(|_| match self.random.u8(0..4) {
                0 => self.random.u8(..),
                1 => self.random.u8(0..0x21),
                _ => self.random.u8(0x20..0x7f),
            })
            .collect()
    }
}
