//! `Loading`: from the text of rules to a program that was warmed up, in steps of a few milliseconds, so that a worker serves
//! between them. No IO.

mod chunk;
mod overrides;
mod warm;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chunk::Chunks;
use coraza_engine::seclang::rules::{Phase, RuleId, Rules};
use coraza_engine::seclang::{self, LineIndex, Parsed, SourceDiagnostic, SourceId};
use coraza_engine::{Options, Program, ProgramBuilder};

pub use overrides::Override;

use crate::poll::Content;
use crate::revision::Revision;
use warm::Warming;

/// How many findings of broken rules are shown.
const SHOWN: usize = 3;

/// Rules that requests can be inspected with.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub program: Arc<Program>,
    /// Which they are; none for those of the configuration.
    pub revision: Option<Revision>,
    /// Rules that other directives change, by what is changed of them.
    pub overrides: Vec<Override>,
    /// The rules that metrics name.
    pub hits: Hits,
}

/// The rules that metrics name: the first so many that match, since there are hundreds and each is a metric of its own.
#[derive(Clone, Debug, Default)]
pub struct Hits(RefCell<BTreeSet<u64>>);

/// How many rules metrics name; the contract of the Go operator's metrics.
const MAX_NAMED: usize = 200;

impl Hits {
    /// What metrics call the rule.
    #[must_use]
    pub fn name(&self, rule: Option<RuleId>) -> String {
        let Some(RuleId(id)) = rule else {
            return "other".to_owned();
        };
        let mut named = self.0.borrow_mut();
        if named.contains(&id) || (named.len() < MAX_NAMED && named.insert(id)) {
            return id.to_string();
        }
        "other".to_owned()
    }
}

impl Loaded {
    /// The same rules, which became current anew.
    #[must_use]
    pub fn renewed(&self, revision: Revision) -> Self {
        Self {
            program: Arc::clone(&self.program),
            revision: Some(revision),
            overrides: self.overrides.clone(),
            hits: self.hits.clone(),
        }
    }
}

/// The rules can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} errors in the rules: {}", shown.join("; "))]
pub struct InvalidRules {
    count: usize,
    shown: Vec<String>,
}

/// How far it is.
#[derive(Debug)]
pub enum Progress {
    /// There is more to do.
    More(Loading),
    /// The rules can be used.
    Done(Loaded),
    /// They can't.
    Failed(InvalidRules),
}

/// Rules on their way.
#[derive(Debug)]
pub struct Loading {
    revision: Option<Revision>,
    files: BTreeMap<String, Vec<u8>>,
    overrides: Vec<Override>,
    /// The most work of one transaction, in the engine's unit; the engine's own limit if absent.
    work_limit: Option<u64>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Parse the chunks of the text, of which `parsed` are done.
    Parse { chunks: Chunks, parsed: Vec<Arc<Parsed>> },
    /// Compile. The text is kept to say where an error is.
    Build {
        chunks: Chunks,
        builder: Box<ProgramBuilder<Rules>>,
    },
    /// Run requests that touch every rule once, so that the first real one doesn't wait for what is made on first use.
    Warm { program: Arc<Program>, warming: Warming },
}

impl Loading {
    /// Begins.
    #[must_use]
    pub fn new(content: Content, revision: Option<Revision>) -> Self {
        Self {
            revision,
            files: content.files,
            overrides: Vec::new(),
            work_limit: None,
            stage: Stage::Parse {
                chunks: Chunks::of(content.rules, content.sources),
                parsed: Vec::new(),
            },
        }
    }

    /// The same, with another limit on the work of one transaction.
    #[must_use]
    pub const fn with_work_limit(mut self, limit: Option<u64>) -> Self {
        self.work_limit = limit;
        self
    }

