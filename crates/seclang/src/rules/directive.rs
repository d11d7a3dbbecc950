//! The names of all directives. No IO.

use crate::names::vocabulary;

vocabulary! {
    /// A directive, by name.
    DirectiveName {
        // Rules.
        SecRule = "SecRule", SecAction = "SecAction", SecMarker = "SecMarker", SecDefaultAction = "SecDefaultAction",
        SecRuleRemoveById = "SecRuleRemoveById", SecRuleRemoveByTag = "SecRuleRemoveByTag",
        SecRuleRemoveByMsg = "SecRuleRemoveByMsg", SecRuleUpdateTargetById = "SecRuleUpdateTargetById",
        SecRuleUpdateTargetByTag = "SecRuleUpdateTargetByTag", SecRuleUpdateTargetByMsg = "SecRuleUpdateTargetByMsg",
        SecRuleUpdateActionById = "SecRuleUpdateActionById",
        // Settings.
        SecRuleEngine = "SecRuleEngine", SecRequestBodyAccess = "SecRequestBodyAccess",
        SecRequestBodyLimit = "SecRequestBodyLimit", SecRequestBodyInMemoryLimit = "SecRequestBodyInMemoryLimit",
        SecRequestBodyNoFilesLimit = "SecRequestBodyNoFilesLimit", SecRequestBodyLimitAction = "SecRequestBodyLimitAction",
        SecRequestBodyJsonDepthLimit = "SecRequestBodyJsonDepthLimit", SecArgumentsLimit = "SecArgumentsLimit",
        SecArgumentSeparator = "SecArgumentSeparator", SecCookieFormat = "SecCookieFormat",
        SecResponseBodyAccess = "SecResponseBodyAccess", SecResponseBodyLimit = "SecResponseBodyLimit",
        SecResponseBodyLimitAction = "SecResponseBodyLimitAction", SecResponseBodyMimeType = "SecResponseBodyMimeType",
        SecResponseBodyMimeTypesClear = "SecResponseBodyMimeTypesClear", SecAuditEngine = "SecAuditEngine",
        SecAuditLogParts = "SecAuditLogParts", SecAuditLogRelevantStatus = "SecAuditLogRelevantStatus",
        SecAuditLogFormat = "SecAuditLogFormat", SecDebugLogLevel = "SecDebugLogLevel", SecUploadFileLimit = "SecUploadFileLimit",
        SecUnicodeMapFile = "SecUnicodeMapFile" | "SecUnicodeMap", SecUnicodeCodePage = "SecUnicodeCodePage",
        SecComponentSignature = "SecComponentSignature", SecWebAppId = "SecWebAppId",
        SecServerSignature = "SecServerSignature", SecSensorId = "SecSensorId", SecCollectionTimeout = "SecCollectionTimeout",
        SecDataset = "SecDataset",
        // Places to write to.
        SecAuditLog = "SecAuditLog", SecAuditLog2 = "SecAuditLog2", SecAuditLogStorageDir = "SecAuditLogStorageDir",
        SecAuditLogDirMode = "SecAuditLogDirMode", SecAuditLogFileMode = "SecAuditLogFileMode",
        SecAuditLogType = "SecAuditLogType", SecDebugLog = "SecDebugLog", SecDataDir = "SecDataDir", SecTmpDir = "SecTmpDir",
        SecTmpSaveUploadedFiles = "SecTmpSaveUploadedFiles", SecUploadDir = "SecUploadDir",
        SecUploadFileMode = "SecUploadFileMode", SecUploadKeepFiles = "SecUploadKeepFiles",
        // No effect.
        SecRxPreFilter = "SecRxPreFilter", SecIgnoreRuleCompilationErrors = "SecIgnoreRuleCompilationErrors",
        SecConnEngine = "SecConnEngine", SecConnReadStateLimit = "SecConnReadStateLimit",
        SecConnWriteStateLimit = "SecConnWriteStateLimit", SecReadStateLimit = "SecReadStateLimit",
        SecWriteStateLimit = "SecWriteStateLimit", SecPcreMatchLimit = "SecPcreMatchLimit",
        SecPcreMatchLimitRecursion = "SecPcreMatchLimitRecursion", SecHttpBlKey = "SecHttpBlKey",
        SecGsbLookupDb = "SecGsbLookupDb", SecGeoLookupDb = "SecGeoLookupDb", SecHashEngine = "SecHashEngine",
        SecHashKey = "SecHashKey", SecHashParam = "SecHashParam", SecHashMethodPm = "SecHashMethodPm",
        SecHashMethodRx = "SecHashMethodRx", SecStatusEngine = "SecStatusEngine", SecRulePerfTime = "SecRulePerfTime",
        SecContentInjection = "SecContentInjection", SecStreamInBodyInspection = "SecStreamInBodyInspection",
        SecStreamOutBodyInspection = "SecStreamOutBodyInspection",
        SecDisableBackendCompression = "SecDisableBackendCompression", SecInterceptOnError = "SecInterceptOnError",
        SecRuleInheritance = "SecRuleInheritance", SecCacheTransformations = "SecCacheTransformations",
        SecCookieV0Separator = "SecCookieV0Separator", SecRemoteRulesFailAction = "SecRemoteRulesFailAction",
        SecParseXmlIntoArgs = "SecParseXmlIntoArgs", SecXmlExternalEntity = "SecXmlExternalEntity",
        // Outside the sandbox.
        Include = "Include", IncludeOptional = "IncludeOptional", SecRemoteRules = "SecRemoteRules",
        SecRuleScript = "SecRuleScript", SecGuardianLog = "SecGuardianLog", SecChrootDir = "SecChrootDir",
    }
}
