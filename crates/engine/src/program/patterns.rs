//! The regular expressions of a program: compiled once per text, shared with the program before. No IO.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::pattern::{Limits, Locator, Pattern, PatternError};

/// The place of a pattern in [`Patterns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PatternId(u32);

impl PatternId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
impl From<u32> for PatternId {
    fn from(index: u32) -> Self {
        Self(index)
    }
}

/// A pattern and its text.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) text: Box<[u8]>,
    pub(crate) pattern: Pattern,
    limits: Limits,
    /// Finds where it matches.
    whole: OnceLock<Option<Locator>>,
    /// The same, and what its groups hold.
    grouped: OnceLock<Option<Locator>>,
}

impl Compiled {
    pub(crate) fn new(text: &[u8], limits: &Limits) -> Result<Self, PatternError> {
        Ok(Self {
            pattern: Pattern::compile(text, limits)?,
            text: text.into(),
            limits: *limits,
            whole: OnceLock::new(),
            grouped: OnceLock::new(),
        })
    }

    /// Finds where the pattern matches, with its groups if they are wanted; built when it is first asked for.
    pub(crate) fn locator(&self, with_groups: bool) -> Option<&Locator> {
        let locator = if with_groups { &self.grouped } else { &self.whole };
        let build = || Locator::compile(&self.text, &self.limits, with_groups);
        locator.get_or_init(build).as_ref()
    }
}

/// All patterns of a program.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    list: Vec<Arc<Compiled>>,
    by_text: HashMap<Box<[u8]>, PatternId>,
}

impl Patterns {
    pub(crate) fn get(&self, id: PatternId) -> Option<&Arc<Compiled>> {
        self.list.get(id.index())
    }

    /// The memory of the automata, in bytes.
    pub(crate) fn memory_usage(&self) -> usize {
        self.list.iter().map(|compiled| compiled.pattern.size()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The pattern of a text, from `previous` if it is there.
    pub(super) fn intern(
        &mut self,
        text: &[u8],
        limits: &Limits,
        previous: Option<&Self>,
    ) -> Result<PatternId, PatternError> {
        if let Some(id) = self.by_text.get(text) {
            return Ok(*id);
        }
        let known = previous.and_then(|previous| previous.get(*previous.by_text.get(text)?));
        let compiled = match known.filter(|known| known.limits == *limits) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Compiled::new(text, limits)?),
        };
        // A rule set has at most some hundred thousand bytes for each pattern to take some of.
        let id = PatternId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(compiled);
        self.by_text.insert(text.into(), id);
        Ok(id)
    }
}
