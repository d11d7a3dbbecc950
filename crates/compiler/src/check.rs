//! What can only be said about the rules of all sources together, and about the data that they are given.

use std::collections::BTreeSet;
use std::collections::hash_map::{self, HashMap};

use coraza_ruleset::DataFiles;
use coraza_seclang::rules::{ActionName, Member, Operand, Rule, RuleId, Rules, Text};
use coraza_seclang::{Diagnostic, Entry, Kind, Location, SourceDiagnostic, Span};

use crate::aggregate::Aggregate;

/// How many names a hint lists at most.
const MOST_NAMES: usize = 10;

/// Everything that is wrong with `rules` as a whole.
pub(crate) fn check(aggregate: &Aggregate<'_>, rules: &Rules, data: &DataFiles) -> Vec<SourceDiagnostic> {
    let mut findings = unique_ids(aggregate, rules);
    findings.extend(markers(rules));
    findings.extend(data_files(rules, data));
    findings.extend(datasets(rules));
    findings
}

/// A number stands for one rule: exclusions and logs have nothing else to name it by.
fn unique_ids(aggregate: &Aggregate<'_>, rules: &Rules) -> Vec<SourceDiagnostic> {
    let mut first: HashMap<RuleId, Location> = HashMap::new();
    let duplicate = |rule: &Rule| {
        let (id, starter) = (rule.id?, rule.starter()?);
        let span = starter
            .definition
            .actions
            .last(ActionName::Id)
            .map(|action| action.span);
        let location = place(starter, span);
        match first.entry(id) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(location);
                None
            }
            hash_map::Entry::Occupied(entry) => {
                let message = format!(
                    "rule id {id} is used a second time; the first is at {}",
                    aggregate.place(*entry.get())
                );
                Some(error(
                    Kind::DuplicateId,
                    location,
                    message,
                    "give this rule another id, or remove one of the two",
                ))
            }
        }
    };
    rules.rules().filter_map(duplicate).collect()
}

/// A jump to a marker that isn't ahead would skip all that is left of the transaction.
fn markers(rules: &Rules) -> Vec<SourceDiagnostic> {
    let last: HashMap<&[u8], usize> = rules.markers().map(|(at, label)| (&**label, at)).collect();
    let rules = rules.entries.iter().enumerate().filter_map(|(at, entry)| match entry {
        Entry::Rule(rule) => Some((at, rule)),
        Entry::Marker(..) => None,
    });
    let jumps = rules.flat_map(|(at, rule)| jumps(rule).map(move |(label, location)| (at, label, location)));
    jumps
        .filter_map(|(at, label, location)| match last.get(&**label) {
            Some(marker) if *marker > at => None,
            Some(_) => Some(error(
                Kind::MissingMarker,
                location,
                format!("skipAfter jumps to `{label}`, which stands before the rule: all rules after this one would be skipped"),
                "put the SecMarker after the rules that are to be skipped",
            )),
            None => Some(error(
                Kind::MissingMarker,
                location,
                format!("skipAfter jumps to `{label}`, which does not exist: all rules after this one would be skipped"),
                format!("add `SecMarker {label}` after the rules that are to be skipped"),
            )),
        })
        .collect()
}

/// The markers that a rule jumps to, by itself or by its defaults.
fn jumps(rule: &Rule) -> impl Iterator<Item = (&Text, Location)> {
    let own = rule.members.iter().filter_map(|member| {
        let label = member.definition.actions.skip_after()?;
        Some((label, place(member, Some(label.span))))
    });
    let by_default = rule.defaults.iter().filter_map(|defaults| {
        let starter = rule
            .starter()
            .filter(|starter| starter.definition.actions.skip_after().is_none())?;
        Some((defaults.actions.skip_after()?, starter.location))
    });
    own.chain(by_default)
}

/// Files that rules read must be among those that the RuleSet names; there is no other place to read them from.
fn data_files(rules: &Rules, data: &DataFiles) -> Vec<SourceDiagnostic> {
    let members = rules.rules().flat_map(|rule| &rule.members);
    let operators = members.filter_map(|member| Some((member, member.definition.operator.as_ref()?)));
    let files =
        operators.flat_map(|(member, operator)| operator.data_files().iter().map(move |file| (member, operator, file)));
    let missing = files.filter(|(_, _, file)| std::str::from_utf8(file).map_or(true, |file| !data.contains_key(file)));
    missing
        .map(|(member, operator, file)| {
            let message = format!(
                "@{} reads `{file}`, which no RuleData of the RuleSet provides",
                operator.name
            );
            let hint = match names(data.keys().map(|name| &**name)) {
                Some(names) => format!("its RuleData have {names}"),
                None => "the RuleSet names no RuleData: add one under spec.data".to_owned(),
            };
            error(Kind::MissingFile, place(member, Some(file.span)), message, hint)
        })
        .collect()
}

/// The same of `SecDataset`.
fn datasets(rules: &Rules) -> Vec<SourceDiagnostic> {
    let datasets = rules.datasets();
    let members = rules.rules().flat_map(|rule| &rule.members);
    let missing = members.filter_map(|member| match &member.definition.operator.as_ref()?.operand {
        Operand::Dataset(name) if !datasets.contains_key(&**name) => {
            let known: BTreeSet<_> = datasets.keys().map(|name| String::from_utf8_lossy(name)).collect();
            let hint = match names(known.iter().map(|name| &**name)) {
                Some(names) => format!("there are {names}"),
                None => format!("add `SecDataset {name}` before the rule"),
            };
            Some(error(
                Kind::MissingFile,
                place(member, Some(name.span)),
                format!("there is no SecDataset `{name}`"),
                hint,
            ))
        }
        _ => None,
    });
    missing.collect()
}

/// The first of some names, or nothing if there are none.
fn names<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Option<String> {
    let more = names.len().saturating_sub(MOST_NAMES);
    let listed = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    match (listed.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(listed),
        (false, more) => Some(format!("{listed} and {more} more")),
    }
}

/// A place in a rule. After an update a span may be one of the update's source: then it is the whole rule.
fn place(member: &Member, span: Option<Span>) -> Location {
    match span {
        Some(span) if member.updates.is_empty() => Location {
            source: member.location.source,
            span,
        },
        _ => member.location,
    }
}

fn error(kind: Kind, location: Location, message: String, hint: impl Into<String>) -> SourceDiagnostic {
    SourceDiagnostic {
        source: location.source,
        diagnostic: Diagnostic::error(kind, location.span, message).hint(hint),
    }
}
