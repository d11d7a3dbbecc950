//! `Statuses`: the HTTP statuses that a regular expression matches. No IO.
//!
//! ModSecurity's recommended configuration asks for `^(?:5|4(?!04))`, so here, and only here, there is look-ahead. It costs
//! nothing: a status has three digits, so each part of a pattern is a function from the four places in it to sets of places.

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::{ErrorKind, Limits, PatternError, parse};

/// Room for any set of statuses that a person would write down.
const LIMITS: Limits = Limits {
    pattern_bytes: 1 << 10,
    nesting: 50,
    automaton_bytes: 0,
    cache_bytes: 0,
};

/// How deep look-aheads may stand in each other.
const MAX_LOOK_AHEADS: u32 = 8;

/// What the groups that stand for look-aheads are called, but for their number.
const GROUP: &str = "__look_ahead_";

/// After so many repetitions nothing changes any more: some of them must have been empty.
const MAX_REPETITIONS: u32 = 4;

/// A set of statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses([bool; 1000]);

/// Places in a status, as bits: before its first digit to after its last.
type Places = u8;

/// A pattern with its look-aheads cut out.
struct Node {
    hir: Hir,
    look_aheads: Vec<(bool, Node)>,
}

impl Statuses {
    /// The statuses that a pattern matches.
    pub(crate) fn matching(pattern: &[u8]) -> Result<Self, PatternError> {
        let node = Node::parse(pattern, MAX_LOOK_AHEADS)?;
        let mut statuses = [false; 1000];
        for (status, matches) in (0_u16..).zip(&mut statuses) {
            let text = status.to_string();
            *matches = (0..=text.len()).any(|at| node.from(&node.hir, text.as_bytes(), at) != 0);
        }
        Ok(Self(statuses))
    }

    /// Whether it is one of them.
    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status)).copied().unwrap_or_default()
    }
}

impl Node {
    fn parse(pattern: &[u8], depth: u32) -> Result<Self, PatternError> {
        let whole = |error: PatternError| PatternError::new(error.kind, 0..pattern.len());
        if depth == 0 {
            let limit = MAX_LOOK_AHEADS;
            return Err(PatternError::new(ErrorKind::TooDeep { limit }, 0..pattern.len()));
        }
        let mut look_aheads = Vec::new();
        let mut text = Vec::new();
        let mut from = 0;
        while let Some((group, negative)) = look_ahead(pattern, from) {
            text.extend_from_slice(pattern.get(from..group.start).unwrap_or_default());
            text.extend_from_slice(format!("(?<{GROUP}{}>)", look_aheads.len()).as_bytes());
            let inside = pattern.get(group.start + 3..group.end - 1).unwrap_or_default();
            look_aheads.push((negative, Self::parse(inside, depth - 1).map_err(whole)?));
            from = group.end;
        }
        text.extend_from_slice(pattern.get(from..).unwrap_or_default());
        let hir = parse(&text, &LIMITS);
        Ok(Self {
            // Places in a text from which something was cut out are not those in the pattern.
            hir: if from == 0 { hir } else { hir.map_err(whole) }?,
            look_aheads,
        })
    }

    /// Where a part of the pattern may end that begins at `at`.
    fn from(&self, part: &Hir, text: &[u8], at: usize) -> Places {
        match part.kind() {
            HirKind::Empty => 1 << at,
            HirKind::Literal(literal) => match text.get(at..) {
                Some(rest) if rest.starts_with(&literal.0) => 1 << (at + literal.0.len()),
                _ => 0,
            },
            HirKind::Class(class) => match text.get(at) {
                Some(byte) if holds(class, *byte) => 1 << (at + 1),
                _ => 0,
            },
            HirKind::Look(look) => u8::from(is_there(*look, text, at)) << at,
            HirKind::Capture(capture) => match self.look_ahead(capture.name.as_deref()) {
                Some((negative, node)) => u8::from((node.from(&node.hir, text, at) == 0) == *negative) << at,
                None => self.from(&capture.sub, text, at),
            },
            HirKind::Concat(parts) => parts.iter().fold(1 << at, |places, part| self.step(part, text, places)),
            HirKind::Alternation(parts) => parts.iter().fold(0, |places, part| places | self.from(part, text, at)),
            HirKind::Repetition(repetition) => {
                let least = repetition.min.min(MAX_REPETITIONS);
                let most = repetition.max.unwrap_or(MAX_REPETITIONS).min(MAX_REPETITIONS);
                let repeat = |places| self.step(&repetition.sub, text, places);
                let mut places = (0..least).fold(1 << at, |places, _| repeat(places));
                for _ in least..most {
                    places |= repeat(places);
                }
                places
            }
        }
    }

