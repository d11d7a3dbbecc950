//! `Requirement`: what a value must have for a test to match it, read from the test alone. A value that lacks it need not be looked at.
//! No IO.
//!
//! All of it is about values whose ASCII letters are in lower case: a value that matches then has what is required, in whatever case the
//! test wants it, and some that don't match have it too.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::mask::ByteMask;

/// The longest literal that is kept of one that is required: longer ones are as rare, and an automaton of them is larger.
const MAX_LITERAL: usize = 8;

/// The same where there are more than [`MANY`]: what a false alarm costs is less than what the automaton would.
const MAX_LITERAL_OF_MANY: usize = 5;

/// How many literals are many.
const MANY: usize = 64;

/// How many strings one part of a pattern may stand for, to be taken as these strings.
const MAX_EXACT: usize = 64;

/// How many bytes those strings may have each.
const MAX_EXACT_BYTES: usize = 24;

/// The most literals of a clause that comes from a pattern.
const MAX_ALTERNATIVES: usize = 512;

/// The most clauses of a test: further ones hardly ever decide.
const MAX_CLAUSES: usize = 4;

/// A clause that so large a share of values satisfies isn't worth looking at.
const USELESS: f32 = 0.99;

/// What a value must have: each of the clauses, and so many bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The one that the fewest values satisfy is first. None: every value has what is required.
    pub(crate) clauses: Vec<Clause>,
    pub(crate) min_len: usize,
}

/// Any of the literals, or any of the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clause {
    /// Of two bytes or more, in lower case, sorted.
    pub(crate) literals: Vec<Box<[u8]>>,
    pub(crate) bytes: ByteMask,
}

impl Requirement {
    /// That of a regular expression.
    pub(crate) fn of_pattern(hir: &Hir) -> Self {
        let mut clauses = Facts::of(hir).into_clauses();
        clauses.retain(|clause| clause.frequency() < USELESS);
        clauses.sort_by(|a, b| a.frequency().total_cmp(&b.frequency()));
        clauses.dedup();
        clauses.truncate(MAX_CLAUSES);
        Self {
            clauses,
            min_len: hir.properties().minimum_len().unwrap_or_default(),
        }
    }

    /// That of any of these words, in any case.
    pub(crate) fn of_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let clause = Clause::of(words.into_iter().map(|word| word.as_ref().to_ascii_lowercase()));
        Self {
            clauses: vec![clause],
            min_len: 1,
        }
    }

    /// Any of these bytes.
    pub(crate) fn of_bytes(bytes: ByteMask) -> Self {
        Self {
            clauses: vec![Clause {
                literals: Vec::new(),
                bytes: bytes.folded(),
            }],
            min_len: 1,
        }
    }
}

impl Clause {
    /// Any of these strings, none of them empty.
    fn of(strings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut clause = Self::default();
        let strings: Vec<_> = strings.into_iter().collect();
        let longest = if strings.len() > MANY {
            MAX_LITERAL_OF_MANY
        } else {
            MAX_LITERAL
        };
        for mut string in strings {
            match string.as_slice() {
                [byte] => clause.bytes.insert(*byte),
                _ => {
                    string.truncate(longest);
                    clause.literals.push(string.into_boxed_slice());
                }
            }
        }
        clause.literals.sort();
        clause.literals.dedup();
        clause
    }

    fn or(mut self, other: Self) -> Self {
        self.literals.extend(other.literals);
        self.literals.sort();
        self.literals.dedup();
        self.bytes = self.bytes.or(&other.bytes);
        self
    }

    /// A guess at the share of short, harmless values that satisfy it.
    fn frequency(&self) -> f32 {
        let literals: f32 = self.literals.iter().map(|literal| frequency(literal)).sum();
        let absent: f32 = self.bytes.iter().map(|byte| 1.0 - weight(byte)).product();
        (literals + 1.0 - absent).min(1.0)
    }
}

/// That of a literal: of its rarest byte, and the rarer the longer it is.
fn frequency(literal: &[u8]) -> f32 {
    let rarest = literal.iter().map(|byte| weight(*byte)).fold(1.0, f32::min);
    let by_length = match literal.len() {
        0 | 1 => 1.0,
        2 => 0.1,
        3 => 0.02,
        4 => 0.005,
        _ => 0.002,
    };
    rarest * by_length
}

/// A guess at the share of short, harmless values that have this byte, in either case.
fn weight(byte: u8) -> f32 {
    match byte {
        b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' | b'l' => 0.7,
        b'j' | b'q' | b'x' | b'z' => 0.15,
        b'a'..=b'z' | b'A'..=b'Z' => 0.4,
        b'0'..=b'9' => 0.35,
        b' ' | b'.' | b'-' | b'/' | b'_' => 0.3,
        b'=' | b',' | b';' | b':' | b'+' | b'(' | b')' | b'*' | b'&' | b'%' => 0.12,
        _ => 0.03,
    }
}

/// What is known of the texts that a part of a pattern matches.
struct Facts {
    /// All of them, in lower case, if they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// What each of them satisfies, where they aren't few.
    clauses: Vec<Clause>,
}

