//! `compile`: the one function that turns a resolved RuleSet into content that can be served, or says why not.

use std::sync::Arc;

use coraza_engine::Program;
use coraza_ruleset::{Content, DataFiles, Digest, Limits};
use coraza_seclang::rules::Rules;
use coraza_seclang::{Diagnostic, Kind, Severity, SourceDiagnostic, SourceId, Span, lower};

use crate::aggregate::Aggregate;
use crate::analysis::Analysis;
use crate::bounds::Bounds;
use crate::check::check;
use crate::diagnostic::Diagnostics;
use crate::error::CompileError;
use crate::memo::{Memo, Statistics};
use crate::profile::{Profile, UnsupportedRule};
use crate::resolved::ResolvedRuleSet;
use crate::source::{ResolvedSource, Validation};

/// How a RuleSet is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What runs the rules.
    pub profile: Profile,
    /// Whether rules that it can't run are served all the same, with a warning.
    pub allow_unsupported: bool,
    /// How large content may be.
    pub limits: Limits,
    /// The bytes that the *other* RuleSets of the namespace have.
    pub used_in_namespace: u64,
    /// The bytes that all *other* RuleSets have.
    pub used_in_total: u64,
    /// How much work the rules may be.
    pub bounds: Bounds,
}

/// A RuleSet that is good to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compilation {
    /// What to serve. It shares the sources' texts.
    pub content: Content,
    /// Which content that is.
    pub digest: Digest,
    /// How many rules there are after removals; a chain is one.
    pub rules: usize,
    /// What is doubtful.
    pub warnings: Diagnostics,
    /// Rules that the data plane can't run, if that was allowed.
    pub unsupported: Vec<UnsupportedRule>,
}

/// Compiles RuleSets and remembers, by content, what it learned about sources and patterns. One is enough for all threads.
#[derive(Debug, Default)]
pub struct Compiler {
    memo: Memo,
}

impl Compiler {
    /// A compiler that remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The one shared copy of a text. Texts that come from outside should pass through here once, when they are decoded: then
    /// a thousand RuleSets with the same source hold it once, and it is parsed once.
    #[must_use]
    pub fn intern(&self, text: &str) -> Arc<str> {
        self.memo.intern(text)
    }

    /// What is wrong with a source by itself: its syntax, nothing that needs other sources or data.
    #[must_use]
    pub fn check(&self, source: &ResolvedSource) -> Diagnostics {
        let analysis = self.memo.analyze(&source.text);
        let findings = of_source(SourceId::default(), &analysis.parsed.diagnostics);
        Aggregate::new(std::slice::from_ref(source)).locate(findings.collect())
    }

    /// Compiles a RuleSet. The same RuleSet and options have the same result, whatever was compiled before.
    ///
    /// # Errors
    /// [`CompileError`]: the first of too large, errors in single sources, errors of all together, unsupported rules.
    pub fn compile(&self, ruleset: &ResolvedRuleSet, options: &Options) -> Result<Compilation, CompileError> {
        let content = ruleset.content();
        options
            .limits
            .admit(&content, options.used_in_namespace, options.used_in_total)?;

        let aggregate = Aggregate::new(&ruleset.sources);
        let analyses = analyze(&self.memo, &aggregate, options.bounds)?;
        let syntax = judge_syntax(&aggregate, &analyses)?;

        let parsed: Vec<_> = analyses.iter().map(|analysis| Arc::clone(&analysis.parsed)).collect();
        let (rules, mut findings) = lower(&parsed);
        findings.extend(syntax);
        findings.extend(of_sources(&analyses, |analysis| &analysis.pattern_findings));
        findings.extend(check(&aggregate, &rules, &ruleset.data_files));
        findings.extend(enforceable(
            &self.memo,
            &rules,
            &ruleset.data_files,
            options.profile,
            &findings,
        ));
        if has_errors(&findings) {
            return Err(CompileError::InvalidRuleSet {
                diagnostics: aggregate.locate(findings),
            });
        }

        Ok(Compilation {
            digest: content.digest(),
            content,
            rules: rules.rules().count(),
            unsupported: unsupported(&rules, options)?,
            warnings: aggregate.locate(findings),
        })
    }

    /// Forgets what no text that is still held has to do with. It also happens by itself, from time to time.
    pub fn forget_unused(&self) {
        self.memo.forget_unused();
    }

    /// How much was done and is remembered.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.memo.statistics()
    }
}

