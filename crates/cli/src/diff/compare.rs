//! Which rules two RuleSets differ in, and in what. No IO.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facets::Facets;

/// The rules that differ, each list by number.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    pub(super) added: Vec<Listed>,
    pub(super) removed: Vec<Listed>,
    pub(super) changed: Vec<Changed>,
    /// How many are the same.
    pub(super) same: usize,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A rule that only one of them has.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) id: u64,
    place: String,
    phase: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paranoia_level: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

impl Listed {
    fn new(id: u64, facets: &Facets) -> Self {
        Self {
            id,
            place: facets.place.clone(),
            phase: facets.phase,
            severity: facets.severity,
            paranoia_level: facets.paranoia_level.clone(),
            message: facets.message.clone(),
        }
    }

    /// Where it stands and how much it weighs, in a line.
    pub(super) fn about(&self) -> String {
        let level = self
            .paranoia_level
            .as_ref()
            .map(|level| format!(", paranoia level {level}"));
        let severity = self.severity.map(|severity| format!(", {severity}"));
        format!(
            "{}, phase {}{}{}",
            self.place,
            self.phase,
            level.unwrap_or_default(),
            severity.unwrap_or_default()
        )
    }
}

/// A rule that both have.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    pub(super) id: u64,
    pub(super) old_place: String,
    pub(super) new_place: String,
    pub(super) changes: Vec<Change>,
}

/// In what it differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) what: &'static str,
    /// What only the old one says.
    pub(super) removed: Vec<String>,
    /// What only the new one says.
    pub(super) added: Vec<String>,
}

/// Compares rules by their numbers.
pub(super) fn compare(old: &BTreeMap<u64, Facets>, new: &BTreeMap<u64, Facets>) -> Difference {
    let only = |rules: &BTreeMap<u64, Facets>, others: &BTreeMap<u64, Facets>| {
        let own = rules.iter().filter(|(id, _)| !others.contains_key(id));
        own.map(|(id, facets)| Listed::new(*id, facets)).collect()
    };
    let mut difference = Difference {
        added: only(new, old),
        removed: only(old, new),
        ..Difference::default()
    };
    for (id, old) in old {
        let Some(new) = new.get(id) else { continue };
        let changes = changes(old, new);
        if changes.is_empty() {
            difference.same += 1;
        } else {
            difference.changed.push(Changed {
                id: *id,
                old_place: old.place.clone(),
                new_place: new.place.clone(),
                changes,
            });
        }
    }
    difference
}

fn changes(old: &Facets, new: &Facets) -> Vec<Change> {
    // All but where it stands.
    let Facets {
        place: _,
        phase,
        severity,
        paranoia_level,
        message,
        chain,
        targets,
        operators,
        transformations,
        tags,
        actions,
    } = old;
    let one = |what, old: String, new: String| list(what, &[old], &[new]);
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let changes = [
        one("phase", phase.to_string(), new.phase.to_string()),
        one(
            "paranoia level",
            or_none(paranoia_level.as_deref()),
            or_none(new.paranoia_level.as_deref()),
        ),
        one("severity", or_none(*severity), or_none(new.severity)),
        one("rules in the chain", chain.to_string(), new.chain.to_string()),
        list("targets", targets, &new.targets),
        list("operator", operators, &new.operators),
        list("transformations", transformations, &new.transformations),
        list("actions", actions, &new.actions),
        list("tags", tags, &new.tags),
        one("message", message.clone(), new.message.clone()),
    ];
    changes.into_iter().flatten().collect()
}

/// The elements that only one list has; if there are none and the order differs, the lists.
fn list(what: &'static str, old: &[String], new: &[String]) -> Option<Change> {
    if old == new {
        return None;
    }
    let (removed, added) = (without(old, new), without(new, old));
    let same_elements = removed.is_empty() && added.is_empty();
    let joined = |list: &[String]| vec![list.join(",")];
    Some(Change {
        what,
        removed: if same_elements { joined(old) } else { removed },
        added: if same_elements { joined(new) } else { added },
    })
}

/// The elements of a list that the other one hasn't, each as often as it has it more.
fn without(list: &[String], other: &[String]) -> Vec<String> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for text in other {
        *left.entry(text).or_default() += 1;
    }
    let is_new = |text: &&String| match left.get_mut(text.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    let mut is_new = is_new;
    list.iter().filter(|text| is_new(text)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_differ_by_elements_or_by_order() {
        let texts = |texts: &str| texts.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (old, new, expected) in [
            ("a b", "a b", None),
            ("a b", "b c c", Some(("a", "c c"))),
            ("a a", "a", Some(("a", ""))),
            ("a b", "b a", Some(("a,b", "b,a"))),
            ("", "a", Some(("", "a"))),
        ] {
            let change = list("x", &texts(old), &texts(new));
            let change = change.map(|change| (change.removed.join(" "), change.added.join(" ")));
            let expected = expected.map(|(removed, added)| (removed.to_owned(), added.to_owned()));
            assert_eq!(change, expected, "{old} to {new}");
        }
    }
}
