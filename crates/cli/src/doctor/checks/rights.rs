//! Whether the operator's ServiceAccounts may do what they must.

use std::collections::BTreeMap;

use crate::doctor::checks::{about_the_operator, known};
use crate::doctor::facts::Facts;
use crate::doctor::finding::{Checked, Finding};

/// How many rights that are missing are named.
const MAX_NAMED: usize = 5;

/// The rights that are missing, by ServiceAccount.
pub(super) fn of_the_operator(facts: &Facts) -> Checked {
    about_the_operator("Rights of the operator", facts, |operator| {
        let mut findings = Vec::new();
        let lacking = known(
            &operator.lacking_rights,
            "the rights of the operator's ServiceAccounts can't be reviewed",
            &mut findings,
        );
        let mut accounts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (account, right) in lacking.into_iter().flatten() {
            accounts.entry(account).or_default().push(right);
        }
        for (account, rights) in accounts {
            let more = match rights.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let named = rights.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join("; ");
            findings.push(Finding::problem(
                format!("ServiceAccount {}/{account} lacks rights", operator.namespace),
                format!("it may not {named}{more}"),
                "helm upgrade with rbac.create=true, or kubectl apply -f deploy/rbac.yaml",
            ));
        }
        ("controller and cache".to_owned(), findings)
    })
}