    /// Where a part may end that begins at any of `places`.
    fn step(&self, part: &Hir, text: &[u8], places: Places) -> Places {
        let starts = (0..=text.len()).filter(|at| places & (1 << at) != 0);
        starts.fold(0, |ends, at| ends | self.from(part, text, at))
    }

    fn look_ahead(&self, name: Option<&str>) -> Option<&(bool, Self)> {
        let number = name?.strip_prefix(GROUP)?;
        self.look_aheads.get(number.parse::<usize>().ok()?)
    }
}

/// The first look-ahead from `from` on, with its parentheses, and whether it is negative.
fn look_ahead(pattern: &[u8], from: usize) -> Option<(Range<usize>, bool)> {
    let (mut at, mut in_class, mut found, mut depth) = (from, false, None, 0_usize);
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class => match (&found, pattern.get(at + 1..at + 3)) {
                (None, Some(b"?=")) => found = Some((at, false)),
                (None, Some(b"?!")) => found = Some((at, true)),
                (None, _) => {}
                (Some(_), _) => depth += 1,
            },
            b')' if !in_class => match found {
                Some((start, negative)) if depth == 0 => return Some((start..at + 1, negative)),
                _ => depth = depth.saturating_sub(1),
            },
            _ => {}
        }
        at += 1;
    }
    None
}

fn holds(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => {
            let byte = char::from(byte);
            class
                .ranges()
                .iter()
                .any(|range| (range.start()..=range.end()).contains(&byte))
        }
    }
}

fn is_there(look: Look, text: &[u8], at: usize) -> bool {
    match look {
        Look::Start | Look::StartLF | Look::StartCRLF => at == 0,
        Look::End | Look::EndLF | Look::EndCRLF => at == text.len(),
        // All bytes are digits, so the only ends of words are those of the text.
        Look::WordAscii | Look::WordUnicode => at == 0 || at == text.len(),
        Look::WordAsciiNegate | Look::WordUnicodeNegate => at != 0 && at != text.len(),
        Look::WordStartAscii | Look::WordStartUnicode | Look::WordStartHalfAscii | Look::WordStartHalfUnicode => {
            at == 0
        }
        Look::WordEndAscii | Look::WordEndUnicode | Look::WordEndHalfAscii | Look::WordEndHalfUnicode => {
            at == text.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str) -> Vec<u16> {
        let statuses = Statuses::matching(pattern.as_bytes()).unwrap();
        [200, 302, 401, 403, 404, 500, 503]
            .into_iter()
            .filter(|status| statuses.contains(*status))
            .collect()
    }

    #[test]
    fn statuses_are_matched_as_the_recommended_configurations_ask() {
        for (pattern, expected) in [
            ("^(?:5|4(?!04))", [401, 403, 500, 503].as_slice()),
            ("^(?:(5|4)(0|1)[0-9])$", &[401, 403, 404, 500, 503]),
            ("", &[200, 302, 401, 403, 404, 500, 503]),
            ("^4(?=0[13])", &[401, 403]),
            ("^(?!4|5)", &[200, 302]),
            ("^(?!(?!2))", &[200]),
            (r"^\d0{2}$", &[200, 500]),
            ("^[^45]", &[200, 302]),
            ("(?i)0+$", &[200, 500]),
            (r"^5.*\b.|4{1,9}04", &[404]),
            ("(?:4|(?:0(?!4))){2,}", &[200, 401, 403, 500]),
        ] {
            assert_eq!(matching(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "(",
            "(?!",
            "(?!(",
            "[",
            "(?<=4)04",
            "(?!a**)",
            "4{2,1}",
            &"(?!".repeat(100),
            &"(?!a)".repeat(1000),
        ] {
            assert!(Statuses::matching(pattern.as_bytes()).is_err(), "{pattern}");
        }
        let nested = "(?!".repeat(20) + &")".repeat(20);
        assert!(Statuses::matching(nested.as_bytes()).is_err());
        assert!(Statuses::matching(&[b'4'; 2000]).is_err());
    }
}
