//! Tests of rules in the format of go-ftw, the runner of the Core Rule Set, run by the WAF engine in process.
//!
//! - [`yaml::read`] reads a file of tests;
//! - [`complete`] makes what the runner would send of what a test says;
//! - [`backend`] answers as the runner's web server (albedo) does;
//! - [`judge`] runs a test and says how its outcome differs from what is expected.
//!
//! The format: <https://github.com/coreruleset/ftw-tests-schema>. No IO, no clock.

pub mod backend;
pub mod case;
pub mod complete;
pub mod judge;
pub mod yaml;

pub use case::{Case, Expected, Request, Response, Stage};
pub use judge::{Scope, judge};
