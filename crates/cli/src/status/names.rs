//! Which Engines and RuleSets are meant by the names of the command line. Pure.

use std::collections::BTreeSet;

use coraza_api::{Engine, RuleSet};
use kube::ResourceExt as _;

use crate::status::follow::Objects;

/// A name that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an Engine or a RuleSet: say engine/NAME, ruleset/NAME or NAME")]
pub(crate) struct InvalidName(String);

/// A kind that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Engine,
    RuleSet,
}

/// The names; none mean everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<(Option<Kind>, String)>);

impl Names {
    /// Reads names as kubectl's users write them, with the kinds' plurals and short names.
    pub(crate) fn parse(names: &[String]) -> Result<Self, InvalidName> {
        let parse = |text: &String| match text.split_once('/') {
            None if !text.is_empty() => Ok((None, text.clone())),
            Some((kind, name)) if !name.is_empty() && !name.contains('/') => {
                let kind = match kind.to_ascii_lowercase().as_str() {
                    "engine" | "engines" | "wafeng" | "engines.waf.k8s.coraza.io" => Kind::Engine,
                    "ruleset" | "rulesets" | "wafrs" | "rulesets.waf.k8s.coraza.io" => Kind::RuleSet,
                    _ => return Err(InvalidName(text.clone())),
                };
                Ok((Some(kind), name.to_owned()))
            }
            _ => Err(InvalidName(text.clone())),
        };
        names.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn name(&self, kind: Kind, name: &str) -> bool {
        self.0
            .iter()
            .any(|(wanted, candidate)| candidate == name && wanted.is_none_or(|wanted| wanted == kind))
    }

    /// Those that are meant: with an Engine its RuleSet, without which it can't be understood.
    pub(crate) fn select<'a>(&self, objects: &'a Objects) -> (Vec<&'a Engine>, Vec<&'a RuleSet>) {
        if self.0.is_empty() {
            return (objects.engines.values().collect(), objects.rule_sets.values().collect());
        }
        let engines: Vec<&Engine> = objects
            .engines
            .values()
            .filter(|engine| self.name(Kind::Engine, &engine.name_any()))
            .collect();
        let named: BTreeSet<&str> = engines
            .iter()
            .map(|engine| engine.spec.rule_set.name.as_str())
            .collect();
        let meant = |rule_set: &&RuleSet| {
            let name = rule_set.name_any();
            named.contains(name.as_str()) || self.name(Kind::RuleSet, &name)
        };
        (engines, objects.rule_sets.values().filter(meant).collect())
    }

    /// The names that nobody has.
    pub(crate) fn missing(&self, objects: &Objects) -> Vec<String> {
        let has = |kind: Kind, name: &str| match kind {
            Kind::Engine => objects.engines.values().any(|engine| engine.name_any() == name),
            Kind::RuleSet => objects.rule_sets.values().any(|rule_set| rule_set.name_any() == name),
        };
        let missing = self.0.iter().filter(|(kind, name)| match kind {
            Some(kind) => !has(*kind, name),
            None => !has(Kind::Engine, name) && !has(Kind::RuleSet, name),
        });
        let written = missing.map(|(kind, name)| match kind {
            Some(Kind::Engine) => format!("engine/{name}"),
            Some(Kind::RuleSet) => format!("ruleset/{name}"),
            None => name.clone(),
        });
        written.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_kubectl_s_users_write_them() {
        let parse = |name: &str| Names::parse(&[name.to_owned()]);
        for (name, kind) in [
            ("waf", None),
            ("engine/waf", Some(Kind::Engine)),
            ("Engines/waf", Some(Kind::Engine)),
            ("wafrs/waf", Some(Kind::RuleSet)),
        ] {
            assert_eq!(parse(name), Ok(Names(vec![(kind, "waf".to_owned())])), "{name}");
        }
        for name in ["", "engine/", "pod/waf", "a/b/c"] {
            assert_eq!(parse(name), Err(InvalidName(name.to_owned())));
        }
    }
}
