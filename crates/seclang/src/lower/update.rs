//! `SecRuleRemove...` and `SecRuleUpdate...`, applied to all rules, wherever they stand: also to those after the directive. No IO.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Change, Findings, Selected};
use crate::error::{Diagnostic, Kind};
use crate::rules::{
    Action, ActionName, ActionUpdate, Actions, Definition, Entry, IdRange, Member, Rule, RuleId, RuleSelector, Rules,
    Selector, Target, TargetMode, TargetUpdate,
};
use crate::span::Location;

/// How many targets and actions all updates together may add, counted per changed rule. Thousands of updates of all rules would
/// fill the memory otherwise; the CRS adds 55.
const MAX_ADDED: usize = 500_000;

/// Applies the changes. A rule that is removed isn't updated.
pub(super) fn apply(rules: &mut Rules, changes: &[Change<'_>], findings: &mut Findings) {
    if changes.is_empty() {
        return;
    }
    let index = Index::new(rules, changes);
    for change in changes.iter().filter(|change| !index.matches(change)) {
        no_rule(change, findings);
    }
    let removed = removed(&index, changes);
    for (entry, changes) in plan(&index, changes, findings) {
        match rules.entries.get_mut(entry) {
            Some(Entry::Rule(rule)) if !removed.contains(&entry) => update(rule, &changes, findings),
            _ => {}
        }
    }
    let mut at = 0;
    rules.entries.retain(|_| {
        at += 1;
        !removed.contains(&(at - 1))
    });
}

/// Which changes each rule gets, in order.
fn plan<'c, 'a>(
    index: &Index,
    changes: &'c [Change<'a>],
    findings: &mut Findings,
) -> BTreeMap<usize, Vec<&'c Change<'a>>> {
    let mut plan: BTreeMap<usize, Vec<&Change<'_>>> = BTreeMap::new();
    let mut left = MAX_ADDED;
    for change in changes {
        let (entries, size) = match change.rules {
            Selected::Remove(_) => continue,
            Selected::Targets(selector, update) => (index.entries(selector, left), update.targets.len()),
            Selected::Actions(update) => (index.by_range(one(update.id)).collect(), update.actions.0.len()),
        };
        let Some(rest) = left.checked_sub(entries.len().saturating_mul(size.max(1))) else {
            let message = format!("the updates of rules add more than {MAX_ADDED} variables and actions in all");
            findings.push(
                change.location.source,
                Diagnostic::error(Kind::TooManyUpdates, change.location.span, message),
            );
            break;
        };
        left = rest;
        for entry in entries {
            plan.entry(entry).or_default().push(change);
        }
    }
    plan
}

fn one(id: RuleId) -> IdRange {
    IdRange { first: id, last: id }
}

fn no_rule(change: &Change<'_>, findings: &mut Findings) {
    let diagnostic = Diagnostic::warning(Kind::MatchesNoRule, change.location.span, "this matches no rule");
    let texts = match change.rules {
        Selected::Remove(RuleSelector::Tag(text) | RuleSelector::Msg(text))
        | Selected::Targets(RuleSelector::Tag(text) | RuleSelector::Msg(text), _) => Some(text),
        _ => None,
    };
    let is_pattern = texts.is_some_and(|text| text.iter().any(|byte| b"*+?[](){}^$|\\".contains(byte)));
    let diagnostic = if is_pattern {
        diagnostic.hint("tags and messages are compared as they are, not as regular expressions")
    } else {
        diagnostic
    };
    findings.push(change.location.source, diagnostic);
}

