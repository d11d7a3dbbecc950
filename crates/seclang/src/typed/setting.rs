//! Directives that configure the engine, do nothing here, or reach outside the sandbox. No IO.

use super::argument::{Arguments, digits};
use super::text::text;
use crate::error::Kind;
use crate::lexer::{Line, Word};
use crate::parser::Context;
use crate::rules::{
    AuditEngine, AuditFormat, AuditParts, Dataset, DirectiveName, EngineMode, LimitAction, Setting, Text,
};
use crate::span::{Span, offset};

/// The largest body limit, bytes: 1 GiB, as in ModSecurity and Coraza.
const MAX_BODY_LIMIT: u64 = 1 << 30;

/// What a directive configures; nothing, if it has no effect.
pub(super) fn setting(
    name: DirectiveName,
    arguments: &Arguments<'_, '_>,
    line: &Line<'_>,
    context: &mut Context,
) -> Option<Setting> {
    use DirectiveName as D;
    match name {
        D::SecRuleEngine => arguments.choice(&EngineMode::NAMES, context).map(Setting::RuleEngine),
        D::SecRequestBodyAccess => arguments.switch(context).map(Setting::RequestBodyAccess),
        D::SecResponseBodyAccess => arguments.switch(context).map(Setting::ResponseBodyAccess),
        D::SecRequestBodyLimit => arguments
            .number(1, MAX_BODY_LIMIT, context)
            .map(Setting::RequestBodyLimit),
        D::SecRequestBodyInMemoryLimit => arguments
            .number(1, MAX_BODY_LIMIT, context)
            .map(Setting::RequestBodyInMemoryLimit),
        D::SecRequestBodyNoFilesLimit => arguments
            .number(0, u64::MAX, context)
            .map(Setting::RequestBodyNoFilesLimit),
        D::SecResponseBodyLimit => arguments
            .number(1, MAX_BODY_LIMIT, context)
            .map(Setting::ResponseBodyLimit),
        D::SecRequestBodyLimitAction => arguments
            .choice(&LimitAction::NAMES, context)
            .map(Setting::RequestBodyLimitAction),
        D::SecResponseBodyLimitAction => arguments
            .choice(&LimitAction::NAMES, context)
            .map(Setting::ResponseBodyLimitAction),
        D::SecRequestBodyJsonDepthLimit => arguments
            .number(1, u64::MAX, context)
            .map(Setting::RequestBodyJsonDepthLimit),
        D::SecArgumentsLimit => arguments.number(1, u64::MAX, context).map(Setting::ArgumentsLimit),
        D::SecArgumentSeparator => separator(arguments, context).map(Setting::ArgumentSeparator),
        D::SecResponseBodyMimeType => mime_types(arguments, context).map(Setting::ResponseBodyMimeTypes),
        D::SecResponseBodyMimeTypesClear => {
            arguments.at_most(0, context);
            Some(Setting::ResponseBodyMimeTypesClear)
        }
        D::SecAuditEngine => arguments.choice(&AuditEngine::NAMES, context).map(Setting::AuditEngine),
        D::SecAuditLogParts => {
            let word = arguments.single("a list of parts", context)?;
            audit_parts(word, Kind::InvalidArgument, context).map(Setting::AuditLogParts)
        }
        D::SecAuditLogRelevantStatus => arguments.text(context).map(text).map(Setting::AuditLogRelevantStatus),
        D::SecAuditLogFormat => arguments
            .choice(&AuditFormat::NAMES, context)
            .map(Setting::AuditLogFormat),
        D::SecDebugLogLevel => {
            let level = arguments.number(0, 9, context)?;
            u8::try_from(level).ok().map(Setting::DebugLogLevel)
        }
        D::SecUploadFileLimit => arguments.number(0, u64::MAX, context).map(Setting::UploadFileLimit),
        D::SecUnicodeMapFile => unicode_map(arguments, context).map(Setting::UnicodeCodePage),
        D::SecUnicodeCodePage => {
            let page = arguments.number(0, u64::from(u32::MAX), context)?;
            u32::try_from(page).ok().map(Setting::UnicodeCodePage)
        }
        D::SecComponentSignature => arguments.text(context).map(text).map(Setting::ComponentSignature),
        D::SecWebAppId => arguments.text(context).map(text).map(Setting::WebAppId),
        D::SecServerSignature => arguments.text(context).map(text).map(Setting::ServerSignature),
        D::SecSensorId => arguments.text(context).map(text).map(Setting::SensorId),
        D::SecCollectionTimeout => arguments.number(0, u64::MAX, context).map(Setting::CollectionTimeout),
        D::SecDataset => dataset(arguments, line, context).map(Setting::Dataset),
        _ => {
            without_effect(name, arguments, context);
            None
        }
    }
}

