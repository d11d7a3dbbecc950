//! The WAF engine. So far:
//!
//! - [`body`]: what a query, cookies and a body of any kind say;
//! - [`detect`]: SQL injection and cross-site scripting;
//! - [`operators`]: comparisons of a value with an argument;
//! - [`pattern`]: what the compiler needs to accept or refuse a rule's regular expression;
//! - [`transformations`]: what a value goes through before an operator sees it.
//!
//! No IO, no clock, no threads: the same crate runs in the controller, in the command line and as WebAssembly in Envoy.

pub mod body;
pub mod detect;
pub mod operators;
pub mod pattern;
pub mod transformations;

#[cfg(test)]
mod testdata;
