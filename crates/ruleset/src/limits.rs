//! `Limits`: how large RuleSets may be, alone, together in a namespace and in all.

use std::fmt;

use crate::compiled::Content;

/// The bounds that are enforced when a RuleSet is compiled, in bytes of payload (see [`Content::size`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One RuleSet's rules and data files.
    pub ruleset: u64,
    /// All RuleSets of a namespace together.
    pub namespace: u64,
    /// All RuleSets together.
    pub total: u64,
}

/// The default of `--max-ruleset-bytes`: ten times a whole Core Rule Set.
pub const DEFAULT_MAX_RULESET_BYTES: u64 = 8 << 20;
/// The default of `--max-namespace-bytes`: a tenant may have eight of the largest RuleSets.
pub const DEFAULT_MAX_NAMESPACE_BYTES: u64 = 64 << 20;
/// The default of `--max-total-bytes`: a thousand tenants with a Core Rule Set each.
pub const DEFAULT_MAX_TOTAL_BYTES: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self {
            ruleset: DEFAULT_MAX_RULESET_BYTES,
            namespace: DEFAULT_MAX_NAMESPACE_BYTES,
            total: DEFAULT_MAX_TOTAL_BYTES,
        }
    }
}

impl Limits {
    /// Whether `content` may be admitted beside the bytes that the *other* RuleSets of its namespace and of the cluster have.
    ///
    /// # Errors
    /// [`Oversized`] names the first bound that would be passed, with the numbers.
    pub fn admit(&self, content: &Content, others_in_namespace: u64, others_in_total: u64) -> Result<(), Oversized> {
        let size = u64::try_from(content.size()).unwrap_or(u64::MAX);
        for (scope, used, limit) in [
            (Scope::RuleSet, 0, self.ruleset),
            (Scope::Namespace, others_in_namespace, self.namespace),
            (Scope::Total, others_in_total, self.total),
        ] {
            if size.saturating_add(used) > limit {
                return Err(Oversized {
                    scope,
                    size,
                    used,
                    limit,
                });
            }
        }
        Ok(())
    }
}

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One RuleSet.
    RuleSet,
    /// All RuleSets of a namespace.
    Namespace,
    /// All RuleSets.
    Total,
}

/// A content that is too large, with the numbers that say by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Which limit.
    pub scope: Scope,
    /// The bytes of this RuleSet.
    pub size: u64,
    /// The bytes that other RuleSets already use of the limit.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scope,
            size,
            used,
            limit,
        } = self;
        match scope {
            Scope::RuleSet => write!(
                f,
                "rules and data files are {size} bytes, and one RuleSet may have {limit} (--max-ruleset-bytes)"
            ),
            Scope::Namespace => write!(
                f,
                "rules and data files are {size} bytes beside the {used} bytes of the namespace's other RuleSets, and a namespace may have {limit} (--max-namespace-bytes)"
            ),
            Scope::Total => write!(
                f,
                "rules and data files are {size} bytes beside the {used} bytes of all other RuleSets, and the cluster may have {limit} (--max-total-bytes)"
            ),
        }
    }
}

impl std::error::Error for Oversized {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiled::RulesText;

    fn rules(bytes: usize) -> Content {
        Content {
            rules: RulesText::new(["x".repeat(bytes).into()]),
            ..Content::default()
        }
    }

    #[test]
    fn a_limit_may_be_reached_but_not_passed() {
        let limits = Limits {
            ruleset: 10,
            namespace: 20,
            total: 30,
        };
        for (bytes, namespace, total, refused) in [
            (10, 10, 20, None),
            (0, 20, 30, None),
            (11, 0, 0, Some(Scope::RuleSet)),
            (10, 11, 11, Some(Scope::Namespace)),
            (10, 10, 21, Some(Scope::Total)),
            (1, u64::MAX, 0, Some(Scope::Namespace)),
        ] {
            let admitted = limits.admit(&rules(bytes), namespace, total);
            assert_eq!(
                admitted.err().map(|oversized| oversized.scope),
                refused,
                "{bytes} {namespace} {total}"
            );
        }
    }

    #[test]
    fn the_message_has_the_numbers_and_the_flag() {
        let limits = Limits {
            ruleset: 10,
            namespace: 20,
            total: 30,
        };
        let message = limits.admit(&rules(9), 15, 15).expect_err("too large").to_string();
        for part in ["9 bytes", "15 bytes", "20", "--max-namespace-bytes"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