    /// Which revision.
    #[must_use]
    pub const fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    /// What the next step is a part of, for those who look for long ones.
    #[must_use]
    pub const fn stage(&self) -> &'static str {
        match &self.stage {
            Stage::Parse { .. } => "parse",
            Stage::Build { .. } => "compile",
            Stage::Warm { .. } => "warm",
        }
    }

    /// All steps at once, for where nobody waits, or everybody has to.
    ///
    /// # Errors
    /// [`InvalidRules`].
    pub fn finish(self, previous: Option<&Program>) -> Result<Loaded, InvalidRules> {
        let mut loading = self;
        loop {
            match loading.step(previous) {
                Progress::More(more) => loading = more,
                Progress::Done(loaded) => return Ok(loaded),
                Progress::Failed(invalid) => return Err(invalid),
            }
        }
    }

    /// One step. Compiled patterns of `previous` are taken over where the texts are the same.
    #[must_use]
    pub fn step(mut self, previous: Option<&Program>) -> Progress {
        match self.stage {
            Stage::Parse { chunks, mut parsed } => {
                if let Some(source) = chunks.nth(parsed.len()) {
                    let chunk = seclang::parse(source.as_bytes());
                    parsed.push(Arc::new(chunk));
                    self.stage = Stage::Parse { chunks, parsed };
                    return Progress::More(self);
                }
                self.overrides = overrides::of(&parsed);
                let (rules, findings) = seclang::lower(&parsed);
                let own = parsed.iter().enumerate().flat_map(|(at, parsed)| {
                    let source = SourceId(u32::try_from(at).unwrap_or(u32::MAX));
                    parsed
                        .diagnostics
                        .iter()
                        .map(move |diagnostic| (source, diagnostic.clone()))
                });
                let own = own.map(|(source, diagnostic)| SourceDiagnostic { source, diagnostic });
                let errors: Vec<_> = own.chain(findings).filter(is_error).collect();
                if !errors.is_empty() {
                    return Progress::Failed(InvalidRules::new(&errors, &chunks));
                }
                self.stage = Stage::Build {
                    chunks,
                    builder: Box::new(ProgramBuilder::new(rules)),
                };
                Progress::More(self)
            }
            Stage::Build { chunks, mut builder } => {
                let sources = chunks.sources();
                let defaults = Options::default();
                let options = Options {
                    work_limit: self.work_limit.unwrap_or(defaults.work_limit),
                    sources: &sources,
                    files: &self.files,
                    previous,
                    ..defaults
                };
                if builder.step(&options) {
                    drop(sources);
                    self.stage = Stage::Build { chunks, builder };
                    return Progress::More(self);
                }
                match builder.finish() {
                    Ok(program) => {
                        self.files.clear();
                        self.stage = Stage::Warm {
                            program: Arc::new(program),
                            warming: Warming::default(),
                        };
                        Progress::More(self)
                    }
                    Err(errors) => Progress::Failed(InvalidRules::new(&errors, &chunks)),
                }
            }
            Stage::Warm { program, mut warming } => {
                if warming.step(&program) {
                    self.stage = Stage::Warm { program, warming };
                    return Progress::More(self);
                }
                Progress::Done(Loaded {
                    program,
                    revision: self.revision,
                    overrides: self.overrides,
                    hits: Hits::default(),
                })
            }
        }
    }
}

fn is_error(finding: &SourceDiagnostic) -> bool {
    finding.diagnostic.severity == seclang::Severity::Error
}

impl InvalidRules {
    fn new(errors: &[SourceDiagnostic], chunks: &Chunks) -> Self {
        let shown = errors.iter().take(SHOWN).map(|error| {
            let at = usize::try_from(error.source.0).unwrap_or(usize::MAX);
            let piece = chunks.nth(at).unwrap_or_default();
            let place = LineIndex::new(piece.as_bytes()).line_column(error.diagnostic.span.start);
            let line = chunks.place(at, place.line);
            format!("{line}, column {}: {}", place.column, error.diagnostic.message)
        });
        Self {
            count: errors.len(),
            shown: shown.collect(),
        }
    }
}

/// The phase's name in the Go plugin's metrics; phase 5 can't interrupt and has none there.
#[must_use]
pub const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::RequestHeaders => "http_request_headers",
        Phase::RequestBody => "http_request_body",
        Phase::ResponseHeaders => "http_response_headers",
        Phase::ResponseBody => "http_response_body",
        Phase::Logging => "http_logging",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::SourceLines;

    fn content(rules: &str) -> Content {
        Content {
            rules: rules.to_owned(),
            files: BTreeMap::from([("words".to_owned(), b"evil\n".to_vec())]),
            sources: Vec::new(),
        }
    }

    #[test]
    fn rules_are_loaded_step_by_step() {
        let rule = "SecRule ARGS \"@pmFromFile words\" \"id:1,phase:2,deny\"\nSecRuleRemoveById 1 7 9-12\n";
        let comments = "# filler filler filler filler\n".repeat(4_000);
        let mut loading = Loading::new(content(&format!("{rule}{comments}")), None);
        let mut steps = 0;
        let loaded = loop {
            steps += 1;
            match loading.step(None) {
                Progress::More(more) => loading = more,
                Progress::Done(loaded) => break loaded,
                Progress::Failed(invalid) => panic!("{invalid}"),
            }
        };
        assert!(steps > 6, "{steps}");
        assert_eq!(loaded.program.rules(), 0);
        assert_eq!(
            loaded.overrides,
            [Override {
                rule: 1,
                kind: "disabled"
            }]
        );
    }

    #[test]
    fn errors_say_where_they_are_in_the_whole_text() {
        let rule = |id: usize| format!("SecRule ARGS \"@rx a\" \"id:{id},phase:2,deny\"\n");
        let mut rules: String = (1..2_000).map(rule).collect();
        rules.push_str("SecRule ARGS \"@nothing\" \"id:2000,phase:2,deny\"\n");
        let error = Loading::new(content(&rules), None).finish(None).expect_err("invalid");
        let text = error.to_string();
        assert!(
            text.starts_with("1 errors in the rules: line 2000, column 16: unknown operator"),
            "{text}"
        );
        let error = Loading::new(content("SecRule ARGS \"@rx a(?=b)\" \"id:1\"\n"), None).finish(None);
        assert!(error.expect_err("invalid").to_string().contains("line 1, column"));
        let source = |name: &str, lines| SourceLines {
            name: name.to_owned(),
            lines,
        };
        let named = Content {
            sources: vec![source("base", 2), source("own", 3)],
            ..content("SecRuleEngine On\n\n# a comment\nSecRule ARGS \"@nothing\" \"id:1\"\n")
        };
        let error = Loading::new(named, None).finish(None).expect_err("invalid");
        assert!(error.to_string().contains(": own, line 2, column 16:"), "{error}");
    }
}
