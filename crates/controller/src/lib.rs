//! The controller: watches the custom resources, compiles RuleSets, publishes them to the caches and says in each object's status
//! how it went.

pub mod args;
pub mod lease;
pub mod metrics;
pub mod publish;
pub mod queue;
pub mod ruleset;
pub mod status;
pub mod watch;
