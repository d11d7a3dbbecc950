//! SecLang, the rule language of ModSecurity and Coraza: text to syntax tree to typed rules, with located diagnostics.
//!
//! - [`parse`] reads one source and judges each directive alone. What it gives depends on nothing else, so it can be kept per
//!   content and shared.
//! - [`lower`] puts several parsed sources, in order, together: chains, default actions, updates and removals.
//! - [`render`] shows a diagnostic to a person.
//!
//! All input is bytes, hostile until proven otherwise: nothing recurses without bound, and the work is linear in the length of
//! the text. No IO, no clock.

pub mod ast;
mod error;
pub mod lexer;
mod lower;
mod names;
mod parser;
pub mod print;
pub mod rules;
pub mod span;
mod typed;

pub use error::{Diagnostic, Kind, MAX_DIAGNOSTICS, Severity, SourceDiagnostic, render};
pub use lower::lower;
pub use parser::{Parsed, parse};
pub use print::reprint;
pub use rules::{Directive, DirectiveKind, Entry, Rule, Rules};
pub use span::{LineColumn, LineIndex, Location, SourceId, Span};
