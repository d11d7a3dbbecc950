//! `Profile`: what runs the rules, and which rules of the Core Rule Set it can't run.

use std::fmt;
use std::str::FromStr;

/// Which plugin the gateways run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// This project's plugin, which runs every rule that compiles.
    #[default]
    Native,
    /// The Go plugin as a Wasm module.
    Wasm,
}

impl Profile {
    /// Its name, as flags have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Wasm => "wasm",
        }
    }

    /// What is known against rule `id`, if anything.
    #[must_use]
    pub fn unsupported(self, id: u64) -> Option<UnsupportedRule> {
        self.groups()
            .iter()
            .find(|group| group.ids.contains(&id))
            .map(|group| group.rule(id))
    }

    /// All rules that it can't run, by number.
    #[must_use]
    pub fn all_unsupported(self) -> Vec<UnsupportedRule> {
        let mut rules: Vec<_> = self
            .groups()
            .iter()
            .flat_map(|group| group.ids.iter().map(|id| group.rule(*id)))
            .collect();
        rules.sort_by_key(|rule| rule.id);
        rules
    }

    const fn groups(self) -> &'static [Group] {
        match self {
            Self::Native => &[],
            Self::Wasm => WASM,
        }
    }

    /// What to tell a person about these rules: how many, each on a line of its own, and what can be done.
    #[must_use]
    pub fn message(self, unsupported: &[UnsupportedRule]) -> String {
        let lines = unsupported
            .iter()
            .map(|rule| format!("\n  - {rule}"))
            .collect::<String>();
        format!(
            "{} of the rules don't work with engine profile {self}:{lines}\nremove them with SecRuleRemoveById, or annotate the RuleSet with waf.k8s.coraza.io/skip-unsupported-rules-check=true to serve them all the same",
            unsupported.len()
        )
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let named = |profile: &Self| profile.as_str().eq_ignore_ascii_case(text.trim());
        [Self::Native, Self::Wasm].into_iter().find(named).ok_or(UnknownProfile)
    }
}

/// A text that names no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine profile is native or wasm")]
pub struct UnknownProfile;

/// A rule of the Core Rule Set that a plugin can't run, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedRule {
    /// The rule's number.
    pub id: u64,
    /// How bad that is.
    pub tier: Tier,
    /// What the rule is about.
    pub category: &'static str,
    /// What goes wrong.
    pub description: &'static str,
}

impl fmt::Display for UnsupportedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({}): {}", self.id, self.category, self.description)
    }
}

/// What becomes of what an unsupported rule should have caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// It gets through, or harmless requests are caught.
    Incompatible,
    /// The proxy has dealt with it before the rule could.
    Redundant,
}

/// Rules that share their trouble.
struct Group {
    tier: Tier,
    category: &'static str,
    description: &'static str,
    ids: &'static [u64],
}

impl Group {
    const fn rule(&self, id: u64) -> UnsupportedRule {
        UnsupportedRule {
            id,
            tier: self.tier,
            category: self.category,
            description: self.description,
        }
    }
}

const fn incompatible(category: &'static str, description: &'static str, ids: &'static [u64]) -> Group {
    Group {
        tier: Tier::Incompatible,
        category,
        description,
        ids,
    }
}

const fn redundant(category: &'static str, description: &'static str, ids: &'static [u64]) -> Group {
    Group {
        tier: Tier::Redundant,
        category,
        description,
        ids,
    }
}

/// The 37 rules that the Go operator refuses for its plugin, as of CRS 4.24.1.
const WASM: &[Group] = &[
    incompatible(
        "GET/HEAD body detection",
        "the plugin doesn't see the body of a GET or HEAD request",
        &[920171],
    ),
    incompatible(
        "protocol version detection",
        "the plugin doesn't see an invalid HTTP version",
        &[920430],
    ),
    incompatible(
        "PL4 false positives",
        "the plugin adds :path and its like to the headers, which this rule then refuses",
        &[920274],
    ),
    incompatible(
        "multipart charset detection",
        "the charset of multipart parts isn't seen behind Envoy",
        &[922110],
    ),
    incompatible(
        "multiphase evaluation",
        "it misses when variables are evaluated in an earlier phase",
        &[932300, 933120],
    ),
    incompatible(
        "enclosed alphanumerics HTTP/2",
        "enclosed alphanumerics aren't found in HTTP/2 requests",
        &[934120],
    ),
    incompatible(
        "under investigation",
        "another layer blocks such requests before the rule",
        &[920270, 921140],
    ),
    incompatible("under investigation", "$Version in a cookie isn't matched", &[921250]),
    incompatible("under investigation", "what the pattern matches differs", &[922130]),
    incompatible("under investigation", "an earlier rule matches in its place", &[932200]),
    incompatible(
        "under investigation",
        "HTML entities aren't decoded as its transformations ask",
        &[941210],
    ),
    incompatible(
        "under investigation",
        "serialised Java objects aren't recognised",
        &[944200],
    ),
    incompatible(
        "under investigation",
        "its result isn't stable when a request is retried",
        &[959100, 980170],
    ),
    redundant(
        "HTTP method handling",
        "Envoy answers some such requests itself",
        &[911100, 920100, 949110],
    ),
    redundant(
        "protocol enforcement",
        "Envoy enforces this part of the protocol",
        &[920181, 920210],
    ),
    redundant(
        "HTTP/2 normalization",
        "Envoy normalises these headers for HTTP/2",
        &[920280, 920290, 920300, 920310, 920311, 920320, 920330, 920610],
    ),
    redundant(
        "header sanitization",
        "Envoy removes such header values",
        &[932161, 932207, 932237, 932239, 941101, 941110, 941120, 942280],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wasm_profile_has_the_37_rules_and_native_none() {
        let ids: Vec<_> = Profile::Wasm.all_unsupported().iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), 37);
        assert!(ids.is_sorted_by(|a, b| a < b), "each id once: {ids:?}");
        let incompatible = Profile::Wasm
            .all_unsupported()
            .iter()
            .filter(|rule| rule.tier == Tier::Incompatible)
            .count();
        assert_eq!(incompatible, 16);
        assert!(Profile::Native.all_unsupported().is_empty());
        assert_eq!(Profile::Native.unsupported(949110), None);
    }

    #[test]
    fn a_profile_is_read_as_flags_are_written() {
        for (text, profile) in [
            ("native", Ok(Profile::Native)),
            (" WASM ", Ok(Profile::Wasm)),
            ("go", Err(UnknownProfile)),
            ("", Err(UnknownProfile)),
        ] {
            assert_eq!(text.parse(), profile, "{text:?}");
        }
    }

    #[test]
    fn the_message_names_each_rule_and_the_way_out() {
        let rules: Vec<_> = [949110, 920171]
            .into_iter()
            .filter_map(|id| Profile::Wasm.unsupported(id))
            .collect();
        let message = Profile::Wasm.message(&rules);
        for part in [
            "2 of the rules",
            "\n  - rule 949110 (HTTP method handling): ",
            "\n  - rule 920171 (",
            "SecRuleRemoveById",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
