//! The walk over an XML document's markup. No IO.

use super::super::cursor::Cursor;
use super::super::{Found, Options, Sink};
use super::XmlError;
use super::text::{self, Encoding};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Walker<'b, 'o, 's> {
    cursor: Cursor<'b>,
    options: &'o Options,
    sink: &'o mut Sink<'s>,
    /// The names of the open elements.
    open: Vec<&'b [u8]>,
    /// The text of the root element so far; `None` before it.
    text: Option<Vec<u8>>,
    attribute: Vec<u8>,
    nodes: usize,
    written: usize,
    /// The first error that didn't end the walk.
    error: Option<XmlError>,
}

impl<'b, 'o, 's> Walker<'b, 'o, 's> {
    pub(super) fn new(body: &'b [u8], options: &'o Options, sink: &'o mut Sink<'s>) -> Self {
        Self {
            cursor: Cursor::new(body),
            options,
            sink,
            open: Vec::new(),
            text: None,
            attribute: Vec::new(),
            nodes: 0,
            written: 0,
            error: None,
        }
    }

    /// The root element's text, the first error that didn't end the walk, and the work done.
    pub(super) fn finish(self) -> (Option<Vec<u8>>, Option<XmlError>, usize) {
        let work = self.cursor.read() + self.written + self.text.as_ref().map_or(0, Vec::len);
        (self.text, self.error, work)
    }

    pub(super) fn document(&mut self) -> Result<(), XmlError> {
        let body = self.cursor.rest();
        if text::is_wide(body) {
            return Err(XmlError::UnsupportedEncoding);
        }
        self.cursor.eat(BYTE_ORDER_MARK);
        let encoding = self.declaration();
        if !text::is_valid(body, encoding) {
            self.note(XmlError::InvalidCharacter);
        }
        while !self.cursor.is_empty() {
            let before = self.cursor.rest();
            let (characters, markup) = self.cursor.take_until(b"<");
            self.characters(characters)?;
            if markup {
                self.markup()?;
            }
            debug_assert!(self.cursor.rest().len() < before.len());
        }
        if self.open.is_empty() && self.text.is_some() {
            Ok(())
        } else {
            Err(XmlError::Truncated)
        }
    }

    fn note(&mut self, error: XmlError) {
        self.error.get_or_insert(error);
    }

    /// Reads the XML declaration, if there is one, and returns the document's encoding.
    fn declaration(&mut self) -> Encoding {
        if !self.cursor.eat(b"<?xml") {
            return Encoding::Utf8;
        }
        let (declaration, _) = self.cursor.take_until(b"?>");
        text::declared_encoding(declaration).unwrap_or_else(|error| {
            self.note(error);
            Encoding::Utf8
        })
    }

    fn characters(&mut self, raw: &[u8]) -> Result<(), XmlError> {
        match &mut self.text {
            Some(text) if !self.open.is_empty() => {
                let decoded = text::decode(raw, text);
                if let Err(error) = decoded {
                    self.note(error);
                }
            }
            _ if raw.iter().all(u8::is_ascii_whitespace) => {}
            _ => return Err(XmlError::OutsideOfRoot),
        }
        Ok(())
    }

    /// Reads what a `<` begins.
    fn markup(&mut self) -> Result<(), XmlError> {
        if self.cursor.eat(b"!--") {
            self.comment()
        } else if self.cursor.eat(b"![CDATA[") {
            self.character_data()
        } else if self.cursor.eat(b"!DOCTYPE") {
            if self.text.is_some() {
                self.note(XmlError::MalformedTag);
            }
            self.document_type()
        } else if self.cursor.eat(b"?") {
            self.until(b"?>").map(drop)
        } else if self.cursor.eat(b"/") {
            self.end_tag()
        } else {
            self.start_tag()
        }
    }

    fn comment(&mut self) -> Result<(), XmlError> {
        let comment = self.until(b"-->")?;
        // Where such a comment ends differs between parsers.
        if comment.ends_with(b"-") || memchr::memmem::find(comment, b"--").is_some() {
            self.note(XmlError::MalformedTag);
        }
        Ok(())
    }

