//! The controller: watches the custom resources, compiles RuleSets, publishes them to the caches, makes Istio run them for each Engine,
//! and says in each object's status how it went.

pub mod app;
pub mod args;
pub mod caches;
pub mod certificates;
pub mod client;
pub mod context;
pub mod engine;
pub mod istio;
pub mod kubernetes;
pub mod lease;
pub mod metrics;
pub mod publish;
pub mod queue;
pub mod report;
pub mod ruledata;
pub mod ruleset;
pub mod rulesource;
pub mod status;
pub mod unreadable;
pub mod watch;
pub mod worker;
