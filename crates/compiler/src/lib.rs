//! From resolved sources to a compiled RuleSet: read, put together, check, give a digest. No IO, no clock.
//!
//! [`Compiler::compile`] is the whole of it. What it finds wrong is a [`CompileError`] with every finding located in the
//! RuleSource that it is in. Parsed sources and verdicts on patterns are remembered by content, so that the edit of one source
//! costs that source only.

mod aggregate;
mod analysis;
mod bounds;
mod check;
mod compile;
mod diagnostic;
mod error;
mod memo;
mod pattern;
mod profile;
mod resolved;
mod source;

pub use bounds::Bounds;
pub use compile::{Compilation, Compiler, Options};
pub use diagnostic::{Diagnostics, LocatedDiagnostic, MAX_DIAGNOSTICS, MAX_MESSAGE_BYTES};
pub use error::CompileError;
pub use memo::Statistics;
pub use profile::{Profile, Tier, UnknownProfile, UnsupportedRule};
pub use resolved::ResolvedRuleSet;
pub use source::{ResolvedSource, Validation, data_file};

pub use coraza_seclang::Severity;
