//! The WAF engine. So far its [`pattern`] module: what the compiler needs to accept or refuse a rule's regular expression.
//!
//! No IO, no clock, no threads: the same crate runs in the controller, in the command line and as WebAssembly in Envoy.

pub mod pattern;
