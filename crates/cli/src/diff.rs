//! `diff`: two RuleSets, rule by rule. Reads files and a cluster; what differs is decided in [`compare`].

mod compare;
mod facets;

use std::io::{self, Write};
use std::path::PathBuf;

use coraza_compiler::{Compiler, Options};
use serde::Serialize;

use self::compare::{Change, Difference, compare};
use self::facets::Facets;
use crate::args;
use crate::output::{Document, Outcome, PrintError, Terminal, paint};
use crate::rules::{ChooseError, LocalRuleSet, of_cluster, one};

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiffError {
    /// Rules can't be read.
    #[error(transparent)]
    Rules(#[from] ChooseError),
    /// The answer can't be written.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// What a name of a RuleSet in the cluster begins with, as for `kubectl get`.
const CLUSTER: [&str; 3] = ["ruleset/", "rulesets/", "wafrs/"];

/// Runs the command.
pub(crate) async fn run(args: &args::Diff, terminal: &mut Terminal) -> Result<Outcome, DiffError> {
    let compiler = Compiler::new();
    let mut sides = Vec::new();
    for name in [&args.old, &args.new] {
        let ruleset = side(name, args, &compiler)
            .await
            .map_err(|error| error.shown(terminal))?;
        if let Err(error) = compiler.compile(&ruleset.resolved, &Options::default()) {
            let advice = "what can't be read is left out; lint says more";
            terminal.note(format_args!(
                "{}: {name}: {error} ({advice})",
                paint::warning("Warning")
            ));
        }
        sides.push(ruleset);
    }
    let facets: Vec<_> = sides.iter().map(Facets::all).collect();
    let (Some(old), Some(new)) = (facets.first(), facets.last()) else {
        return Ok(Outcome::Well);
    };
    let report = Report {
        old: args.old.clone(),
        new: args.new.clone(),
        difference: compare(old, new),
    };
    terminal.print(args.output.format, &report)?;
    Ok(Outcome::found(!report.difference.is_empty()))
}

async fn side(name: &str, args: &args::Diff, compiler: &Compiler) -> Result<LocalRuleSet, ChooseError> {
    match CLUSTER.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        Some(name) => of_cluster(&args.cluster, name, compiler).await,
        None => one(&[PathBuf::from(name)], args.ruleset.as_deref(), compiler),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    old: String,
    new: String,
    #[serde(flatten)]
    difference: Difference,
}

impl Document for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Difference {
            added,
            removed,
            changed,
            same,
        } = &self.difference;
        for (rules, sign) in [(added, "+"), (removed, "-")] {
            for rule in rules {
                let sign = if sign == "+" {
                    paint::good(sign)
                } else {
                    paint::error(sign)
                };
                writeln!(out, "{sign} {}  {}", paint::strong(rule.id), paint::faint(rule.about()))?;
                if !rule.message.is_empty() {
                    writeln!(out, "      {}", paint::plain(&rule.message))?;
                }
            }
        }
        for rule in changed {
            let places = paint::faint(format!("{} -> {}", rule.old_place, rule.new_place));
            writeln!(out, "{} {}  {places}", paint::warning("~"), paint::strong(rule.id))?;
            for change in &rule.changes {
                write_change(out, change)?;
            }
        }
        let counts = [
            (added.len(), "added"),
            (removed.len(), "removed"),
            (changed.len(), "changed"),
        ];
        let counts = counts.map(|(number, what)| format!("{number} {what}")).join(", ");
        writeln!(out, "{}, {same} the same", paint::strong(counts))
    }
}

fn write_change(out: &mut dyn Write, change: &Change) -> io::Result<()> {
    writeln!(out, "      {}", change.what)?;
    let other = |texts: &[String]| texts.first().cloned().unwrap_or_default();
    let (old, new) = (other(&change.removed), other(&change.added));
    let single = change.removed.len() == 1 && change.added.len() == 1;
    for text in &change.removed {
        let shown = shortened(text, if single { &new } else { text });
        writeln!(out, "        {} {}", paint::error("-"), paint::plain(&shown))?;
    }
    for text in &change.added {
        let shown = shortened(text, if single { &old } else { text });
        writeln!(out, "        {} {}", paint::good("+"), paint::plain(&shown))?;
    }
    Ok(())
}

/// So much of a text as people compare: from a little before the place where it differs from the other.
fn shortened(text: &str, other: &str) -> String {
    const MOST: usize = 120;
    const BEFORE: usize = 30;
    let same = text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let length = text.chars().count();
    let start = if length <= MOST || same == length {
        0
    } else {
        same.saturating_sub(BEFORE)
    };
    let shown: String = text.chars().skip(start).take(MOST).collect();
    let before = if start > 0 { "..." } else { "" };
    let after = if start.saturating_add(MOST) < length { "..." } else { "" };
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        assert_eq!(shortened("short", "other"), "short");
        let long = format!("{}X{}", "é".repeat(200), "b".repeat(200));
        let other = format!("{}Y", "é".repeat(200));
        let shown = shortened(&long, &other);
        assert!(
            shown.starts_with(&format!("...{}X", "é".repeat(30))) && shown.ends_with("b..."),
            "{shown}"
        );
        assert!(shortened(&long, &long).starts_with("éé"), "the same");
    }
}