/// Applies the changes of one rule.
fn update(rule: &mut Rule, changes: &[&Change<'_>], findings: &mut Findings) {
    let mut drafts: Vec<Draft> = rule.members.iter().map(Draft::new).collect();
    for change in changes {
        match change.rules {
            Selected::Remove(_) => {}
            Selected::Targets(_, update) => {
                // ModSecurity changes the first rule of a chain only.
                if let Some(draft) = drafts.first_mut() {
                    draft.update_targets(update, change.location);
                }
            }
            Selected::Actions(update) => match drafts.get_mut(update.member as usize) {
                Some(draft) => draft.update_actions(update, change.location, findings),
                None => {
                    let message = format!("rule {} has no member {} in its chain", update.id, update.member);
                    let diagnostic = Diagnostic::warning(Kind::MatchesNoRule, change.location.span, message);
                    findings.push(
                        change.location.source,
                        diagnostic.hint("the first rule of a chain is member 0"),
                    );
                }
            },
        }
    }
    for (member, draft) in rule.members.iter_mut().zip(drafts) {
        draft.commit(member);
    }
}

/// A rule while it is changed.
struct Draft {
    /// None for a `SecAction`, which looks at nothing.
    targets: Option<Vec<Target>>,
    actions: Vec<Action>,
    updates: Vec<Location>,
}

impl Draft {
    fn new(member: &Member) -> Self {
        let Definition {
            targets,
            operator,
            actions,
        } = &*member.definition;
        let targets = operator.as_ref().map(|_| targets.to_vec());
        Self {
            targets,
            actions: actions.0.to_vec(),
            updates: Vec::new(),
        }
    }

    fn update_targets(&mut self, update: &TargetUpdate, location: Location) {
        let Some(targets) = &mut self.targets else {
            return;
        };
        if let Some(replaced) = &update.replaced {
            targets.retain(|target| !replaced.iter().any(|replaced| same_values(target, replaced)));
        }
        targets.extend_from_slice(&update.targets);
        self.updates.push(location);
    }

    fn update_actions(&mut self, update: &ActionUpdate, location: Location, findings: &mut Findings) {
        let disruptive = update.actions.disruptive();
        if let Some(action) = disruptive.filter(|_| update.member > 0) {
            findings.push(location.source, super::inside_chain(action.name, action));
            return;
        }
        if update.actions.0.iter().any(|action| !action.name.is_repeatable()) {
            let replaced = |name: ActionName| !name.is_repeatable() && update.actions.has(name);
            self.actions
                .retain(|action| !(replaced(action.name) || (action.name.is_disruptive() && disruptive.is_some())));
        }
        self.actions.extend_from_slice(&update.actions.0);
        self.updates.push(location);
    }

    /// Puts the changes into the rule; one without changes goes on being shared.
    fn commit(self, member: &mut Member) {
        if self.updates.is_empty() {
            return;
        }
        let targets = self.targets.unwrap_or_default().into_boxed_slice();
        let operator = member.definition.operator.clone();
        member.definition = Arc::new(Definition {
            targets,
            operator,
            actions: Actions(self.actions.into_boxed_slice()),
        });
        member.updates = self.updates;
    }
}

/// Whether two targets select the same values, whatever they do with them.
fn same_values(target: &Target, replaced: &Target) -> bool {
    let same_mode = (target.mode == TargetMode::Count) == (replaced.mode == TargetMode::Count);
    let same_selector = match (&target.selector, &replaced.selector) {
        (Selector::All, Selector::All) => true,
        (Selector::Key(a), Selector::Key(b)) => a.eq_ignore_ascii_case(b),
        (Selector::Pattern(a), Selector::Pattern(b)) | (Selector::Path(a), Selector::Path(b)) => a.bytes == b.bytes,
        _ => false,
    };
    same_mode && same_selector && target.variable == replaced.variable && target.mode != TargetMode::Exclude
}

/// The entries that are removed. Ranges of ids are merged first, or many wide ones would cost the square of the rules.
fn removed(index: &Index, changes: &[Change<'_>]) -> HashSet<usize> {
    let selectors = changes.iter().filter_map(|change| match change.rules {
        Selected::Remove(selector) => Some(selector),
        _ => None,
    });
    let mut ranges: Vec<IdRange> = Vec::new();
    let mut texts: HashSet<&RuleSelector> = HashSet::new();
    for selector in selectors {
        match selector {
            RuleSelector::Ids(ids) => ranges.extend(ids),
            text => {
                texts.insert(text);
            }
        }
    }
    ranges.sort_by_key(|range| range.first);
    let merged = ranges.into_iter().fold(Vec::<IdRange>::new(), |mut merged, range| {
        match merged.last_mut().filter(|last| range.first <= last.last) {
            Some(last) => last.last = last.last.max(range.last),
            None => merged.push(range),
        }
        merged
    });
    let by_ids = merged.into_iter().flat_map(|range| index.by_range(range));
    by_ids
        .chain(texts.into_iter().flat_map(|text| index.entries(text, usize::MAX)))
        .collect()
}

/// Where the rules of an id, a tag or a message are.
struct Index {
    /// Sorted by id.
    ids: Vec<(RuleId, usize)>,
    tags: HashMap<Box<[u8]>, Vec<usize>>,
    messages: HashMap<Box<[u8]>, Vec<usize>>,
}

impl Index {
    fn new(rules: &Rules, changes: &[Change<'_>]) -> Self {
        let selects = |wanted: fn(&RuleSelector) -> bool| {
            changes.iter().any(|change| match change.rules {
                Selected::Remove(selector) | Selected::Targets(selector, _) => wanted(selector),
                Selected::Actions(_) => false,
            })
        };
        let (tags, messages) = (
            selects(|s| matches!(s, RuleSelector::Tag(_))),
            selects(|s| matches!(s, RuleSelector::Msg(_))),
        );
        let mut index = Self {
            ids: Vec::new(),
            tags: HashMap::new(),
            messages: HashMap::new(),
        };
        for (entry, rule) in rules.entries.iter().enumerate() {
            let Entry::Rule(rule) = rule else { continue };
            index.ids.extend(rule.id.map(|id| (id, entry)));
            let Some(starter) = rule.starter() else { continue };
            if tags {
                for tag in starter.definition.actions.tags() {
                    index.tags.entry(tag.text.bytes.clone()).or_default().push(entry);
                }
            }
            if let Some(message) = starter.definition.actions.msg().filter(|_| messages) {
                index
                    .messages
                    .entry(message.text.bytes.clone())
                    .or_default()
                    .push(entry);
            }
        }
        index.ids.sort_unstable();
        index
    }

    fn by_range(&self, range: IdRange) -> impl Iterator<Item = usize> {
        let from = self.ids.partition_point(|(id, _)| *id < range.first);
        let rest = self.ids.get(from..).unwrap_or_default();
        rest.iter()
            .take_while(move |(id, _)| *id <= range.last)
            .map(|(_, entry)| *entry)
    }

    fn by_text(&self, selector: &RuleSelector) -> &[usize] {
        let found = match selector {
            RuleSelector::Ids(_) => None,
            RuleSelector::Tag(tag) => self.tags.get(&tag.bytes),
            RuleSelector::Msg(message) => self.messages.get(&message.bytes),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// The entries that a selector means, each once, at most so many.
    fn entries(&self, selector: &RuleSelector, most: usize) -> Vec<usize> {
        let by_ids = match selector {
            RuleSelector::Ids(ranges) => ranges
                .iter()
                .flat_map(|range| self.by_range(*range))
                .take(most)
                .collect(),
            RuleSelector::Tag(_) | RuleSelector::Msg(_) => Vec::new(),
        };
        let mut entries = by_ids;
        entries.extend(self.by_text(selector).iter().take(most));
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    /// Whether a change means any rule.
    fn matches(&self, change: &Change<'_>) -> bool {
        match change.rules {
            Selected::Remove(selector) | Selected::Targets(selector, _) => self.matches_any(selector),
            Selected::Actions(update) => self.matches_any_id(one(update.id)),
        }
    }

    fn matches_any(&self, selector: &RuleSelector) -> bool {
        match selector {
            RuleSelector::Ids(ranges) => ranges.iter().any(|range| self.matches_any_id(*range)),
            RuleSelector::Tag(_) | RuleSelector::Msg(_) => !self.by_text(selector).is_empty(),
        }
    }

    fn matches_any_id(&self, range: IdRange) -> bool {
        self.by_range(range).next().is_some()
    }
}
