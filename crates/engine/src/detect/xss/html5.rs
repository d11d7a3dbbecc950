//! HTML to tokens, as leniently as browsers read it. No IO.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// The name of a tag, until its attributes.
    TagOpen,
    /// The `>` after that.
    TagOpenEnd,
    /// The `/>` after that.
    SelfClosingEnd,
    /// The name in `</name>`.
    TagClose,
    AttributeName,
    AttributeValue,
    Comment,
    Doctype,
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
}

/// Where in a document a value is taken to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Text,
    /// After the value of an attribute without quotes.
    Attribute,
    /// In the value of an attribute with this quote.
    Quoted(u8),
}

#[derive(Clone, Copy)]
enum State {
    End,
    Data,
    BeforeAttributeName,
    AfterAttributeName,
    BeforeAttributeValue,
    /// In a quoted value, its quote still to be read.
    QuotedValue(u8),
    /// In a quoted value from its first byte on.
    InsideQuotedValue(u8),
    AfterQuotedValue,
    SelfClosing,
    TagOpenEnd,
}

/// Reads the tokens of one value.
pub(super) struct Tokenizer<'a> {
    rest: &'a [u8],
    state: State,
    /// Whether the tag began with `</`.
    closing: bool,
    /// How many bytes were looked at: the work, for the tests that bound it.
    #[cfg(test)]
    pub(super) work: usize,
}

/// What a state did.
enum Step<'a> {
    Token(Kind, &'a [u8]),
    /// The next state may have a token.
    Go(State),
    /// There are no more tokens.
    Stop,
}

/// White space, and the NUL.
const fn is_white(byte: u8) -> bool {
    matches!(byte, 0 | b'\t'..=b'\r' | b' ')
}

impl<'a> Tokenizer<'a> {
    pub(super) const fn new(text: &'a [u8], start: Start) -> Self {
        let state = match start {
            Start::Text => State::Data,
            Start::Attribute => State::BeforeAttributeName,
            Start::Quoted(quote) => State::InsideQuotedValue(quote),
        };
        Self {
            rest: text,
            state,
            closing: false,
            #[cfg(test)]
            work: 0,
        }
    }

