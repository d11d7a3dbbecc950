//! SQL to tokens, as leniently as an injection needs it. No IO.
//!
//! Each `scan` function looks at the text from one token's first byte on, says how many bytes the token takes and, mostly, what
//! it is. In libinjection's sets of bytes a NUL is always a member: C's `strchr` finds the end of the set itself.

mod number;
mod string;
mod word;

use super::table;
use super::token::{Kind, Token};

/// What a scan found.
pub(super) struct Scan {
    /// How many bytes it takes: at least one.
    len: usize,
    /// The token, unless they are none.
    token: Option<Token>,
    /// How many bytes were looked at in vain before: the rest of the work is `len`.
    looked: usize,
}

impl Scan {
    fn new(len: usize, kind: Kind, text: &[u8]) -> Self {
        Self::of(len, Some(Token::new(kind, text)))
    }

    const fn of(len: usize, token: Option<Token>) -> Self {
        Self { len, token, looked: 0 }
    }

    /// A token of the first `len` bytes of `rest`.
    fn first(len: usize, kind: Kind, rest: &[u8]) -> Self {
        Self::new(len, kind, rest.get(..len).unwrap_or(rest))
    }

    fn after_looking_at(self, bytes: usize) -> Self {
        Self {
            looked: self.looked + bytes,
            ..self
        }
    }

    fn of_kind(self, kind: Kind) -> Self {
        Self {
            token: self.token.map(|token| Token { kind, ..token }),
            ..self
        }
    }
}

/// How comments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Ansi,
    MySql,
}

/// What a token may begin with, by its first byte.
#[derive(Clone, Copy)]
enum Class {
    White,
    /// An operator of one byte.
    Operator,
    /// An operator that may have a second byte.
    Operator2,
    /// A token of its own.
    Punctuation(Kind),
    Hash,
    Dash,
    Slash,
    Backslash,
    Quote,
    Backtick,
    Bracket,
    Money,
    Number,
    Variable,
    Word,
    /// `b'…'`: binary digits.
    Binary,
    /// `x'…'`: hexadecimal digits.
    Hexadecimal,
    /// `e'…'`: a string with escapes.
    Escaped,
    /// `n'…'` and `nq'…'`: a national string.
    National,
    /// `q'…'`: a string with a delimiter of choice.
    Chosen,
    /// `u&'…'`: a Unicode string.
    Unicode,
}

#[inline]
const fn class(byte: u8) -> Class {
    match byte {
        0..=b' ' | 0x7f | 0xa0 => Class::White,
        b'%' | b'+' | b'^' | b'~' => Class::Operator,
        b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => Class::Operator2,
        b'(' => Class::Punctuation(Kind::LeftParenthesis),
        b')' => Class::Punctuation(Kind::RightParenthesis),
        b'{' => Class::Punctuation(Kind::LeftBrace),
        b'}' => Class::Punctuation(Kind::RightBrace),
        b',' => Class::Punctuation(Kind::Comma),
        b';' => Class::Punctuation(Kind::Semicolon),
        b'?' | b']' => Class::Punctuation(Kind::Unknown),
        b'#' => Class::Hash,
        b'-' => Class::Dash,
        b'/' => Class::Slash,
        b'\\' => Class::Backslash,
        b'\'' | b'"' => Class::Quote,
        b'`' => Class::Backtick,
        b'[' => Class::Bracket,
        b'$' => Class::Money,
        b'.' | b'0'..=b'9' => Class::Number,
        b'@' => Class::Variable,
        b'B' | b'b' => Class::Binary,
        b'X' | b'x' => Class::Hexadecimal,
        b'E' | b'e' => Class::Escaped,
        b'N' | b'n' => Class::National,
        b'Q' | b'q' => Class::Chosen,
        b'U' | b'u' => Class::Unicode,
        b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..=0xff => Class::Word,
    }
}

