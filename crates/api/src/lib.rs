//! The custom resources of `waf.k8s.coraza.io/v1alpha1`: their types, their schemas, and the names that a user meets in them.
//!
//! The shape is the Go operator's, field by field, with additions to the status only: whatever that operator accepts is
//! accepted here and means the same. This crate does no IO and knows no client; `deploy/crds` is its schemas as YAML, written
//! by the program `crdgen`.
//!
//! A field that is absent is `None`; an object that is present and empty is `Some` of its defaults. The API server fills in
//! defaults itself, so they are in the schema and in the type: an object that was stored before a default existed reads the
//! same as one stored after.
#![allow(unreachable_pub, reason = "KubeSchema expands to public structs inside of functions")]
#![allow(clippy::duplicated_attributes, reason = "each print column has its own type_")]

pub mod condition;
pub mod engine;
pub mod gateway;
pub mod istio;
pub mod metadata;
pub mod ruledata;
pub mod ruleset;
pub mod rulesource;
pub mod schema;
pub mod status;

pub use engine::{Engine, EngineSpec, EngineStatus};
pub use ruledata::{RuleData, RuleDataSpec, RuleDataStatus};
pub use ruleset::{RuleSet, RuleSetSpec, RuleSetStatus};
pub use rulesource::{RuleSource, RuleSourceSpec, RuleSourceStatus};

/// The API group of the four kinds.
pub const GROUP: &str = "waf.k8s.coraza.io";
/// The only version, served and stored.
pub const VERSION: &str = "v1alpha1";
