//! `detectSQLi`: whether a value, put into a SQL statement, would change what it means. Pure.
//!
//! A value is read as SQL three times: as it stands, and as if it began inside of single or of double quotes. Its tokens are
//! folded to a fingerprint of up to five letters, which is looked up among those of known attacks.

mod fold;
mod hash;
mod table;
mod token;
mod tokenizer;
mod verdict;

#[cfg(test)]
mod tests;

use std::fmt;

use fold::{Folded, MAX_TOKENS};
use token::Kind;
use tokenizer::{Dialect, Tokenizer};

/// The shape of a statement: a letter for each token that folding left.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    letters: [u8; MAX_TOKENS],
    len: u8,
}

impl Fingerprint {
    fn new(folded: &Folded) -> Self {
        let tokens = folded.as_slice();
        if tokens.iter().any(|token| token.kind == Kind::Evil) {
            return Self {
                letters: [Kind::Evil.letter(), 0, 0, 0, 0],
                len: 1,
            };
        }
        let mut fingerprint = Self::default();
        for (slot, token) in fingerprint.letters.iter_mut().zip(tokens) {
            *slot = token.kind.letter();
            fingerprint.len += 1;
        }
        fingerprint
    }

    /// The letters.
    pub fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The fingerprint of the attack that `value` is, if it is one. The work is linear in its length, nothing is allocated.
pub fn detect(value: &[u8]) -> Option<Fingerprint> {
    if value.is_empty() {
        return None;
    }
    let quoted = |quote: u8| memchr::memchr(quote, value).is_some();
    let plain = judge_both(value, None);
    let single = || quoted(b'\'').then(|| judge_both(value, Some(b'\''))).flatten();
    let double = || {
        quoted(b'"')
            .then(|| judge(value, Some(b'"'), Dialect::MySql).attack)
            .flatten()
    };
    plain.or_else(single).or_else(double)
}

/// Judges a value as ANSI SQL, and as MySQL's where that is something else.
fn judge_both(value: &[u8], quote: Option<u8>) -> Option<Fingerprint> {
    let ansi = judge(value, quote, Dialect::Ansi);
    let mysql = || {
        ansi.differs_in_mysql
            .then(|| judge(value, quote, Dialect::MySql).attack)
            .flatten()
    };
    ansi.attack.or_else(mysql)
}

struct Judgement {
    attack: Option<Fingerprint>,
    differs_in_mysql: bool,
}

fn judge(value: &[u8], quote: Option<u8>, dialect: Dialect) -> Judgement {
    let mut tokenizer = Tokenizer::new(value, quote, dialect);
    let mut folded = fold::fold(&mut tokenizer);
    comment_out_backtick(&mut folded);
    let fingerprint = Fingerprint::new(&folded);
    let attack = verdict::is_attack(value, folded.as_slice(), fingerprint, tokenizer.read);
    Judgement {
        attack: attack.then_some(fingerprint),
        differs_in_mysql: tokenizer.differs_in_mysql,
    }
}

/// MySQL takes a last backtick without a name for the start of a comment.
fn comment_out_backtick(folded: &mut Folded) {
    if folded.as_slice().len() <= 2 {
        return;
    }
    if let Some(last) = folded.last_mut()
        && last.kind == Kind::Bareword
        && last.open == Some(b'`')
        && last.close.is_none()
        && last.value.as_bytes().is_empty()
    {
        last.kind = Kind::Comment;
    }
}