/// The sources' own warnings, or their errors: of the sources if one of them should have been valid by itself, else of the
/// RuleSet.
fn judge_syntax(aggregate: &Aggregate<'_>, analyses: &[Arc<Analysis>]) -> Result<Vec<SourceDiagnostic>, CompileError> {
    let findings: Vec<_> = of_sources(analyses, |analysis| &analysis.parsed.diagnostics).collect();
    if !has_errors(&findings) {
        return Ok(findings);
    }
    let diagnostics = aggregate.locate(findings);
    let invalid = aggregate
        .sources()
        .zip(analyses)
        .filter(|((_, source), analysis)| source.validation == Validation::Own && analysis.has_syntax_errors());
    let sources: Vec<_> = invalid.map(|((_, source), _)| Arc::clone(&source.name)).collect();
    Err(if sources.is_empty() {
        CompileError::InvalidRuleSet { diagnostics }
    } else {
        CompileError::InvalidSource { sources, diagnostics }
    })
}

/// What is known about each source. Stops where the bounds are passed, before more work is done, with a finding there.
fn analyze(memo: &Memo, aggregate: &Aggregate<'_>, bounds: Bounds) -> Result<Vec<Arc<Analysis>>, CompileError> {
    let mut analyses = Vec::new();
    let (mut directives, mut steps) = (0_usize, 0_u64);
    for (id, source) in aggregate.sources() {
        let analysis = memo.analyze(&source.text);
        directives = directives.saturating_add(analysis.parsed.directives.len());
        steps = steps.saturating_add(analysis.pattern_steps);
        analyses.push(analysis);
        let message = if directives > bounds.directives {
            format!(
                "with this source the RuleSet has {directives} directives, and at most {} are allowed",
                bounds.directives
            )
        } else if steps > bounds.pattern_steps {
            format!(
                "with this source the RuleSet's regular expressions take {steps} steps to compile, and at most {} are allowed",
                bounds.pattern_steps
            )
        } else {
            continue;
        };
        let diagnostic = Diagnostic::error(Kind::TooLarge, Span::default(), message)
            .hint("divide the rules among several RuleSets, or use @pmFromFile for lists");
        let diagnostics = aggregate.locate(vec![SourceDiagnostic { source: id, diagnostic }]);
        return Err(CompileError::InvalidRuleSet { diagnostics });
    }
    Ok(analyses)
}

/// What our engine can't do of what the rules ask for: it would refuse all of them. What was found already isn't told again, and
/// after patterns that take too much to compile none is compiled for this.
fn enforceable(
    memo: &Memo,
    rules: &Rules,
    data_files: &DataFiles,
    profile: Profile,
    known: &[SourceDiagnostic],
) -> Vec<SourceDiagnostic> {
    let is_known = |kind| {
        let mut errors = known
            .iter()
            .filter(|finding| finding.diagnostic.severity == Severity::Error);
        errors.any(|finding| finding.diagnostic.kind == kind)
    };
    if profile != Profile::Native || is_known(Kind::TooLarge) {
        return Vec::new();
    }
    let engine = coraza_engine::Options {
        files: &Files(data_files),
        ..coraza_engine::Options::default()
    };
    let verdict = |pattern: &[u8]| memo.verdict(pattern).error.clone().map_or(Ok(()), Err);
    let mut findings = Program::check(rules, &engine, &verdict).err().unwrap_or_default();
    findings.retain(|finding| !is_known(finding.diagnostic.kind));
    findings
}

/// The RuleSet's data files, as the engine asks for them.
struct Files<'a>(&'a DataFiles);

impl coraza_engine::DataFiles for Files<'_> {
    fn read(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.get(std::str::from_utf8(name).ok()?).map(AsRef::as_ref)
    }
}

/// The rules that the data plane can't run, by number, if that is allowed.
fn unsupported(rules: &Rules, options: &Options) -> Result<Vec<UnsupportedRule>, CompileError> {
    let ids = rules.rules().filter_map(|rule| rule.id);
    let mut unsupported: Vec<_> = ids.filter_map(|id| options.profile.unsupported(id.0)).collect();
    unsupported.sort_by_key(|rule| rule.id);
    if unsupported.is_empty() || options.allow_unsupported {
        Ok(unsupported)
    } else {
        Err(CompileError::UnsupportedRules {
            profile: options.profile,
            unsupported,
        })
    }
}

/// What was found in each source, with the source.
fn of_sources<'a>(
    analyses: &'a [Arc<Analysis>],
    findings: impl Fn(&'a Analysis) -> &'a [Diagnostic],
) -> impl Iterator<Item = SourceDiagnostic> {
    (0..)
        .map(SourceId)
        .zip(analyses)
        .flat_map(move |(source, analysis)| of_source(source, findings(analysis)))
}

fn of_source(source: SourceId, findings: &[Diagnostic]) -> impl Iterator<Item = SourceDiagnostic> {
    findings
        .iter()
        .cloned()
        .map(move |diagnostic| SourceDiagnostic { source, diagnostic })
}

fn has_errors(findings: &[SourceDiagnostic]) -> bool {
    findings
        .iter()
        .any(|finding| finding.diagnostic.severity == Severity::Error)
}
