//! Rules that aren't as they were written, since other directives change them. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use coraza_engine::seclang::rules::{ActionName, Change, Definition, IdRange, RuleId, RuleSelector, Value, Variable};
use coraza_engine::seclang::{DirectiveKind, Parsed};

/// How many are told one by one, since each is a metric of its own.
const MOST: usize = 200;
/// What the Core Rule Set blocks at.
const THRESHOLDS: [&[u8]; 2] = [b"inbound_anomaly_score_threshold", b"outbound_anomaly_score_threshold"];

/// A rule that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Override {
    /// Its number.
    pub rule: u64,
    /// `disabled` (by number or message), `tag_removed`, `action_changed`, or `threshold_changed`: it is an action that sets at which score
    /// the Core Rule Set blocks.
    pub kind: &'static str,
}

/// What the first [`MOST`] directives that do so change, at most [`MOST`]. What they name and isn't there is none.
pub(super) fn of(sources: &[Arc<Parsed>]) -> Vec<Override> {
    let rules: Vec<_> = sources.iter().flat_map(|source| rules(source)).collect();
    let directives = sources.iter().flat_map(|source| &source.directives);
    let mut changed = BTreeSet::new();
    for directive in directives.filter(|directive| changes_rules(&directive.kind)).take(MOST) {
        changed.extend(changes(&directive.kind, &rules));
    }
    changed.into_iter().take(MOST).collect()
}

/// Rules that have a number.
fn rules(source: &Parsed) -> impl Iterator<Item = (RuleId, &Definition)> {
    source.directives.iter().filter_map(|directive| match &directive.kind {
        DirectiveKind::Rule(definition) => Some((definition.actions.id()?, &**definition)),
        _ => None,
    })
}

/// Which rules a directive means.
type IsMeant<'a> = Box<dyn Fn(RuleId, &Definition) -> bool + 'a>;

fn changes_rules(directive: &DirectiveKind) -> bool {
    match directive {
        DirectiveKind::Remove(_) | DirectiveKind::UpdateActions(_) => true,
        DirectiveKind::Rule(definition) => sets_threshold(definition),
        _ => false,
    }
}

fn changes(directive: &DirectiveKind, rules: &[(RuleId, &Definition)]) -> Vec<Override> {
    let (kind, is_meant): (_, IsMeant<'_>) = match directive {
        DirectiveKind::Remove(RuleSelector::Ids(ranges)) => ("disabled", Box::new(|id, _| is_in(ranges, id))),
        DirectiveKind::Remove(RuleSelector::Msg(message)) => (
            "disabled",
            Box::new(|_, rule| rule.actions.msg().is_some_and(|own| own.text.bytes == message.bytes)),
        ),
        DirectiveKind::Remove(RuleSelector::Tag(tag)) => (
            "tag_removed",
            Box::new(|_, rule| rule.actions.tags().any(|own| own.text.bytes == tag.bytes)),
        ),
        DirectiveKind::UpdateActions(update) => ("action_changed", Box::new(|id, _| id == update.id)),
        DirectiveKind::Rule(definition) => {
            let own = definition.actions.id();
            ("threshold_changed", Box::new(move |id, _| Some(id) == own))
        }
        _ => return Vec::new(),
    };
    let meant = rules.iter().filter(|(id, rule)| is_meant(*id, rule));
    meant.map(|(RuleId(rule), _)| Override { rule: *rule, kind }).collect()
}

fn is_in(ranges: &[IdRange], id: RuleId) -> bool {
    ranges.iter().any(|range| range.contains(id))
}

/// Whether an action sets a threshold, whatever the request. The Core Rule Set's own defaults are rules with a condition.
fn sets_threshold(definition: &Definition) -> bool {
    let set = |value: &Value| match value {
        Value::SetVar(set) if set.collection == Variable::Tx && matches!(set.change, Change::Set(_)) => THRESHOLDS
            .iter()
            .any(|name| set.key.text.bytes.eq_ignore_ascii_case(name)),
        _ => false,
    };
    let mut actions = definition.actions.0.iter();
    definition.operator.is_none() && actions.any(|action| action.name == ActionName::SetVar && set(&action.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_engine::seclang::parse;

    #[test]
    fn what_is_changed_is_told_by_how() {
        let rules = "SecRule ARGS \"@rx a\" \"id:1,phase:2,deny,msg:'one',tag:'t/a'\"\n\
                     SecRule ARGS \"@rx b\" \"id:2,phase:2,deny,msg:'two',tag:'t/b'\"\n\
                     SecRule ARGS \"@rx c\" \"id:3,phase:2,deny,msg:'three',tag:'t/b'\"\n\
                     SecRule &TX:inbound_anomaly_score_threshold \"@eq 0\" \"id:4,phase:1,pass,setvar:'tx.inbound_anomaly_score_threshold=5'\"\n";
        for (directive, expected) in [
            ("SecRuleRemoveById 7", &[][..]),
            (
                "SecRuleRemoveById 2-9 1",
                &[(1, "disabled"), (2, "disabled"), (3, "disabled"), (4, "disabled")],
            ),
            ("SecRuleRemoveByMsg two", &[(2, "disabled")]),
            ("SecRuleRemoveByTag t/b", &[(2, "tag_removed"), (3, "tag_removed")]),
            ("SecRuleUpdateActionById 3 pass", &[(3, "action_changed")]),
            ("SecRuleUpdateActionById 8 pass", &[]),
            (
                "SecAction \"id:900110,phase:1,pass,setvar:tx.Inbound_Anomaly_Score_Threshold=10\"",
                &[(900_110, "threshold_changed")],
            ),
            ("SecAction \"id:900110,phase:1,pass,setvar:tx.other=10\"", &[]),
        ] {
            // In a source of its own, and before what it changes.
            let sources = [directive, rules].map(|text| Arc::new(parse(text.as_bytes())));
            let found: Vec<_> = of(&sources).iter().map(|one| (one.rule, one.kind)).collect();
            assert_eq!(found, expected, "{directive}");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let rules: String = (1..=500)
            .map(|id| format!("SecAction \"id:{id},phase:1,pass\"\n"))
            .collect();
        let sources = [Arc::new(parse(format!("{rules}SecRuleRemoveById 1-500\n").as_bytes()))];
        assert_eq!(of(&sources).len(), MOST);
    }
}
