//! The same rules read otherwise, as libmodsecurity reads them: to see whether that is really why a difference is there. Reads rules.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use coraza_engine::{Options, Program};
use coraza_seclang::rules::{Entry, Rules};
use coraza_seclang::{lower, parse};

use crate::compare::{Input, logged};
use crate::suites::ftw::rules::{self, Setup, Sources};

/// A rule set, read otherwise.
pub(crate) struct Variants {
    sources: Sources,
    plain: Reading,
    multi_line: Reading,
    /// By chain and where its anchors are: the rules, of this chain only the first link.
    first_links: RefCell<BTreeMap<(u64, Anchors), Arc<Program>>>,
}

/// Where `^` and `$` match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anchors {
    /// At the ends of the value, as in ours.
    Value,
    /// At every line, as in libmodsecurity.
    Lines,
}

/// The rules, and the program whose patterns others share.
struct Reading {
    rules: Rules,
    program: Arc<Program>,
}

impl Variants {
    pub(crate) fn of(folder: &Path, setup: &Setup) -> Result<Self, String> {
        let sources = rules::sources(folder, setup)?;
        let read = |rules: Rules| {
            let program = compile(&rules, &sources, None)?;
            Ok::<_, String>(Reading { rules, program })
        };
        let multi_line = sources.texts.iter().map(|text| text.replace("@rx ", "@rx (?m)"));
        Ok(Self {
            plain: read(lowered(sources.texts.iter().cloned()))?,
            multi_line: read(lowered(multi_line))?,
            sources,
            first_links: RefCell::default(),
        })
    }

    /// The rules that are logged if `^` and `$` match at every line.
    pub(crate) fn with_lines(&self, input: &Input) -> BTreeSet<u64> {
        logged(&self.multi_line.program, input)
    }

    /// Whether the first link of a chain matches.
    pub(crate) fn first_link_matches(&self, id: u64, anchors: Anchors, input: &Input) -> Result<bool, String> {
        let known = self.first_links.borrow().get(&(id, anchors)).cloned();
        let program = match known {
            Some(known) => known,
            None => {
                let program = self.cut_to_first_link(id, anchors)?;
                self.first_links
                    .borrow_mut()
                    .insert((id, anchors), Arc::clone(&program));
                program
            }
        };
        Ok(logged(&program, input).contains(&id))
    }

    fn cut_to_first_link(&self, id: u64, anchors: Anchors) -> Result<Arc<Program>, String> {
        let reading = match anchors {
            Anchors::Value => &self.plain,
            Anchors::Lines => &self.multi_line,
        };
        let mut rules = reading.rules.clone();
        for entry in &mut rules.entries {
            if let Entry::Rule(rule) = entry
                && rule.id.is_some_and(|own| own.0 == id)
            {
                rule.members.truncate(1);
            }
        }
        compile(&rules, &self.sources, Some(&reading.program))
    }
}

fn lowered(texts: impl Iterator<Item = String>) -> Rules {
    let parsed: Vec<_> = texts.map(|text| Arc::new(parse(text.as_bytes()))).collect();
    lower(&parsed).0
}

fn compile(rules: &Rules, sources: &Sources, previous: Option<&Program>) -> Result<Arc<Program>, String> {
    let options = Options {
        files: &sources.files,
        previous,
        ..Options::default()
    };
    let program = Program::compile(rules, &options);
    program.map(Arc::new).map_err(|errors| format!("{errors:?}"))
}
