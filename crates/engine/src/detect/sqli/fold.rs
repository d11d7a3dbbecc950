//! Folds the tokens of a value to at most five: what doesn't change how SQL reads goes, what is one phrase becomes one. No IO.

mod pair;
mod triple;

use super::token::{Kind, Token};
use super::tokenizer::Tokenizer;
use pair::{Left, Pair};
use triple::Triple;

/// The length of the longest fingerprint.
pub(super) const MAX_TOKENS: usize = 5;
/// One token more is read to judge the last, and two slots make room for the look-ahead.
const SLOTS: usize = MAX_TOKENS + 3;

/// Reads and folds tokens until five are settled.
pub(super) fn fold(tokenizer: &mut Tokenizer<'_>) -> Folded {
    let mut fold = Fold {
        tokenizer,
        folded: Folded {
            tokens: [Token::NONE; SLOTS],
            len: 0,
        },
        filled: 0,
        settled: 0,
        more: true,
        last_comment: None,
    };
    fold.run();
    fold.folded
}

/// The tokens that are left.
pub(super) struct Folded {
    tokens: [Token; SLOTS],
    len: usize,
}

impl Folded {
    pub(super) fn as_slice(&self) -> &[Token] {
        self.tokens.get(..self.len).unwrap_or_default()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Token> {
        self.tokens.get_mut(self.len.checked_sub(1)?)
    }
}

struct Fold<'t, 'a> {
    tokenizer: &'t mut Tokenizer<'a>,
    folded: Folded,
    /// How many slots hold a token.
    filled: usize,
    /// How many tokens, from the first on, no rule will look at again; the rules are about the two or three after them.
    settled: usize,
    /// Whether the tokenizer may have more.
    more: bool,
    /// The comment that the tokens read so far end with.
    last_comment: Option<Token>,
}

impl Fold<'_, '_> {
    fn run(&mut self) {
        if !self.skip_prefix() {
            return;
        }
        loop {
            self.shorten_five();
            if !self.more || self.settled >= MAX_TOKENS {
                self.settled = self.filled;
                break;
            }
            if !self.fill(2) {
                continue;
            }
            match self.fold_pair() {
                Step::Again => continue,
                Step::Triple => {}
                Step::End => {
                    // Perhaps one more than fits, but an evil token is all of a fingerprint.
                    self.folded.len = self.settled;
                    return;
                }
            }
            if self.fill(3) {
                self.fold_triple();
            }
        }
        if let Some(comment) = self.last_comment.filter(|_| self.settled < MAX_TOKENS) {
            self.put(self.settled, comment);
            self.settled += 1;
        }
        self.folded.len = self.settled.min(MAX_TOKENS);
    }

    /// Drops what a statement may begin with without being another; false if there is nothing else.
    fn skip_prefix(&mut self) -> bool {
        while let Some(token) = self.tokenizer.next() {
            let skipped = matches!(token.kind, Kind::Comment | Kind::LeftParenthesis | Kind::SqlType);
            if !skipped && !token.is_unary_operator() {
                self.put(0, token);
                self.filled = 1;
                return true;
            }
        }
        false
    }

    /// Five tokens that are one expression of PHP or of a bare number become its first token.
    fn shorten_five(&mut self) {
        use Kind::{Bareword, Comma, LeftParenthesis, Number, Operator, RightParenthesis};
        let Some(kinds) = self
            .folded
            .tokens
            .first_chunk::<MAX_TOKENS>()
            .map(|five| five.map(|token| token.kind))
        else {
            return;
        };
        let expression = matches!(
            kinds,
            [Number, Operator | Comma, LeftParenthesis, Number, RightParenthesis]
                | [Bareword, Operator, LeftParenthesis, Bareword | Number, RightParenthesis]
                | [Number, RightParenthesis, Comma, LeftParenthesis, Number]
                | [Bareword, RightParenthesis, Operator, LeftParenthesis, Bareword]
        );
        if self.filled < MAX_TOKENS || !expression {
            return;
        }
        self.settled = 0;
        if self.filled > MAX_TOKENS
            && let Some(sixth) = self.folded.tokens.get(MAX_TOKENS).copied()
        {
            self.put(1, sixth);
            self.filled = 2;
        } else {
            self.filled = 1;
        }
    }

    /// Reads until `wanted` tokens follow the settled ones. If there are none left, all are settled: false.
    fn fill(&mut self, wanted: usize) -> bool {
        while self.more && self.filled <= MAX_TOKENS && self.filled < self.settled + wanted {
            match self.tokenizer.next() {
                None => self.more = false,
                Some(token) if token.kind == Kind::Comment => self.last_comment = Some(token),
                Some(token) => {
                    self.put(self.filled, token);
                    self.last_comment = None;
                    self.filled += 1;
                }
            }
        }
        let enough = self.filled >= self.settled + wanted;
        if !enough {
            self.settled = self.filled;
        }
        enough
    }

    fn put(&mut self, at: usize, token: Token) {
        if let Some(slot) = self.folded.tokens.get_mut(at) {
            *slot = token;
        }
    }

    fn fold_pair(&mut self) -> Step {
        let Some([first, second, ..]) = self.folded.tokens.get_mut(self.settled..) else {
            return Step::Triple;
        };
        match pair::judge(first, second) {
            Pair::Keep => return Step::Triple,
            Pair::KeepFirstAs(kind) => {
                first.kind = kind;
                return Step::Triple;
            }
            Pair::KeepSecondAs(kind) => {
                second.kind = kind;
                self.settled = 0;
                return Step::Triple;
            }
            Pair::FirstIs(kind, left) => {
                first.kind = kind;
                self.drop(0, left);
            }
            Pair::SecondIs(kind) => second.kind = kind,
            Pair::Merge(phrase) => {
                (first.kind, first.value) = (phrase.kind, phrase.value);
                self.drop(1, Left::Back);
            }
            Pair::FirstIsSecond => {
                *first = *second;
                self.drop(1, Left::Start);
            }
            Pair::DropSecond(left) => self.drop(1, left),
            Pair::DropBoth => self.drop(2, Left::Start),
            Pair::Evil => {
                second.kind = Kind::Evil;
                self.settled += 2;
                return Step::End;
            }
        }
        Step::Again
    }

    fn fold_triple(&mut self) {
        let Some([first, second, third, ..]) = self.folded.tokens.get_mut(self.settled..) else {
            return;
        };
        match triple::judge(first, second, third) {
            Triple::Keep => self.settled += 1,
            Triple::FirstIsBareword => {
                first.kind = Kind::Bareword;
                self.settled += 1;
            }
            Triple::DropSecond => {
                *second = *third;
                self.drop(1, Left::Start);
            }
            Triple::KeepFirst => self.drop(2, Left::Start),
            Triple::DropAll => self.drop(3, Left::Start),
        }
    }

    /// Takes the last tokens away and sets from where on the rules apply again.
    fn drop(&mut self, tokens: usize, left: Left) {
        self.filled = self.filled.saturating_sub(tokens);
        self.settled = match left {
            Left::Stay => self.settled,
            Left::Back => self.settled.saturating_sub(1),
            Left::Start => 0,
        };
    }
}

/// What comes after a pair was judged.
enum Step {
    /// The next pair.
    Again,
    /// The same with the token after it.
    Triple,
    /// Nothing.
    End,
}
