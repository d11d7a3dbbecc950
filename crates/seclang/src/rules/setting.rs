//! Directives that configure the engine rather than add a rule. No IO.

use super::text::Text;
use crate::names::vocabulary;

/// A configuration directive with its value. Of several, the last one counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// `SecRuleEngine`.
    RuleEngine(EngineMode),
    /// `SecRequestBodyAccess`.
    RequestBodyAccess(bool),
    /// `SecRequestBodyLimit`, bytes.
    RequestBodyLimit(u64),
    /// `SecRequestBodyInMemoryLimit`, bytes.
    RequestBodyInMemoryLimit(u64),
    /// `SecRequestBodyNoFilesLimit`, bytes.
    RequestBodyNoFilesLimit(u64),
    /// `SecRequestBodyLimitAction`.
    RequestBodyLimitAction(LimitAction),
    /// `SecRequestBodyJsonDepthLimit`.
    RequestBodyJsonDepthLimit(u64),
    /// `SecArgumentsLimit`.
    ArgumentsLimit(u64),
    /// `SecArgumentSeparator`: the byte between two arguments.
    ArgumentSeparator(u8),
    /// `SecResponseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `SecResponseBodyLimit`, bytes.
    ResponseBodyLimit(u64),
    /// `SecResponseBodyLimitAction`.
    ResponseBodyLimitAction(LimitAction),
    /// `SecResponseBodyMimeType`: added to those before.
    ResponseBodyMimeTypes(Box<[Text]>),
    /// `SecResponseBodyMimeTypesClear`.
    ResponseBodyMimeTypesClear,
    /// `SecAuditEngine`.
    AuditEngine(AuditEngine),
    /// `SecAuditLogParts`.
    AuditLogParts(AuditParts),
    /// `SecAuditLogRelevantStatus`: a regular expression over the status.
    AuditLogRelevantStatus(Text),
    /// `SecAuditLogFormat`.
    AuditLogFormat(AuditFormat),
    /// `SecDebugLogLevel`: 0 to 9.
    DebugLogLevel(u8),
    /// `SecUploadFileLimit`: how many files a body may hold.
    UploadFileLimit(u64),
    /// `SecUnicodeMapFile`: the code page; the map is built in.
    UnicodeCodePage(u32),
    /// `SecComponentSignature`.
    ComponentSignature(Text),
    /// `SecWebAppId`.
    WebAppId(Text),
    /// `SecServerSignature`.
    ServerSignature(Text),
    /// `SecSensorId`.
    SensorId(Text),
    /// `SecCollectionTimeout`, seconds.
    CollectionTimeout(u64),
    /// `SecDataset`: words for `@pmFromDataset` and networks for `@ipMatchFromDataset`.
    Dataset(Dataset),
}

vocabulary! {
    /// Whether rules run, and whether they act.
    EngineMode { On = "On", Off = "Off", DetectionOnly = "DetectionOnly", }
}

vocabulary! {
    /// What becomes of a body over its limit.
    LimitAction { Reject = "Reject", ProcessPartial = "ProcessPartial", }
}

vocabulary! {
    /// Which transactions the audit log holds.
    AuditEngine { On = "On", Off = "Off", RelevantOnly = "RelevantOnly", }
}

vocabulary! {
    /// How the audit log is written.
    AuditFormat { Json = "JSON", JsonLegacy = "JsonLegacy", Native = "Native", Ocsf = "OCSF", }
}

/// Parts of the audit log: upper-case letters from A to K, and Z.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuditParts(pub Box<[u8]>);

/// A named list of lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dataset {
    /// What operators call it.
    pub name: Text,
    /// Its lines, trimmed, without empty ones and comments.
    pub lines: Box<[Text]>,
}
