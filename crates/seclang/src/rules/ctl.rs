//! `ctl`: what a rule may change for the rest of its transaction. No IO.

use super::action::RuleId;
use super::setting::{AuditEngine, AuditParts, EngineMode};
use super::text::Text;
use super::variable::Target;
use crate::names::vocabulary;

vocabulary! {
    /// A `ctl` option, by name.
    CtlName {
        AuditEngine = "auditEngine", AuditLogParts = "auditLogParts", DebugLogLevel = "debugLogLevel",
        ForceRequestBodyVariable = "forceRequestBodyVariable", ForceResponseBodyVariable = "forceResponseBodyVariable",
        HashEnforcement = "hashEnforcement", HashEngine = "hashEngine", ParseXmlIntoArgs = "parseXmlIntoArgs",
        RequestBodyAccess = "requestBodyAccess", RequestBodyLimit = "requestBodyLimit",
        RequestBodyProcessor = "requestBodyProcessor", ResponseBodyAccess = "responseBodyAccess",
        ResponseBodyLimit = "responseBodyLimit", ResponseBodyProcessor = "responseBodyProcessor", RuleEngine = "ruleEngine",
        RuleRemoveById = "ruleRemoveById", RuleRemoveByMsg = "ruleRemoveByMsg", RuleRemoveByTag = "ruleRemoveByTag",
        RuleRemoveTargetById = "ruleRemoveTargetById", RuleRemoveTargetByMsg = "ruleRemoveTargetByMsg",
        RuleRemoveTargetByTag = "ruleRemoveTargetByTag",
    }
}

/// A `ctl` option with its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ctl {
    /// `auditEngine`.
    AuditEngine(AuditEngine),
    /// `auditLogParts`.
    AuditLogParts(PartsChange),
    /// `debugLogLevel`: 0 to 9.
    DebugLogLevel(u8),
    /// `forceRequestBodyVariable`.
    ForceRequestBodyVariable(bool),
    /// `forceResponseBodyVariable`.
    ForceResponseBodyVariable(bool),
    /// `requestBodyAccess`.
    RequestBodyAccess(bool),
    /// `requestBodyLimit`, bytes.
    RequestBodyLimit(u64),
    /// `requestBodyProcessor`.
    RequestBodyProcessor(BodyProcessor),
    /// `responseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `responseBodyLimit`, bytes.
    ResponseBodyLimit(u64),
    /// `responseBodyProcessor`.
    ResponseBodyProcessor(BodyProcessor),
    /// `ruleEngine`.
    RuleEngine(EngineMode),
    /// `ruleRemoveById`, `ruleRemoveByTag`, `ruleRemoveByMsg`.
    RuleRemove(RuleSelector),
    /// `ruleRemoveTargetById`, `ruleRemoveTargetByTag`, `ruleRemoveTargetByMsg`. The targets' mode is
    /// [`Values`](super::variable::TargetMode::Values).
    RuleRemoveTarget(RuleSelector, Box<[Target]>),
    /// Accepted without effect: `hashEngine`, `hashEnforcement`, `parseXmlIntoArgs`.
    NoEffect(CtlName),
}

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RuleSelector {
    /// By their numbers.
    Ids(Box<[IdRange]>),
    /// By one of their tags.
    Tag(Text),
    /// By their message, as written.
    Msg(Text),
}

/// Numbers of rules, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The first.
    pub first: RuleId,
    /// The last; not less than the first.
    pub last: RuleId,
}

impl IdRange {
    /// Whether the number is in it.
    pub fn contains(&self, id: RuleId) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

vocabulary! {
    /// What reads a body.
    BodyProcessor {
        UrlEncoded = "URLENCODED", Multipart = "MULTIPART", Xml = "XML", Json = "JSON", Raw = "RAW",
    }
}

/// A change of the parts of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PartsChange {
    /// These and no others.
    Set(AuditParts),
    /// These too (`+E`).
    Add(AuditParts),
    /// Not these (`-E`).
    Remove(AuditParts),
}
