//! The WAF engine: ModSecurity's language over the bytes of requests and responses.
//!
//! - [`Program`]: the rules of a rule set, compiled;
//! - [`Transaction`]: a request and its response on their way through the rules, phase by phase;
//! - [`body`]: what a query, cookies and a body of any kind say;
//! - [`transformations`]: what a value goes through before an operator sees it;
//! - [`operators`], [`pattern`] and [`detect`]: comparisons of a value with an argument, regular expressions, SQL injection and
//!   cross-site scripting.
//!
//! ```
//! use std::sync::Arc;
//!
//! use coraza_engine::transaction::{Connection, Identity, RequestLine};
//! use coraza_engine::{Options, Program, Transaction};
//! use coraza_seclang::{lower, parse};
//!
//! let source = br#"SecRule ARGS "@detectSQLi" "id:1,phase:1,deny,status:403,msg:'SQL injection'""#;
//! let (rules, _) = lower(&[Arc::new(parse(source))]);
//! let program = Arc::new(Program::compile(&rules, &Options::default()).unwrap());
//!
//! let transaction = Transaction::new(&program, &Connection::default(), &Identity::default());
//! let line = RequestLine { method: b"GET", uri: b"/?id=1'+or+'1'='1", protocol: b"HTTP/1.1" };
//! let headers = [(&b"Host"[..], &b"example.com"[..])];
//! let interrupted = transaction.request_headers(&line, headers).unwrap_err();
//! assert_eq!(interrupted.interruption.status, 403);
//! assert_eq!(interrupted.transaction.log().matched[0].message, "SQL injection");
//! ```
//!
//! No IO, no clock, no threads: the same crate runs in the controller, in the command line and as WebAssembly in Envoy.

mod actions;
mod anomaly;
mod audit;
pub mod body;
mod collection;
pub mod detect;
mod error_log;
mod event;
mod interruption;
pub mod operators;
pub mod pattern;
mod program;
pub mod transaction;
pub mod transformations;
mod variables;

pub use anomaly::AnomalyScores;
pub use error_log::Origin;
pub use event::MatchedRule;
pub use interruption::{Cause, Disruption, Interruption};
pub use program::{BodySettings, DataFiles, Options, Program, ProgramBuilder, Settings, Source};
pub use transaction::Transaction;

/// The rule language, whose rules, phases and severities are part of this interface.
pub use coraza_seclang as seclang;

#[cfg(test)]
mod testdata;