/// White space within a token, which is less than what separates tokens.
const fn is_white(byte: u8) -> bool {
    matches!(byte, 0 | b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Reads the tokens of one value.
pub(super) struct Tokenizer<'a> {
    rest: &'a [u8],
    /// The quote that is taken to stand before the value.
    quote: Option<u8>,
    dialect: Dialect,
    /// How many tokens were read.
    pub(super) read: usize,
    /// Whether a comment was met that MySQL reads in another way.
    pub(super) differs_in_mysql: bool,
    /// How many bytes were looked at: the work, for the tests that bound it.
    #[cfg(test)]
    pub(super) work: usize,
}

impl<'a> Tokenizer<'a> {
    pub(super) const fn new(text: &'a [u8], quote: Option<u8>, dialect: Dialect) -> Self {
        Self {
            rest: text,
            quote,
            dialect,
            read: 0,
            differs_in_mysql: false,
            #[cfg(test)]
            work: 0,
        }
    }

    /// The next token, if there is one.
    pub(super) fn next(&mut self) -> Option<Token> {
        loop {
            let scan = match self.quote.take() {
                Some(quote) => string::scan_quoted(self.rest, quote, 0),
                None => {
                    self.skip_white();
                    self.scan(*self.rest.first()?)
                }
            };
            #[cfg(test)]
            {
                self.work += scan.looked;
            }
            self.advance(scan.len);
            if let Some(token) = scan.token {
                self.read += 1;
                return Some(token);
            }
        }
    }

    fn skip_white(&mut self) {
        let white = self
            .rest
            .iter()
            .take_while(|byte| matches!(class(**byte), Class::White))
            .count();
        self.advance(white);
    }

    fn advance(&mut self, len: usize) {
        #[cfg(test)]
        {
            self.work += len;
        }
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn scan(&mut self, first: u8) -> Scan {
        let rest = self.rest;
        match class(first) {
            // Skipped before.
            Class::White => Scan::of(1, None),
            Class::Operator => scan_operator(rest),
            Class::Operator2 => scan_operator2(rest),
            Class::Punctuation(kind) => Scan::first(1, kind, rest),
            Class::Hash => self.scan_hash(),
            Class::Dash => self.scan_dash(),
            Class::Slash => scan_slash(rest),
            Class::Backslash => match rest {
                [_, b'N', ..] => Scan::first(2, Kind::Number, rest),
                _ => Scan::first(1, Kind::Backslash, rest),
            },
            Class::Quote => string::scan_quoted(rest, first, 1),
            Class::Backtick => string::scan_backtick(rest),
            Class::Bracket => word::scan_bracket(rest),
            Class::Money => string::scan_money(rest),
            Class::Number => number::scan(rest),
            Class::Variable => word::scan_variable(rest),
            Class::Word => word::scan(rest),
            Class::Binary => number::scan_digits_in_quotes(rest, |byte| matches!(byte, b'0' | b'1')),
            Class::Hexadecimal => number::scan_digits_in_quotes(rest, |byte| byte.is_ascii_hexdigit()),
            Class::Escaped => string::scan_escaped(rest),
            Class::National => string::scan_national(rest),
            Class::Chosen => string::scan_chosen(rest, 0),
            Class::Unicode => string::scan_unicode(rest),
        }
    }

    fn scan_hash(&mut self) -> Scan {
        self.differs_in_mysql = true;
        match self.dialect {
            Dialect::Ansi => scan_operator(self.rest),
            Dialect::MySql => scan_line_comment(self.rest),
        }
    }

    fn scan_dash(&mut self) -> Scan {
        match self.rest {
            [_, b'-'] => scan_line_comment(self.rest),
            [_, b'-', white, ..] if is_white(*white) => scan_line_comment(self.rest),
            [_, b'-', ..] if self.dialect == Dialect::Ansi => {
                self.differs_in_mysql = true;
                scan_line_comment(self.rest)
            }
            _ => scan_operator(self.rest),
        }
    }
}

fn scan_operator(rest: &[u8]) -> Scan {
    Scan::first(1, Kind::Operator, rest)
}

fn scan_operator2(rest: &[u8]) -> Scan {
    match rest {
        [b'<', b'=', b'>', ..] => Scan::first(3, Kind::Operator, rest),
        [first, second, ..] => match table::find(&[*first, *second]) {
            Some(kind) => Scan::first(2, kind, rest),
            None if *first == b':' => Scan::first(1, Kind::Colon, rest),
            None => scan_operator(rest),
        },
        _ => scan_operator(rest),
    }
}

/// A comment to the end of the line, which goes with it.
fn scan_line_comment(rest: &[u8]) -> Scan {
    match memchr::memchr(b'\n', rest) {
        Some(end) => Scan {
            len: end + 1,
            ..Scan::first(end, Kind::Comment, rest)
        },
        None => Scan::first(rest.len(), Kind::Comment, rest),
    }
}

/// `/*…*/`. It is evil if MySQL runs what it says, or if it holds another, which only PostgreSQL would nest.
fn scan_slash(rest: &[u8]) -> Scan {
    let [_, b'*', inside @ ..] = rest else {
        return scan_operator(rest);
    };
    let end = memchr::memmem::find(inside, b"*/");
    // With the star that closes it, as `/*/` opens one for libinjection.
    let nested = end
        .and_then(|end| inside.get(..=end))
        .is_some_and(|inside| memchr::memmem::find(inside, b"/*").is_some());
    let kind = if nested || inside.first() == Some(&b'!') {
        Kind::Evil
    } else {
        Kind::Comment
    };
    Scan::first(end.map_or(rest.len(), |end| end + 4), kind, rest)
}
