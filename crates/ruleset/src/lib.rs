//! The values that every other crate speaks about: which RuleSet, which content, which revision of it.
//!
//! No IO, no clock, no wire format. The controller makes these values, the distribution protocol carries them
//! and the cache serves them; none of the three needs to know another to do so.

pub mod compiled;
pub mod grant;
pub mod key;
pub mod limits;
pub mod poller;
pub mod revision;
pub mod timestamp;

pub use compiled::{CompiledRuleSet, Content, DataFiles, RulesText, SourceLines};
pub use grant::{EngineKey, Grant, InvalidEngine, TokenDigest};
pub use key::{InvalidKey, RuleSetKey};
pub use limits::{Limits, Oversized};
pub use poller::{InvalidRevisionTag, PollerId, RevisionTag, Running};
pub use revision::{Digest, InvalidDigest, Revision};
pub use timestamp::{InvalidTimestamp, Timestamp};
