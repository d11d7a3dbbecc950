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
//! use coraza_engine::{Options, Program, Source, Transaction};
//!
//! let text = br#"SecRule ARGS "@detectSQLi" "id:1,phase:2,deny,status:403,msg:'SQL injection'""#;
//! let rules = Source::new("rules.conf", text);
//! let program = Arc::new(Program::from_sources(&[rules], &Options::default())?);
//!
//! let transaction = Transaction::new(&program, &Connection::default(), &Identity::default());
//! let line = RequestLine { method: b"GET", uri: b"/?id=1'+or+'1'='1", protocol: b"HTTP/1.1" };
//! let headers = [(&b"Host"[..], &b"example.com"[..])];
//! let request = transaction.request_headers(&line, headers).expect("no rule of phase 1");
//! let interrupted = request.request_body().expect_err("an attack");
//!
//! assert_eq!(interrupted.interruption.status, 403);
//! let report = interrupted.transaction.log();
//! assert!(report.error_log().next().is_some_and(|(_, line)| line.contains("[msg \"SQL injection\"]")));
//! # Ok::<(), coraza_engine::RulesError>(())
//! ```
//!
//! # How a transaction goes
//!
//! Each call takes the transaction and gives it back in its next state, or with what interrupts it, so that phases can't be called
//! out of order or after an interruption:
//!
//! | state | takes | phase | then |
//! |---|---|---|---|
//! | [`Connected`](transaction::states::Connected) | the request's line and headers | 1 | `RequestBody` |
//! | [`RequestBody`](transaction::states::RequestBody) | pieces of the body, if it [wants](Transaction::wants_body) them; its end | 2 | `ResponseHeaders` |
//! | [`ResponseHeaders`](transaction::states::ResponseHeaders) | the response's status and headers | 3 | `ResponseBody` |
//! | [`ResponseBody`](transaction::states::ResponseBody) | pieces of the body, if it wants them; its end | 4 | `Logging` |
//! | [`Logging`](transaction::states::Logging) | nothing | 5 | a [`Report`](transaction::Report) |
//!
//! An interruption gives the transaction in its last state, and [`end`](Transaction::end) does from any: whatever happened is to be
//! logged. An [`Interruption`] says what to do (deny, drop, redirect), with which status, and why: a rule, or a limit.
//!
//! # What it costs
//!
//! A [`Program`] is immutable and shared by all threads. Whoever serves requests on the thread that compiles takes a
//! [`ProgramBuilder`], which compiles in steps, and gives it the program before, whose patterns are taken over. The work of a
//! transaction is counted in bytes that are looked at, and bounded: the same request has the same verdict on every machine.
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
mod plan;
mod program;
pub mod transaction;
pub mod transformations;
mod variables;

pub use anomaly::AnomalyScores;
pub use error_log::Origin;
pub use event::MatchedRule;
pub use interruption::{Cause, Disruption, Interruption};
pub use program::{
    BodySettings, DataFiles, Evaluation, Options, Program, ProgramBuilder, RulesError, Settings, Source,
};
pub use transaction::Transaction;

/// The rule language, whose rules, phases and severities are part of this interface.
pub use coraza_seclang as seclang;

#[cfg(test)]
mod testdata;
