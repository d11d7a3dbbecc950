//! `PatternError`: why a regular expression was refused, where, and what to write instead.

use std::ops::Range;

use regex_syntax::ast;

/// A refused pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PatternError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, in bytes of the pattern as it was given.
    pub span: Range<usize>,
}

impl PatternError {
    pub(super) const fn new(kind: ErrorKind, span: Range<usize>) -> Self {
        Self { kind, span }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        self.kind.hint()
    }
}

/// What is wrong with a pattern. The first group are constructs that only a backtracking engine can match; they would let one
/// request take exponential time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// `(?=`, `(?!`, `(?<=`, `(?<!`.
    #[error("look-around is not supported")]
    LookAround,
    /// `\1`, `\g{1}`, `\k<name>`, `(?P=name)`.
    #[error("back-references are not supported")]
    BackReference,
    /// `a++`, `a*+`, `a?+`, `a{2}+`.
    #[error("possessive quantifiers are not supported")]
    Possessive,
    /// `(?>`.
    #[error("atomic groups are not supported")]
    AtomicGroup,
    /// `(?R)`, `(?1)`, `(?&name)`, `(?P>name)`.
    #[error("recursion into a group is not supported")]
    Recursion,
    /// `(?(condition)yes|no)`.
    #[error("conditional groups are not supported")]
    Conditional,
    /// `(?|`.
    #[error("branch-reset groups are not supported")]
    BranchReset,
    /// `(*VERB)`.
    #[error("backtracking verbs are not supported")]
    Verb,
    /// A flag that has another meaning here, or none.
    #[error("unsupported group or flag")]
    UnsupportedGroup,
    /// `\p{…}`, or a character above U+00FF in a class.
    #[error("Unicode classes are not supported: patterns match bytes")]
    Unicode,
    /// `\K`, `\R`, `\Z`, …
    #[error("unsupported escape \\{0}")]
    UnsupportedEscape(char),
    /// A quantifier that follows a quantifier, which engines read differently.
    #[error("a quantifier follows a quantifier")]
    NestedQuantifier,
    /// Not a regular expression in any dialect.
    #[error("{0}")]
    Syntax(String),
    /// The text is too long.
    #[error("the pattern has {length} bytes, and at most {limit} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Groups in groups in groups.
    #[error("the pattern is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit in levels.
        limit: u32,
    },
    /// The automaton is too large, most often because of counted repetitions in each other.
    #[error("the compiled pattern takes more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Matching takes too much memory.
    #[error("matching the pattern takes at least {needed} bytes of cache, and at most {limit} are allowed")]
    TooMuchCache {
        /// The least capacity in bytes.
        needed: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ErrorKind {
    const fn hint(&self) -> &'static str {
        match self {
            Self::LookAround => "match what must be there, and put what must not into a chained rule with !@rx",
            Self::BackReference => "use capture, and compare with %{TX.1} in a chained rule",
            Self::Possessive => "drop the +: matching takes linear time without it",
            Self::AtomicGroup => "use (?:…): matching takes linear time without it",
            Self::Recursion => "write the group out to the depth that matters",
            Self::Conditional | Self::BranchReset => "write the alternatives out",
            Self::Verb => "remove the verb: matching takes linear time and is about bytes in any case",
            Self::UnsupportedGroup => {
                "groups are (…), (?:…), (?<name>…) and the flags i, m, s, x, U as in (?i) or (?i:…)"
            }
            Self::Unicode => "write the bytes of the character, as in (?:\\xc3\\xa4|\\xc3\\xb6)",
            Self::UnsupportedEscape(_) => "write out what it stands for; the end of the value is $ or \\z",
            Self::NestedQuantifier => "put the quantified part in a group: (?:a+)*",
            Self::Syntax(_) => "to match a special character itself, put a backslash before it",
            Self::TooLong { .. } => {
                "split the pattern over several rules, or use @pm or @pmFromFile for a list of words"
            }
            Self::TooDeep { .. } => "flatten the groups, or split the pattern over several rules",
            Self::TooLarge { .. } | Self::TooMuchCache { .. } => {
                "lower the counts in {n,m}, above all where they stand in each other, or split the pattern over several rules"
            }
        }
    }
}

/// The kind and place (in the translated text) of an error of the parser.
pub(super) fn of_syntax(error: &regex_syntax::Error) -> (ErrorKind, Range<usize>) {
    let range = |span: &ast::Span| span.start.offset..span.end.offset;
    match error {
        regex_syntax::Error::Parse(error) => {
            let kind = match error.kind() {
                ast::ErrorKind::NestLimitExceeded(limit) => ErrorKind::TooDeep { limit: *limit },
                ast::ErrorKind::UnsupportedLookAround => ErrorKind::LookAround,
                ast::ErrorKind::UnsupportedBackreference => ErrorKind::BackReference,
                kind => ErrorKind::Syntax(kind.to_string()),
            };
            (kind, range(error.span()))
        }
        // The only error of the second step that a byte pattern can have.
        regex_syntax::Error::Translate(error) => (ErrorKind::Unicode, range(error.span())),
        other => (ErrorKind::Syntax(other.to_string()), 0..0),
    }
}