    /// Reads the rest of a `CDATA` section.
    fn character_data(&mut self) -> Result<(), XmlError> {
        let (Some(text), false) = (&mut self.text, self.open.is_empty()) else {
            return Err(XmlError::OutsideOfRoot);
        };
        let (characters, closed) = self.cursor.take_until(b"]]>");
        text::push_lines(characters, text);
        if closed { Ok(()) } else { Err(XmlError::Truncated) }
    }

    fn until(&mut self, end: &[u8]) -> Result<&'b [u8], XmlError> {
        match self.cursor.take_until(end) {
            (taken, true) => Ok(taken),
            (_, false) => Err(XmlError::Truncated),
        }
    }

    /// Moves over a document type declaration, whose declarations stand in brackets and whose literals in quotes.
    fn document_type(&mut self) -> Result<(), XmlError> {
        let mut in_brackets = false;
        loop {
            self.cursor
                .take_while(|byte| !matches!(byte, b'[' | b']' | b'"' | b'\'' | b'<' | b'>'));
            if self.cursor.eat(b"<!--") {
                self.until(b"-->")?;
                continue;
            }
            match self.cursor.take(1) {
                [b'['] => in_brackets = true,
                [b']'] => in_brackets = false,
                [quote @ (b'"' | b'\'')] => drop(self.until(&[*quote])?),
                [b'>'] if !in_brackets => return Ok(()),
                [] => return Err(XmlError::Truncated),
                _ => {}
            }
        }
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let name = self.name();
        self.space();
        if !self.cursor.eat(b">") {
            return Err(self.malformed());
        }
        match self.open.pop() {
            Some(open) if open == name => Ok(()),
            _ => Err(XmlError::MismatchedEnd),
        }
    }

    fn start_tag(&mut self) -> Result<(), XmlError> {
        let name = self.name();
        if name.is_empty() {
            return Err(self.malformed());
        }
        if self.open.is_empty() && self.text.is_some() {
            return Err(XmlError::OutsideOfRoot);
        }
        if self.open.len() >= self.options.xml_depth {
            return Err(XmlError::TooDeep);
        }
        self.text.get_or_insert_default();
        self.count()?;
        loop {
            let spaces = self.space();
            if self.cursor.eat(b">") {
                self.open.push(name);
                return Ok(());
            }
            if self.cursor.eat(b"/>") {
                return Ok(());
            }
            if spaces == 0 {
                return Err(self.malformed());
            }
            self.attribute()?;
        }
    }

    /// Reads `name="value"`.
    fn attribute(&mut self) -> Result<(), XmlError> {
        let name = self.name();
        self.space();
        if name.is_empty() || !self.cursor.eat(b"=") {
            return Err(self.malformed());
        }
        self.space();
        let quote = self.cursor.take(1);
        if !matches!(quote, b"\"" | b"'") {
            return Err(self.malformed());
        }
        self.count()?;
        // What a limit of the body cut is a value too.
        let (value, closed) = self.cursor.take_until(quote);
        if value.contains(&b'<') {
            self.note(XmlError::MalformedTag);
        }
        self.attribute.clear();
        if let Err(error) = text::decode_attribute(value, &mut self.attribute) {
            self.note(error);
        }
        self.written += self.attribute.len();
        // A namespace is a declaration and no attribute.
        if name != b"xmlns" && !name.starts_with(b"xmlns:") {
            (self.sink)(Found::XmlAttribute(&self.attribute));
        }
        if closed { Ok(()) } else { Err(XmlError::Truncated) }
    }

    fn count(&mut self) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > self.options.xml_nodes {
            Err(XmlError::TooManyNodes)
        } else {
            Ok(())
        }
    }

    fn name(&mut self) -> &'b [u8] {
        self.cursor
            .take_while(|byte| !byte.is_ascii_whitespace() && !b"/<>=\"'&".contains(&byte))
    }

    fn space(&mut self) -> usize {
        self.cursor.take_while(|byte| byte.is_ascii_whitespace()).len()
    }

    fn malformed(&self) -> XmlError {
        if self.cursor.is_empty() {
            XmlError::Truncated
        } else {
            XmlError::MalformedTag
        }
    }
}
