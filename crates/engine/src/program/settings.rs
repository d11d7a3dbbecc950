//! `Settings`: what the configuration directives say, with the defaults of those that are absent. No IO.

use coraza_seclang::rules::{AuditEngine, AuditFormat, AuditParts, EngineMode, LimitAction, Rules, Setting};

use crate::transformations::UnicodeMap;

/// The types of response bodies that rules see where no directive names any: those of ModSecurity 2's manual.
const DEFAULT_MIME_TYPES: [&[u8]; 2] = [b"text/plain", b"text/html"];

/// How transactions are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `SecRuleEngine`.
    pub mode: EngineMode,
    /// Request bodies.
    pub request_body: BodySettings,
    /// `SecRequestBodyNoFilesLimit`, bytes of a request body without its files.
    pub request_body_no_files_limit: u64,
    /// `SecRequestBodyJsonDepthLimit`, levels.
    pub json_depth_limit: u64,
    /// `SecArgumentsLimit`: how many arguments a request may have.
    pub arguments_limit: u64,
    /// `SecUploadFileLimit`: how many files a request may have.
    pub upload_file_limit: u64,
    /// `SecArgumentSeparator`.
    pub argument_separator: u8,
    /// `SecUnicodeMapFile`.
    pub unicode_map: UnicodeMap,
    /// Response bodies.
    pub response_body: BodySettings,
    /// `SecResponseBodyMimeType`, lower case.
    pub response_mime_types: Vec<Box<[u8]>>,
    /// `SecAuditEngine`.
    pub audit_engine: AuditEngine,
    /// `SecAuditLogParts`.
    pub audit_parts: AuditParts,
    /// `SecAuditLogFormat`.
    pub audit_format: AuditFormat,
    /// `SecAuditLogRelevantStatus`: a regular expression over the status, as written.
    pub audit_relevant_status: Option<Box<[u8]>>,
    /// `SecComponentSignature`, in order.
    pub component_signatures: Vec<Box<[u8]>>,
    /// `SecWebAppId`.
    pub web_app_id: Box<[u8]>,
    /// `SecSensorId`.
    pub sensor_id: Box<[u8]>,
}

/// How bodies of one direction are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodySettings {
    /// Whether rules may see them.
    pub access: bool,
    /// How many bytes rules may see.
    pub limit: u64,
    /// What becomes of larger ones.
    pub limit_action: LimitAction,
}

impl Default for Settings {
    /// As in Coraza where a directive is absent.
    fn default() -> Self {
        Self {
            mode: EngineMode::On,
            request_body: BodySettings {
                access: false,
                limit: 128 << 20,
                limit_action: LimitAction::Reject,
            },
            request_body_no_files_limit: 128 << 20,
            json_depth_limit: 1024,
            arguments_limit: 1000,
            upload_file_limit: 100,
            argument_separator: b'&',
            unicode_map: UnicodeMap::LowByte,
            response_body: BodySettings {
                access: false,
                limit: 512 << 10,
                limit_action: LimitAction::ProcessPartial,
            },
            response_mime_types: Vec::new(),
            audit_engine: AuditEngine::Off,
            audit_parts: AuditParts(Box::from(&b"ABCFHZ"[..])),
            audit_format: AuditFormat::Native,
            audit_relevant_status: None,
            component_signatures: Vec::new(),
            web_app_id: Box::default(),
            sensor_id: Box::default(),
        }
    }
}

impl Settings {
    /// The settings of a list of rules.
    pub(super) fn of(rules: &Rules) -> Self {
        let mut settings = Self::default();
        for (_, setting) in &rules.settings {
            settings.apply(setting);
        }
        let is_mime = |setting: &Setting| {
            matches!(
                setting,
                Setting::ResponseBodyMimeTypes(_) | Setting::ResponseBodyMimeTypesClear
            )
        };
        if !rules.settings.iter().any(|(_, setting)| is_mime(setting)) {
            settings.response_mime_types = DEFAULT_MIME_TYPES.map(Box::from).into();
        }
        settings
    }

    fn apply(&mut self, setting: &Setting) {
        match setting {
            Setting::RuleEngine(mode) => self.mode = *mode,
            Setting::RequestBodyAccess(access) => self.request_body.access = *access,
            Setting::RequestBodyLimit(limit) => self.request_body.limit = *limit,
            Setting::RequestBodyNoFilesLimit(limit) => self.request_body_no_files_limit = *limit,
            Setting::RequestBodyLimitAction(action) => self.request_body.limit_action = *action,
            Setting::RequestBodyJsonDepthLimit(limit) => self.json_depth_limit = *limit,
            Setting::ArgumentsLimit(limit) => self.arguments_limit = *limit,
            Setting::ArgumentSeparator(separator) => self.argument_separator = *separator,
            Setting::ResponseBodyAccess(access) => self.response_body.access = *access,
            Setting::ResponseBodyLimit(limit) => self.response_body.limit = *limit,
            Setting::ResponseBodyLimitAction(action) => self.response_body.limit_action = *action,
            Setting::ResponseBodyMimeTypes(types) => {
                let lower = types.iter().map(|name| name.to_ascii_lowercase().into_boxed_slice());
                self.response_mime_types.extend(lower);
            }
            Setting::ResponseBodyMimeTypesClear => self.response_mime_types.clear(),
            Setting::AuditEngine(engine) => self.audit_engine = *engine,
            Setting::AuditLogParts(parts) => self.audit_parts = parts.clone(),
            Setting::AuditLogRelevantStatus(pattern) => self.audit_relevant_status = Some(pattern.bytes.clone()),
            Setting::AuditLogFormat(format) => self.audit_format = *format,
            Setting::UploadFileLimit(limit) => self.upload_file_limit = *limit,
            // The only map that is built in; without it each code point stands for its low byte.
            Setting::UnicodeCodePage(page) => {
                self.unicode_map = if *page == 20127 {
                    UnicodeMap::UsAscii
                } else {
                    UnicodeMap::LowByte
                };
            }
            Setting::ComponentSignature(signature) => self.component_signatures.push(signature.bytes.clone()),
            Setting::WebAppId(id) => self.web_app_id = id.bytes.clone(),
            Setting::SensorId(id) => self.sensor_id = id.bytes.clone(),
            // Bodies are in memory in any case; there is neither a debug log, nor a server to sign, nor a persistent collection.
            // Datasets are read by the operators that name them.
            Setting::RequestBodyInMemoryLimit(_)
            | Setting::DebugLogLevel(_)
            | Setting::ServerSignature(_)
            | Setting::CollectionTimeout(_)
            | Setting::Dataset(_) => {}
        }
    }
}
