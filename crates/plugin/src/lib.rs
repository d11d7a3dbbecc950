//! The WAF in Envoy: a proxy-wasm filter that polls a cache for rules and runs the engine on requests and responses.
//!
//! - [`host`]: what Envoy offers, as a trait; the calls themselves are in one file below it;
//! - [`plugin`]: the callbacks, and whom each is for;
//! - [`root`], [`config`]: a configuration;
//! - [`slot`]: the rules of a RuleSet in this VM, over [`poll`] (when to ask for what), [`shared`] (what the workers of a pod tell
//!   each other) and [`load`] (from text to a program);
//! - [`http`]: a request and its response, phase by phase;
//! - [`metrics`], [`log`], [`limiter`]: what operators see.
//!
//! Built for `wasm32-wasip1` by `cargo xtask plugin`. Natively it is the same code behind a host that tests make.
//!
//! Nothing here may panic: a trap costs a worker its VM. All memory that input can ask for is bounded.

pub mod config;
pub mod host;
pub mod http;
pub mod limiter;
pub mod load;
pub mod log;
pub mod metrics;
pub mod plugin;
pub mod poll;
pub mod revision;
pub mod root;
pub mod shared;
pub mod site;
pub mod slot;
#[cfg(feature = "test-trap")]
mod trap;