    /// The next token, if there is one.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            match self.step() {
                Step::Token(kind, text) => return Some(Token { kind, text }),
                Step::Go(state) => self.state = state,
                Step::Stop => {
                    self.state = State::End;
                    return None;
                }
            }
        }
    }

    fn step(&mut self) -> Step<'a> {
        match self.state {
            State::End => Step::Stop,
            State::Data => self.data(),
            State::BeforeAttributeName => self.before_attribute_name(),
            State::AfterAttributeName => self.after_attribute_name(),
            State::BeforeAttributeValue => self.before_attribute_value(),
            State::QuotedValue(quote) => {
                self.take(1);
                self.quoted_value(quote)
            }
            State::InsideQuotedValue(quote) => self.quoted_value(quote),
            State::AfterQuotedValue => self.after_quoted_value(),
            State::SelfClosing => self.self_closing(),
            State::TagOpenEnd => self.tag_open_end(),
        }
    }

    /// Takes the next `len` bytes.
    fn take(&mut self, len: usize) -> &'a [u8] {
        #[cfg(test)]
        {
            self.work += len;
        }
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// A token of the next `len` bytes, after which `skipped` more go and `state` begins.
    fn token(&mut self, kind: Kind, len: usize, skipped: usize, state: State) -> Step<'a> {
        let text = self.take(len);
        self.take(skipped);
        self.state = state;
        Step::Token(kind, text)
    }

    /// A token of all that is left.
    fn last_token(&mut self, kind: Kind) -> Step<'a> {
        self.token(kind, self.rest.len(), 0, State::End)
    }

    fn skip_white(&mut self) {
        let white = self.rest.iter().take_while(|byte| is_white(**byte)).count();
        self.take(white);
    }

    /// How many bytes come before the first for which `ends` is true.
    fn until(&self, ends: impl Fn(u8) -> bool) -> usize {
        self.rest.iter().take_while(|byte| !ends(**byte)).count()
    }

    fn data(&mut self) -> Step<'a> {
        match memchr::memchr(b'<', self.rest) {
            None if self.rest.is_empty() => Step::Stop,
            None => self.last_token(Kind::Text),
            Some(0) => self.tag_open(),
            Some(len) => self.token(Kind::Text, len, 0, State::Data),
        }
    }

    fn tag_open(&mut self) -> Step<'a> {
        match self.rest {
            [_] | [] => Step::Stop,
            [_, b'!', ..] => self.markup_declaration(),
            [_, b'/', ..] => self.end_tag_open(),
            [_, b'?', ..] => {
                self.take(2);
                self.bogus_comment()
            }
            [_, b'%', ..] => {
                self.take(2);
                self.percent_comment()
            }
            // Some browsers skip NULs before and in a name.
            [_, b'A'..=b'Z' | b'a'..=b'z' | 0, ..] => {
                self.take(1);
                self.tag_name()
            }
            _ => self.token(Kind::Text, 1, 0, State::Data),
        }
    }

    fn end_tag_open(&mut self) -> Step<'a> {
        self.closing = true;
        self.take(2);
        match self.rest.first() {
            None => Step::Stop,
            Some(b'>') => self.data(),
            Some(b'A'..=b'Z' | b'a'..=b'z') => self.tag_name(),
            Some(_) => {
                self.closing = false;
                self.bogus_comment()
            }
        }
    }

    fn tag_name(&mut self) -> Step<'a> {
        let len = self.until(|byte| byte != 0 && is_white(byte) || matches!(byte, b'/' | b'>'));
        match self.rest.get(len) {
            None => self.last_token(Kind::TagOpen),
            Some(b'/') => self.token(Kind::TagOpen, len, 1, State::SelfClosing),
            Some(b'>') if self.closing => {
                self.closing = false;
                self.token(Kind::TagClose, len, 1, State::Data)
            }
            Some(b'>') => self.token(Kind::TagOpen, len, 0, State::TagOpenEnd),
            Some(_) => self.token(Kind::TagOpen, len, 1, State::BeforeAttributeName),
        }
    }

    fn tag_open_end(&mut self) -> Step<'a> {
        self.closing = false;
        self.token(Kind::TagOpenEnd, 1, 0, State::Data)
    }

    /// After a `/` in a tag.
    fn self_closing(&mut self) -> Step<'a> {
        match self.rest {
            [] => Step::Stop,
            [b'>', ..] => {
                self.take(1);
                self.state = State::Data;
                Step::Token(Kind::SelfClosingEnd, b"/>")
            }
            _ => Step::Go(State::BeforeAttributeName),
        }
    }

    fn before_attribute_name(&mut self) -> Step<'a> {
        self.skip_white();
        match self.rest {
            // To C this byte is -1, the end of the text.
            [] | [0xff, ..] => Step::Stop,
            [b'/', ..] => {
                self.take(1);
                Step::Go(State::SelfClosing)
            }
            [b'>', ..] => self.token(Kind::TagOpenEnd, 1, 0, State::Data),
            _ => self.attribute_name(),
        }
    }

    fn attribute_name(&mut self) -> Step<'a> {
        let ends = |byte: &u8| is_white(*byte) || matches!(byte, b'/' | b'=' | b'>');
        // The first byte is part of the name whatever it is.
        let len = self
            .rest
            .iter()
            .skip(1)
            .position(ends)
            .map_or(self.rest.len(), |at| at + 1);
        match self.rest.get(len) {
            None => self.last_token(Kind::AttributeName),
            Some(b'/') => self.token(Kind::AttributeName, len, 1, State::SelfClosing),
            Some(b'=') => self.token(Kind::AttributeName, len, 1, State::BeforeAttributeValue),
            Some(b'>') => self.token(Kind::AttributeName, len, 0, State::TagOpenEnd),
            Some(_) => self.token(Kind::AttributeName, len, 1, State::AfterAttributeName),
        }
    }

    fn after_attribute_name(&mut self) -> Step<'a> {
        self.skip_white();
        match self.rest {
            [] | [0xff, ..] => Step::Stop,
            [b'/', ..] => {
                self.take(1);
                Step::Go(State::SelfClosing)
            }
            [b'=', ..] => {
                self.take(1);
                Step::Go(State::BeforeAttributeValue)
            }
            [b'>', ..] => self.tag_open_end(),
            _ => self.attribute_name(),
        }
    }

    fn before_attribute_value(&mut self) -> Step<'a> {
        self.skip_white();
        match self.rest {
            [] | [0xff, ..] => Step::Stop,
            [quote @ (b'"' | b'\'' | b'`'), ..] => Step::Go(State::QuotedValue(*quote)),
            _ => self.unquoted_value(),
        }
    }

    fn unquoted_value(&mut self) -> Step<'a> {
        let len = self.until(|byte| is_white(byte) || byte == b'>');
        match self.rest.get(len) {
            None => self.last_token(Kind::AttributeValue),
            Some(b'>') => self.token(Kind::AttributeValue, len, 0, State::TagOpenEnd),
            Some(_) => self.token(Kind::AttributeValue, len, 1, State::BeforeAttributeName),
        }
    }

    fn quoted_value(&mut self, quote: u8) -> Step<'a> {
        match memchr::memchr(quote, self.rest) {
            None => self.last_token(Kind::AttributeValue),
            Some(len) => self.token(Kind::AttributeValue, len, 1, State::AfterQuotedValue),
        }
    }

    fn after_quoted_value(&mut self) -> Step<'a> {
        match self.rest {
            [] => Step::Stop,
            [b'/', ..] => {
                self.take(1);
                Step::Go(State::SelfClosing)
            }
            [b'>', ..] => self.token(Kind::TagOpenEnd, 1, 0, State::Data),
            _ => Step::Go(State::BeforeAttributeName),
        }
    }

    /// After `<!`.
    fn markup_declaration(&mut self) -> Step<'a> {
        self.take(2);
        let doctype = self
            .rest
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"DOCTYPE"));
        if doctype {
            return self.up_to(Kind::Doctype, b">", State::Data);
        }
        if self.rest.starts_with(b"[CDATA[") {
            self.take(7);
            return self.up_to(Kind::Text, b"]]>", State::Data);
        }
        if self.rest.starts_with(b"--") {
            self.take(2);
            return self.comment();
        }
        self.bogus_comment()
    }

    /// A token up to `end`, which goes.
    fn up_to(&mut self, kind: Kind, end: &[u8], state: State) -> Step<'a> {
        match memchr::memmem::find(self.rest, end) {
            None => self.last_token(kind),
            Some(len) => self.token(kind, len, end.len(), state),
        }
    }

    fn bogus_comment(&mut self) -> Step<'a> {
        self.up_to(Kind::Comment, b">", State::Data)
    }

    /// `<%…%>`, which old browsers take for a comment.
    fn percent_comment(&mut self) -> Step<'a> {
        self.up_to(Kind::Comment, b"%>", State::Data)
    }

    fn comment(&mut self) -> Step<'a> {
        match comment_end(self.rest) {
            None => self.last_token(Kind::Comment),
            Some((len, end)) => self.token(Kind::Comment, len, end, State::Data),
        }
    }
}

/// The length of a comment and of its end: `-->` or `-!>`, perhaps with NULs after the first dash.
fn comment_end(text: &[u8]) -> Option<(usize, usize)> {
    memchr::memchr_iter(b'-', text).find_map(|dash| {
        let after = text.get(dash + 1..)?;
        let nuls = after.iter().take_while(|byte| **byte == 0).count();
        match after.get(nuls..)? {
            [b'-' | b'!', b'>', ..] => Some((dash, nuls + 3)),
            _ => None,
        }
    })
}
