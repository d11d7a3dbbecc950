//! The words and networks that operators compare with: read once for all rules that name the same ones, and bounded. No IO.

use std::collections::HashMap;
use std::sync::Arc;

use coraza_seclang::rules::{Dataset, Network, Operand, Operator, OperatorName, Rules, Setting, Text};
use coraza_seclang::{Diagnostic, Kind};

use super::compile::Compilation;
use super::operator::unreadable;
use crate::operators::list;
use crate::operators::networks::Networks;
use crate::operators::words::{AUTOMATON_BYTES, Words, WordsBuilder};

/// How many bytes the words of a program may have, each list counted once: twenty times those of the Core Rule Set. Their automata
/// take several times that, in each worker of each gateway; networks take no more than their text.
const MAX_WORD_BYTES: usize = 4 << 20;

/// All lists of a program.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The places of the datasets among the settings; of two with one name the last one counts.
    datasets: HashMap<Box<[u8]>, usize>,
    words: HashMap<Origin, Arc<Words>>,
    /// Those of the operator that is being compiled, if they take more than one step.
    making: Option<WordsBuilder>,
    /// Those of the program before, by identity; `None` before they are asked for.
    previous: Option<HashMap<Box<[u8]>, Arc<Words>>>,
    /// What stands for all of them where rules are only judged.
    no_words: Option<Arc<Words>>,
    networks: HashMap<Origin, Arc<Networks>>,
    word_bytes: usize,
}

/// Where a list that rules may share is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Origin {
    Files(Box<[Box<[u8]>]>),
    Dataset(Box<[u8]>),
}

impl Lists {
    pub(super) fn new(rules: &Rules) -> Self {
        let settings = rules.settings.iter().enumerate();
        let datasets = settings.filter_map(|(at, (_, setting))| match setting {
            Setting::Dataset(dataset) => Some((dataset.name.bytes.clone(), at)),
            _ => None,
        });
        Self {
            datasets: datasets.collect(),
            ..Self::default()
        }
    }
}

impl Origin {
    fn of(operand: &Operand) -> Option<Self> {
        match operand {
            Operand::Files(files) => Some(Self::Files(files.iter().map(|name| name.bytes.clone()).collect())),
            Operand::Dataset(name) => Some(Self::Dataset(name.bytes.clone())),
            _ => None,
        }
    }
}

impl<'a> Compilation<'a> {
    /// Does one more step of making many words, and says whether there was anything to do.
    pub(super) fn make_words(&mut self, operator: &'a Operator) -> bool {
        if let Some(making) = &mut self.parts.lists.making {
            // An error will come again.
            return making.step().unwrap_or_default();
        }
        let takes_words = matches!(
            operator.name,
            OperatorName::Pm | OperatorName::PmFromFile | OperatorName::PmFromDataset
        );
        let origin = Origin::of(&operator.operand);
        if !takes_words
            || self.judge.is_some()
            || origin.is_some_and(|origin| self.parts.lists.words.contains_key(&origin))
        {
            return false;
        }
        let Ok(lines) = self.lines(operator) else {
            return false;
        };
        let bytes: usize = lines.iter().map(|line| line.len()).sum();
        if !(AUTOMATON_BYTES..=MAX_WORD_BYTES).contains(&bytes) || self.known(&lines).is_some() {
            return false;
        }
        self.parts.lists.making = Some(WordsBuilder::new(lines));
        true
    }

    /// The words of `pm` and its kin. None are kept where rules are only judged: within the bound their automaton can be built.
    pub(super) fn words(&mut self, operator: &'a Operator) -> Result<Arc<Words>, Diagnostic> {
        let making = self.parts.lists.making.take();
        let origin = Origin::of(&operator.operand);
        if let Some(known) = origin.as_ref().and_then(|origin| self.parts.lists.words.get(origin)) {
            return Ok(Arc::clone(known));
        }
        let lines = self.lines(operator)?;
        self.charge(operator, &lines)?;
        if let Some(known) = self.known(&lines) {
            return Ok(known);
        }
        let built = |lines| {
            let making = making.unwrap_or_else(|| WordsBuilder::new(lines));
            making
                .finish()
                .map(Arc::new)
                .map_err(|error| Diagnostic::error(Kind::TooLarge, operator.span, error.to_string()))
        };
        let words = match (self.judge, &self.parts.lists.no_words) {
            (None, _) => built(lines)?,
            (Some(_), Some(none)) => Arc::clone(none),
            (Some(_), None) => Arc::clone(self.parts.lists.no_words.insert(built(Vec::new())?)),
        };
        let origin = origin.map(|origin| (origin, Arc::clone(&words)));
        self.parts.lists.words.extend(origin);
        Ok(words)
    }