/// Reports a directive that does nothing here, or that can't be allowed to do what it does.
fn without_effect(name: DirectiveName, arguments: &Arguments<'_, '_>, context: &mut Context) {
    use DirectiveName as D;
    let first = arguments.words().next();
    let starts_with = |byte: u8| first.is_some_and(|word| word.bytes().first() == Some(&byte));
    let is = |value: &[u8]| first.is_some_and(|word| word.bytes().eq_ignore_ascii_case(value));
    let refused = match name {
        D::Include | D::IncludeOptional => Some("it reads files: list the RuleSource in the RuleSet instead"),
        D::SecRemoteRules => Some("it fetches rules over the network: put them in a RuleSource instead"),
        D::SecRuleScript => Some("it runs a Lua script"),
        D::SecChrootDir => Some("it changes the process's root directory"),
        D::SecGuardianLog => Some("it pipes logs to a program"),
        D::SecAuditLog | D::SecAuditLog2 | D::SecDebugLog if starts_with(b'|') => Some("it pipes logs to a program"),
        D::SecXmlExternalEntity if !is(b"Off") => Some("it lets documents read files and fetch URLs"),
        _ => None,
    };
    if let Some(reason) = refused {
        let hint = "rules run in a sandbox without files, network and programs";
        context.error_hint(
            Kind::OutsideSandbox,
            arguments.name,
            format!("`{name}` can't be used: {reason}"),
            hint,
        );
        return;
    }
    if first.is_none() {
        context.error(
            Kind::MissingArgument,
            arguments.name,
            format!("`{name}` needs an argument"),
        );
        return;
    }
    let reason = match name {
        // As they are in modsecurity.conf-recommended, they say what happens anyway.
        D::SecCookieFormat if is(b"0") => return,
        D::SecRxPreFilter | D::SecXmlExternalEntity if is(b"Off") => return,
        D::SecCookieFormat => "cookies are always read as version 0",
        D::SecAuditLog
        | D::SecAuditLog2
        | D::SecAuditLogStorageDir
        | D::SecAuditLogDirMode
        | D::SecAuditLogFileMode
        | D::SecAuditLogType
        | D::SecDebugLog
        | D::SecDataDir
        | D::SecTmpDir
        | D::SecTmpSaveUploadedFiles
        | D::SecUploadDir
        | D::SecUploadFileMode
        | D::SecUploadKeepFiles => "nothing is written to files",
        D::SecIgnoreRuleCompilationErrors => "rules with errors are never used",
        D::SecPcreMatchLimit | D::SecPcreMatchLimitRecursion => {
            "regular expressions take linear time, and their work is limited"
        }
        _ => "this engine has no such function",
    };
    context.warn(
        Kind::NoEffect,
        arguments.name,
        format!("`{name}` has no effect here: {reason}"),
    );
}

/// The byte that separates two arguments.
fn separator(arguments: &Arguments<'_, '_>, context: &mut Context) -> Option<u8> {
    let word = arguments.single("a character", context)?;
    match word.bytes() {
        [byte] => Some(*byte),
        _ => {
            context.error(
                Kind::InvalidArgument,
                word,
                format!("`{}` is not one byte", word.shown()),
            );
            None
        }
    }
}

fn mime_types(arguments: &Arguments<'_, '_>, context: &mut Context) -> Option<Box<[Text]>> {
    arguments.required(0, "a MIME type", context)?;
    let mut types = Vec::new();
    for word in arguments.words() {
        let slash = word.bytes().iter().filter(|byte| **byte == b'/').count();
        let is_null = word.bytes() == b"(null)";
        if slash == 1 || is_null {
            types.push(text(word));
        } else {
            context.error(
                Kind::InvalidArgument,
                word,
                format!("`{}` is no MIME type", word.shown()),
            );
        }
    }
    Some(types.into_boxed_slice())
}

/// `A` to `K` and `Z`, in any order; `A` and `Z` are always part of a log.
pub(super) fn audit_parts(word: Word<'_>, kind: Kind, context: &mut Context) -> Option<AuditParts> {
    let known = |byte: &u8| matches!(byte.to_ascii_uppercase(), b'A'..=b'K' | b'Z');
    if word.bytes().is_empty() || !word.bytes().iter().all(known) {
        let message = format!("`{}` are no parts of an audit log", word.shown());
        context.error_hint(
            kind,
            word,
            message,
            "the parts are the letters A to K and Z, like `ABIJDEFHZ`",
        );
        return None;
    }
    Some(AuditParts(word.bytes().to_ascii_uppercase().into_boxed_slice()))
}

/// `unicode.mapping 20127`: the map is built in, so only the code page is of interest.
fn unicode_map(arguments: &Arguments<'_, '_>, context: &mut Context) -> Option<u32> {
    let file = arguments.required(0, "a file and a code page", context)?;
    let page = arguments.required(1, "a code page after the file", context)?;
    arguments.at_most(2, context);
    if !file.bytes().ends_with(b"unicode.mapping") {
        context.warn(
            Kind::NoEffect,
            file,
            "this file is not read: the map of `unicode.mapping` is built in",
        );
    }
    let number = digits(page.bytes()).and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        context.error(
            Kind::InvalidArgument,
            page,
            format!("`{}` is no code page", page.shown()),
        );
    }
    number
}

fn dataset(arguments: &Arguments<'_, '_>, line: &Line<'_>, context: &mut Context) -> Option<Dataset> {
    let name = arguments.single("a name", context)?;
    let Some(block) = line.block() else {
        let hint = "write a back-tick after the name, one entry a line, and a line that is a back-tick";
        context.error_hint(
            Kind::MissingArgument,
            arguments.name,
            "`SecDataset` needs a block between back-ticks",
            hint,
        );
        return None;
    };
    let lines = block.lines.iter().map(|(bytes, start)| {
        let span = Span::new(*start, start + offset(bytes.len()));
        Text {
            bytes: Box::from(*bytes),
            span,
        }
    });
    Some(Dataset {
        name: text(name),
        lines: lines.collect(),
    })
}
