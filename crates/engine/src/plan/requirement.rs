//! `Requirement`: what a value must have for a test to match it, read from the test alone. A value that lacks it need not be looked at.
//! No IO.
//!
//! All of it is about values whose ASCII letters are in lower case: a value that matches then has what is required, in whatever case the
//! test wants it, and some that don't match have it too.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::mask::ByteMask;

/// The longest literal that is kept of one that is required: longer ones are as rare, and what finds them has no room for more.
const MAX_LITERAL: usize = super::literals::MAX_LENGTH;

/// How many strings one part of a pattern may stand for, to be taken as these strings.
const MAX_EXACT: usize = 128;

/// How many bytes those strings may have each.
const MAX_EXACT_BYTES: usize = 24;

/// The most literals of a clause that comes from a pattern.
const MAX_ALTERNATIVES: usize = 2_048;

/// The most clauses of a test: further ones hardly ever decide.
const MAX_CLAUSES: usize = 6;

/// A clause that so large a share of values satisfies isn't worth looking at.
const USELESS: f32 = 0.99;

/// What a value must have: each of the clauses, and so many bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The one that the fewest values satisfy is first. None: every value has what is required.
    pub(crate) clauses: Vec<Clause>,
    pub(crate) min_len: usize,
    pub(crate) ends: Ends,
}

/// What the first and the last byte of a value must be one of, where only that is known to matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    first: Option<ByteMask>,
    last: Option<ByteMask>,
}

impl Ends {
    /// Those of a pattern that begins at the value's beginning, or ends at its end.
    fn of_pattern(hir: &Hir) -> Self {
        let properties = hir.properties();
        let of = |anchored, from_start| {
            let Edge { bytes, nullable } = Edge::of(hir, from_start);
            (anchored && !nullable).then(|| bytes.folded())
        };
        Self {
            first: of(properties.look_set_prefix().contains(Look::Start), true),
            last: of(properties.look_set_suffix().contains(Look::End), false),
        }
    }

    /// Whether a value's are such.
    pub(crate) fn allow(&self, value: &[u8]) -> bool {
        let allows = |bytes: &Option<ByteMask>, byte: Option<&u8>| match bytes {
            Some(bytes) => byte.is_some_and(|byte| bytes.contains(byte.to_ascii_lowercase())),
            None => true,
        };
        allows(&self.first, value.first()) && allows(&self.last, value.last())
    }
}

/// The bytes that a part of a pattern begins or ends with.
struct Edge {
    bytes: ByteMask,
    /// Whether it may match nothing at all.
    nullable: bool,
}

impl Edge {
    const NOTHING: Self = Self {
        bytes: ByteMask::NONE,
        nullable: true,
    };

    // Recursion: `Limits::nesting` bounds it.
    fn of(hir: &Hir, from_start: bool) -> Self {
        let edge = |part| Self::of(part, from_start);
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::NOTHING,
            HirKind::Literal(literal) => {
                let byte = if from_start {
                    literal.0.first()
                } else {
                    literal.0.last()
                };
                let mut bytes = ByteMask::NONE;
                byte.iter().for_each(|byte| bytes.insert(**byte));
                Self {
                    bytes,
                    nullable: byte.is_none(),
                }
            }
            HirKind::Class(class) => {
                let bytes = bytes_of(class).unwrap_or_else(|| {
                    let mut all = ByteMask::NONE;
                    (0..=u8::MAX).for_each(|byte| all.insert(byte));
                    all
                });
                Self { bytes, nullable: false }
            }
            HirKind::Repetition(repetition) => Self {
                nullable: repetition.min == 0 || edge(&repetition.sub).nullable,
                ..edge(&repetition.sub)
            },
            HirKind::Capture(capture) => edge(&capture.sub),
            HirKind::Concat(parts) if from_start => Self::concat(parts.iter().map(edge)),
            HirKind::Concat(parts) => Self::concat(parts.iter().rev().map(edge)),
            HirKind::Alternation(parts) => parts.iter().map(edge).fold(
                Self {
                    nullable: false,
                    ..Self::NOTHING
                },
                |all, part| Self {
                    bytes: all.bytes.or(&part.bytes),
                    nullable: all.nullable || part.nullable,
                },
            ),
        }
    }

    fn concat(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::NOTHING;
        for part in parts {
            all.bytes = all.bytes.or(&part.bytes);
            if !part.nullable {
                all.nullable = false;
                break;
            }
        }
        all
    }
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
            ends: Ends::of_pattern(hir),
        }
    }

    /// That of any of these words, in any case.
    pub(crate) fn of_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let clause = Clause::of(words.into_iter().map(|word| word.as_ref().to_ascii_lowercase()));
        Self {
            clauses: vec![clause],
            min_len: 1,
            ends: Ends::default(),
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
            ends: Ends::default(),
        }
    }
}

impl Clause {
    /// Any of these strings, none of them empty.
    fn of(strings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut clause = Self::default();
        for mut string in strings {
            match string.as_slice() {
                [byte] => clause.bytes.insert(*byte),
                _ => {
                    string.truncate(MAX_LITERAL);
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
            HirKind::Class(class) => bytes_of(class).map_or(Self::UNKNOWN, |bytes| Self::class(bytes.folded())),
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
        if folded.len() <= MAX_EXACT / 8 {
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

/// The bytes of a class, one of which it matches; none if it has characters of more than one byte. Alternatives of one ASCII character each are
/// a class of characters for the parser.
fn bytes_of(class: &Class) -> Option<ByteMask> {
    let ascii;
    let class = match class {
        Class::Bytes(class) => class,
        Class::Unicode(class) => {
            ascii = class.to_byte_class()?;
            &ascii
        }
    };
    let mut bytes = ByteMask::NONE;
    for range in class.ranges() {
        (range.start()..=range.end()).for_each(|byte| bytes.insert(byte));
    }
    Some(bytes)
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