    /// The same words of the program before.
    fn known(&mut self, lines: &[&[u8]]) -> Option<Arc<Words>> {
        let program = self.options.previous.filter(|_| self.judge.is_none())?;
        let previous = self.parts.lists.previous.get_or_insert_with(|| {
            let words = program.words();
            words
                .map(|words| (words.identity().into(), Arc::clone(words)))
                .collect()
        });
        previous.get(&Words::identity_of(lines)).cloned()
    }

    /// The networks of `ipMatch` and its kin.
    pub(super) fn networks(&mut self, operator: &'a Operator) -> Result<Arc<Networks>, Diagnostic> {
        if let Operand::Networks(networks) = &operator.operand {
            return Ok(Arc::new(networks.iter().copied().collect()));
        }
        let origin = Origin::of(&operator.operand);
        if let Some(known) = origin.as_ref().and_then(|origin| self.parts.lists.networks.get(origin)) {
            return Ok(Arc::clone(known));
        }
        let lines = self.lines(operator)?;
        let networks: Arc<Networks> = Arc::new(lines.into_iter().filter_map(Network::parse).collect());
        let origin = origin.map(|origin| (origin, Arc::clone(&networks)));
        self.parts.lists.networks.extend(origin);
        Ok(networks)
    }

    /// Counts the words of one more list.
    fn charge(&mut self, operator: &Operator, words: &[&[u8]]) -> Result<(), Diagnostic> {
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        self.parts.lists.word_bytes = self.parts.lists.word_bytes.saturating_add(bytes);
        if self.parts.lists.word_bytes > MAX_WORD_BYTES {
            let message = format!("the words of the rules up to here have more than {MAX_WORD_BYTES} bytes");
            let diagnostic = Diagnostic::error(Kind::TooLarge, operator.span, message);
            return Err(diagnostic.hint("shorten the lists, or divide the rules among several RuleSets"));
        }
        Ok(())
    }

    /// The lines of a list.
    fn lines(&mut self, operator: &'a Operator) -> Result<Vec<&'a [u8]>, Diagnostic> {
        let lines: Vec<&[u8]> = match &operator.operand {
            Operand::Words(words) => words.iter().map(|word| &**word).collect(),
            Operand::Dataset(name) => self.dataset(name)?.lines.iter().map(|line| &**line).collect(),
            Operand::Files(files) => {
                let mut lines = Vec::new();
                for name in files {
                    lines.extend(list::lines(self.file(name)?));
                }
                lines
            }
            _ => return Err(unreadable(operator)),
        };
        Ok(lines)
    }

    fn file(&self, name: &Text) -> Result<&'a [u8], Diagnostic> {
        let file = self.options.files.read(name);
        file.ok_or_else(|| Diagnostic::error(Kind::MissingFile, name.span, format!("there is no data file `{name}`")))
    }

    fn dataset(&self, name: &Text) -> Result<&'a Dataset, Diagnostic> {
        let at = self.parts.lists.datasets.get(&*name.bytes);
        let setting = at.and_then(|at| self.rules.settings.get(*at));
        match setting {
            Some((_, Setting::Dataset(dataset))) => Ok(dataset),
            _ => {
                let message = format!("there is no dataset `{name}`");
                Err(Diagnostic::error(Kind::MissingFile, name.span, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use coraza_seclang::{lower, parse};

    use crate::program::{Options, Program};

    use super::*;

    /// What rules that name two files of three MiB are refused for.
    fn refused(rules: &str) -> Option<Vec<Kind>> {
        let large = "x".repeat(3 << 20);
        let files = BTreeMap::from([("a".to_owned(), &large), ("b".to_owned(), &large)]);
        let (rules, _) = lower(&[Arc::new(parse(rules.as_bytes()))]);
        let options = Options {
            files: &files,
            ..Options::default()
        };
        let errors = Program::check(&rules, &options, &|_| Ok(())).err()?;
        Some(errors.iter().map(|error| error.diagnostic.kind).collect())
    }

    #[test]
    fn lists_are_counted_once_and_bounded_together() {
        let rule = |id: u32, file: &str| format!("SecRule ARGS \"@pmFromFile {file}\" \"id:{id},phase:2,pass\"\n");
        assert_eq!(refused(&(rule(1, "a") + &rule(2, "a"))), None);
        assert_eq!(refused(&(rule(1, "a") + &rule(2, "b"))), Some(vec![Kind::TooLarge]));
        assert_eq!(refused(&rule(1, "a b")), Some(vec![Kind::TooLarge]));
        assert_eq!(refused(&rule(1, "c")), Some(vec![Kind::MissingFile]));
        let networks = (rule(1, "a") + &rule(2, "b")).replace("pmFromFile", "ipMatchFromFile");
        assert_eq!(refused(&networks), None, "networks take no automaton");
    }
}
