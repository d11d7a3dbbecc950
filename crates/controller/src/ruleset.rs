//! RuleSets.

pub mod ledger;
pub mod report;
pub mod triggers;