impl Facts {
    const UNKNOWN: Self = Self {
        exact: None,
        clauses: Vec::new(),
    };

    fn exactly(strings: Vec<Vec<u8>>) -> Self {
        Self {
            exact: Some(strings),
            clauses: Vec::new(),
        }
    }

    // Recursion: `Limits::nesting` bounds it.
    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Self::literal(&literal.0),
            HirKind::Class(Class::Bytes(class)) => {
                let mut bytes = ByteMask::default();
                for range in class.ranges() {
                    (range.start()..=range.end()).for_each(|byte| bytes.insert(byte));
                }
                Self::class(bytes.folded())
            }
            // One that isn't of bytes: what it matches is at least not empty.
            HirKind::Class(Class::Unicode(_)) => Self::UNKNOWN,
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => Self::concat(parts.iter().map(Self::of)),
            HirKind::Alternation(parts) => Self::alternation(parts.iter().map(Self::of).collect()),
            HirKind::Repetition(repetition) => {
                Self::repetition(Self::of(&repetition.sub), repetition.min, repetition.max)
            }
        }
    }

    fn literal(bytes: &[u8]) -> Self {
        let lower = bytes.to_ascii_lowercase();
        if lower.len() <= MAX_EXACT_BYTES {
            return Self::exactly(vec![lower]);
        }
        Self {
            exact: None,
            clauses: vec![Clause::of([lower])],
        }
    }

    fn class(folded: ByteMask) -> Self {
        if folded.len() <= MAX_EXACT / 4 {
            return Self::exactly(folded.iter().map(|byte| vec![byte]).collect());
        }
        Self {
            exact: None,
            clauses: vec![Clause {
                literals: Vec::new(),
                bytes: folded,
            }],
        }
    }

    fn concat(parts: impl Iterator<Item = Self>) -> Self {
        // What the parts since the last one that isn't exact match together.
        let mut run = vec![Vec::new()];
        let mut clauses = Vec::new();
        let mut whole = true;
        for part in parts {
            match part.exact {
                Some(exact) => match product(&run, &exact) {
                    Some(product) => run = product,
                    None => {
                        whole = false;
                        clauses.extend(clause(std::mem::replace(&mut run, exact)));
                    }
                },
                None => {
                    whole = false;
                    clauses.extend(clause(std::mem::replace(&mut run, vec![Vec::new()])));
                    clauses.extend(part.clauses);
                }
            }
        }
        if whole {
            return Self::exactly(run);
        }
        clauses.extend(clause(run));
        Self { exact: None, clauses }
    }

    fn alternation(parts: Vec<Self>) -> Self {
        let count = parts.iter().map(|part| part.exact.as_ref().map(Vec::len));
        let count = count.sum::<Option<usize>>();
        if count.is_some_and(|count| count <= MAX_EXACT) {
            return Self::exactly(parts.into_iter().filter_map(|part| part.exact).flatten().collect());
        }
        // Each alternative satisfies the best of its clauses, so all of them satisfy one of these.
        let best = parts.into_iter().map(|part| {
            let clauses = part.into_clauses().into_iter();
            clauses.min_by(|a, b| a.frequency().total_cmp(&b.frequency()))
        });
        let union = best.reduce(|all, next| Some(all?.or(next?))).flatten();
        let union = union.filter(|union| union.literals.len() <= MAX_ALTERNATIVES);
        Self {
            exact: None,
            clauses: union.into_iter().collect(),
        }
    }

    fn repetition(part: Self, min: u32, max: Option<u32>) -> Self {
        match (part, min, max) {
            (part, 1, Some(1)) => part,
            (
                Self {
                    exact: Some(mut exact), ..
                },
                0,
                Some(1),
            ) if exact.len() < MAX_EXACT => {
                exact.push(Vec::new());
                Self::exactly(exact)
            }
            (_, 0, _) => Self::UNKNOWN,
            (Self { exact: Some(exact), .. }, 2..=4, Some(max)) if min == max => {
                let copies = (0..min).map(|_| Self::exactly(exact.clone()));
                Self::concat(copies)
            }
            (part, ..) => Self {
                exact: None,
                clauses: part.into_clauses(),
            },
        }
    }

    fn into_clauses(self) -> Vec<Clause> {
        let exact = self.exact.and_then(clause);
        exact.into_iter().chain(self.clauses).collect()
    }
}

/// The clause that one of the strings satisfies; none if one of them is empty.
fn clause(strings: Vec<Vec<u8>>) -> Option<Clause> {
    (!strings.iter().any(Vec::is_empty)).then(|| Clause::of(strings))
}

/// Each string of the one list with each of the other behind it, as long as they are few and short.
fn product(heads: &[Vec<u8>], tails: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let longest = |strings: &[Vec<u8>]| strings.iter().map(Vec::len).max().unwrap_or_default();
    if heads.len().saturating_mul(tails.len()) > MAX_EXACT || longest(heads) + longest(tails) > MAX_EXACT_BYTES {
        return None;
    }
    let pairs = heads
        .iter()
        .flat_map(|head| tails.iter().map(move |tail| [head.as_slice(), tail].concat()));
    Some(pairs.collect())
}
