//! One token of SQL. No IO.

/// What a token is. Its letter stands for it in a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Keyword = b'k',
    Union = b'U',
    /// `GROUP BY`, `LIMIT`, `HAVING`, …
    Group = b'B',
    /// What begins a statement: `SELECT`, `INSERT`, …
    Expression = b'E',
    SqlType = b't',
    Function = b'f',
    Bareword = b'n',
    Number = b'1',
    Variable = b'v',
    String = b's',
    Operator = b'o',
    Logic = b'&',
    Comment = b'c',
    Collate = b'A',
    LeftParenthesis = b'(',
    RightParenthesis = b')',
    LeftBrace = b'{',
    RightBrace = b'}',
    Dot = b'.',
    Comma = b',',
    Colon = b':',
    Semicolon = b';',
    /// What begins a statement of Transact-SQL alone.
    Tsql = b'T',
    Unknown = b'?',
    /// What can't be parsed as every database would.
    Evil = b'X',
    Backslash = b'\\',
}

impl Kind {
    /// Its letter.
    pub(super) const fn letter(self) -> u8 {
        self as u8
    }
}

/// How many bytes of a token's text are kept: libinjection's verdicts depend on this cut.
pub(super) const MAX_VALUE: usize = 31;

/// The first bytes of a token's text.
#[derive(Clone, Copy)]
pub(super) struct Value {
    bytes: [u8; MAX_VALUE],
    len: u8,
}

impl Value {
    pub(super) const EMPTY: Self = Self {
        bytes: [0; MAX_VALUE],
        len: 0,
    };

    pub(super) fn new(text: &[u8]) -> Self {
        let mut value = Self::EMPTY;
        let kept = text.len().min(MAX_VALUE);
        if let (Some(to), Some(from)) = (value.bytes.get_mut(..kept), text.get(..kept)) {
            to.copy_from_slice(from);
        }
        // At most MAX_VALUE.
        value.len = kept as u8;
        value
    }

    /// Two words with a space between, if they fit.
    pub(super) fn phrase(first: &[u8], second: &[u8]) -> Option<Self> {
        let mut value = Self::EMPTY;
        let len = first.len() + 1 + second.len();
        let (head, tail) = value.bytes.get_mut(..len)?.split_at_mut(first.len());
        let (space, tail) = tail.split_first_mut()?;
        head.copy_from_slice(first);
        *space = b' ';
        tail.copy_from_slice(second);
        // At most MAX_VALUE, or there would be no such slice.
        value.len = len as u8;
        Some(value)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether it is `word`, in any case.
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.as_bytes().eq_ignore_ascii_case(word)
    }
}

/// One token.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) value: Value,
    /// The quote before a string's text; none where the value itself is taken to begin inside of one.
    pub(super) open: Option<u8>,
    /// The quote after it; none if the value ended first.
    pub(super) close: Option<u8>,
}

impl Token {
    pub(super) const NONE: Self = Self {
        kind: Kind::Unknown,
        value: Value::EMPTY,
        open: None,
        close: None,
    };

    pub(super) fn new(kind: Kind, text: &[u8]) -> Self {
        Self {
            kind,
            value: Value::new(text),
            ..Self::NONE
        }
    }

    pub(super) fn is_unary_operator(&self) -> bool {
        let word = self.value.as_bytes();
        self.kind == Kind::Operator && (matches!(word, b"+" | b"-" | b"!" | b"~" | b"!!") || self.value.is(b"NOT"))
    }

    pub(super) fn is_arithmetic_operator(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.value.as_bytes(), b"*" | b"/" | b"-" | b"+" | b"%")
    }
}
