//! What follows an opening parenthesis: the groups and flags that an automaton can do, and the names of those that it can't.

use super::error::{ErrorKind, PatternError};
use super::translate::Translator;

impl Translator<'_> {
    /// An opening parenthesis, with what belongs to it.
    pub(super) fn group(&mut self) -> Result<(), PatternError> {
        match self.rest() {
            [_, b'?', b'=' | b'!', ..] => self.refuse(3, ErrorKind::LookAround),
            [_, b'?', b'<', b'=' | b'!', ..] => self.refuse(4, ErrorKind::LookAround),
            [_, b'?', b'>', ..] => self.refuse(3, ErrorKind::AtomicGroup),
            [_, b'?', b'|', ..] => self.refuse(3, ErrorKind::BranchReset),
            [_, b'?', b'(', ..] => self.refuse(3, ErrorKind::Conditional),
            [_, b'?', b'P', b'=', ..] => self.refuse(4, ErrorKind::BackReference),
            [_, b'?', b'P', b'>', ..] => self.refuse(4, ErrorKind::Recursion),
            [_, b'?', b'R' | b'&' | b'0'..=b'9', ..] | [_, b'?', b'+' | b'-', b'0'..=b'9', ..] => {
                self.refuse(3, ErrorKind::Recursion)
            }
            [_, b'?', b'#', ..] => self.comment(),
            [_, b'?', b'<' | b'P', ..] => {
                self.outer.push(self.verbose);
                self.copy_to(b'>');
                Ok(())
            }
            [_, b'?', flags @ ..] => self.flags(flags),
            [_, b'*', ..] => self.refuse(2, ErrorKind::Verb),
            _ => {
                self.outer.push(self.verbose);
                self.copy(1);
                Ok(())
            }
        }
    }

    /// `(?#…)` matches nothing and is left out.
    fn comment(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        match rest.iter().position(|byte| *byte == b')') {
            Some(end) => {
                self.replace(end.saturating_add(1), "");
                Ok(())
            }
            None => self.refuse(rest.len(), ErrorKind::Syntax("unclosed group".into())),
        }
    }

    /// `(?flags)` or `(?flags:`, the empty flags of `(?:` included.
    fn flags(&mut self, flags: &[u8]) -> Result<(), PatternError> {
        let length = flags.iter().take_while(|byte| b"imsxU-".contains(byte)).count();
        let (names, end) = flags.split_at_checked(length).unwrap_or((flags, &[]));
        let end = end.first();
        if !matches!(end, Some(b':' | b')') | None) {
            return self.refuse(length.saturating_add(3), ErrorKind::UnsupportedGroup);
        }
        if end == Some(&b':') {
            self.outer.push(self.verbose);
        }
        if let Some(flag) = names.iter().position(|name| *name == b'x') {
            self.verbose = !names.iter().take(flag).any(|name| *name == b'-');
        }
        self.copy(length.saturating_add(3));
        Ok(())
    }

    /// Copies up to and including the next `end`, or all that is left.
    fn copy_to(&mut self, end: u8) {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|byte| *byte == end)
            .map_or(rest.len(), |at| at.saturating_add(1));
        self.copy(length);
    }
}
