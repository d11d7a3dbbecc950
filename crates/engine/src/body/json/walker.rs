//! The walk over a JSON document. No IO.

use std::io::Write as _;

use super::super::cursor::{Cursor, is_space};
use super::super::{Found, Options, Sink};
use super::{ArrayKeys, JsonError, string};

/// The name of the document itself, and so of a lone scalar.
const ROOT: &[u8] = b"json";

/// What stands for an empty key in a path, as in ModSecurity: a path that ended in a dot would be that of another key.
const EMPTY_KEY: &[u8] = b"empty-key";

/// How many bytes all names may have beyond twice the document's length: a path of a kilobyte for each of a thousand arguments.
/// Each argument has its whole path, so a megabyte of key around a thousand items would become a gigabyte.
const PATHS_ALLOWANCE: usize = 1 << 20;

/// An open container.
#[derive(Clone, Copy)]
struct Container {
    is_object: bool,
    /// The length of its own path.
    path: usize,
    /// How many members have begun.
    members: usize,
}

pub(super) struct Walker<'b, 'o, 's> {
    cursor: Cursor<'b>,
    options: &'o Options,
    sink: &'o mut Sink<'s>,
    open: Vec<Container>,
    path: Vec<u8>,
    text: Vec<u8>,
    string_error: Option<JsonError>,
    arguments_left: usize,
    paths_left: usize,
    written: usize,
}

impl<'b, 'o, 's> Walker<'b, 'o, 's> {
    pub(super) fn new(body: &'b [u8], options: &'o Options, sink: &'o mut Sink<'s>) -> Self {
        Self {
            cursor: Cursor::new(body),
            options,
            sink,
            open: Vec::new(),
            path: ROOT.to_vec(),
            text: Vec::new(),
            string_error: None,
            arguments_left: options.arguments,
            paths_left: body.len().saturating_mul(2).saturating_add(PATHS_ALLOWANCE),
            written: 0,
        }
    }

    /// The first error in a string: it came before the one that ended the walk.
    pub(super) fn string_error(&self) -> Option<JsonError> {
        self.string_error
    }

    pub(super) fn work(&self) -> usize {
        self.cursor.read() + self.written
    }

    pub(super) fn document(&mut self) -> Result<(), JsonError> {
        self.value()?;
        while let Some(container) = self.open.pop() {
            if self.at_end_of(container)? {
                continue;
            }
            let members = container.members + 1;
            self.open.push(Container { members, ..container });
            if container.is_object {
                self.key(container)?;
            } else {
                self.index(container);
            }
            self.value()?;
        }
        self.space();
        if self.cursor.is_empty() {
            Ok(())
        } else {
            Err(JsonError::TrailingBytes)
        }
    }

    /// Moves over a container's end, or over the comma before its next member.
    fn at_end_of(&mut self, container: Container) -> Result<bool, JsonError> {
        let end: &[u8] = if container.is_object { b"}" } else { b"]" };
        self.space();
        if self.cursor.eat(end) {
            self.length_of(container)?;
            return Ok(true);
        }
        if container.members > 0 && !self.cursor.eat(b",") {
            return Err(self.unexpected(JsonError::MissingComma));
        }
        Ok(false)
    }

    /// An array's length is the value of its own path, as in Coraza: rules about the names of arguments see that of the array too.
    fn length_of(&mut self, container: Container) -> Result<(), JsonError> {
        if container.is_object || self.options.json_array_keys == ArrayKeys::Prefixed {
            return Ok(());
        }
        self.path.truncate(container.path);
        self.argument(container.members.to_string().as_bytes())
    }

    fn key(&mut self, object: Container) -> Result<(), JsonError> {
        self.space();
        if !self.cursor.eat(b"\"") {
            return Err(self.unexpected(JsonError::InvalidKey));
        }
        self.path.truncate(object.path);
        self.path.push(b'.');
        let start = self.path.len();
        if !string::read(&mut self.cursor, &mut self.path, &mut self.string_error) {
            return Err(JsonError::Truncated);
        }
        if self.path.len() == start {
            self.path.extend_from_slice(EMPTY_KEY);
        }
        self.space();
        if self.cursor.eat(b":") {
            Ok(())
        } else {
            Err(self.unexpected(JsonError::MissingColon))
        }
    }

    fn index(&mut self, array: Container) {
        self.path.truncate(array.path);
        let prefix = match self.options.json_array_keys {
            ArrayKeys::Index => "",
            ArrayKeys::Prefixed => "array_",
        };
        // Writing to a vector can't fail.
        let _ = write!(self.path, ".{prefix}{}", array.members);
    }

    /// Reads a scalar, or opens a container.
    fn value(&mut self) -> Result<(), JsonError> {
        self.space();
        match self.cursor.peek() {
            Some(b'{') => self.container(true),
            Some(b'[') => self.container(false),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.literal(),
            None => Err(JsonError::Truncated),
        }
    }

    fn container(&mut self, is_object: bool) -> Result<(), JsonError> {
        if self.open.len() >= self.options.json_depth {
            return Err(JsonError::TooDeep);
        }
        self.cursor.take(1);
        self.open.push(Container {
            is_object,
            path: self.path.len(),
            members: 0,
        });
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.cursor.take(1);
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let closed = string::read(&mut self.cursor, &mut text, &mut self.string_error);
        self.written += text.len();
        // What a limit of the body cut is a value too.
        let argument = self.argument(&text);
        self.text = text;
        argument?;
        if closed { Ok(()) } else { Err(JsonError::Truncated) }
    }

    /// Reads `-`? digits (`.` digits)? (`e` sign? digits)?, of which only the zero may begin with one.
    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.cursor.rest();
        let before = self.cursor.read();
        self.cursor.eat(b"-");
        if !self.cursor.eat(b"0") {
            self.digits()?;
        }
        if self.cursor.eat(b".") {
            self.digits()?;
        }
        if self.cursor.eat(b"e") || self.cursor.eat(b"E") {
            let _ = self.cursor.eat(b"+") || self.cursor.eat(b"-");
            self.digits()?;
        }
        let len = self.cursor.read() - before;
        self.argument(start.get(..len).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        match self.cursor.take_while(|byte| byte.is_ascii_digit()) {
            [] => Err(JsonError::InvalidNumber),
            _ => Ok(()),
        }
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        for (literal, value) in [("true", "true"), ("false", "false"), ("null", "")] {
            if self.cursor.eat(literal.as_bytes()) {
                return self.argument(value.as_bytes());
            }
        }
        Err(JsonError::InvalidValue)
    }

    fn argument(&mut self, value: &[u8]) -> Result<(), JsonError> {
        self.arguments_left = self.arguments_left.checked_sub(1).ok_or(JsonError::TooManyArguments)?;
        let name = self.path.as_slice();
        self.paths_left = self.paths_left.checked_sub(name.len()).ok_or(JsonError::PathsTooLong)?;
        self.written += name.len();
        (self.sink)(Found::Argument { name, value });
        Ok(())
    }

    fn space(&mut self) {
        // Vertical tab and form feed are none in JSON, but some parsers take them for one, ModSecurity's among them.
        self.cursor.take_while(is_space);
    }

    fn unexpected(&self, error: JsonError) -> JsonError {
        if self.cursor.is_empty() {
            JsonError::Truncated
        } else {
            error
        }
    }
}
