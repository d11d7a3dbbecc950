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
    rules: Rules,
    sources: Sources,
    /// As it is, whose patterns the others share.
    plain: Arc<Program>,
    /// With `^` and `$` at every line.
    multi_line: Arc<Program>,
    /// By chain: the chain without all but its first link.
    first_links: RefCell<BTreeMap<u64, Arc<Program>>>,
}

impl Variants {
    pub(crate) fn of(folder: &Path, setup: &Setup) -> Result<Self, String> {
        let sources = rules::sources(folder, setup)?;
        let rules = lowered(sources.texts.iter().cloned());
        let plain = compile(&rules, &sources, None)?;
        let multi_line = sources.texts.iter().map(|text| text.replace("@rx ", "@rx (?m)"));
        Ok(Self {
            multi_line: compile(&lowered(multi_line), &sources, None)?,
            rules,
            sources,
            plain,
            first_links: RefCell::default(),
        })
    }

    /// The rules that are logged if `^` and `$` match at every line.
    pub(crate) fn with_lines(&self, input: &Input) -> BTreeSet<u64> {
        logged(&self.multi_line, input)
    }

    /// Whether the first link of a chain matches.
    pub(crate) fn first_link_matches(&self, id: u64, input: &Input) -> Result<bool, String> {
        let known = self.first_links.borrow().get(&id).cloned();
        let program = match known {
            Some(known) => known,
            None => {
                let mut rules = self.rules.clone();
                for entry in &mut rules.entries {
                    if let Entry::Rule(rule) = entry
                        && rule.id.is_some_and(|own| own.0 == id)
                    {
                        rule.members.truncate(1);
                    }
                }
                let program = compile(&rules, &self.sources, Some(&self.plain))?;
                self.first_links.borrow_mut().insert(id, Arc::clone(&program));
                program
            }
        };
        Ok(logged(&program, input).contains(&id))
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
