//! The cache: subscribe, store, http. It holds the latest revision of each RuleSet and serves it to whoever may read it.
//!
//! It knows RuleSets by key and content only and never sees a custom resource: a change of those can't rebuild or redeploy it.

pub mod app;
pub mod args;
pub mod auth;
pub mod http;
pub mod metrics;
pub mod plugin;
pub mod pollers;
pub mod store;
pub mod subscribe;

pub use store::{Applied, Store, StoreUpdate};
