//! The variables that rules look at, and how they are selected. No IO.

use super::text::Text;
use crate::names::vocabulary;
use crate::span::Span;

vocabulary! {
    /// A variable of the transaction, by name.
    Variable {
        // Arguments.
        Args = "ARGS", ArgsGet = "ARGS_GET", ArgsPost = "ARGS_POST", ArgsPath = "ARGS_PATH",
        ArgsNames = "ARGS_NAMES", ArgsGetNames = "ARGS_GET_NAMES", ArgsPostNames = "ARGS_POST_NAMES",
        ArgsCombinedSize = "ARGS_COMBINED_SIZE",
        // Uploads.
        Files = "FILES", FilesNames = "FILES_NAMES", FilesSizes = "FILES_SIZES", FilesCombinedSize = "FILES_COMBINED_SIZE",
        FilesTmpNames = "FILES_TMPNAMES" | "FILES_TMP_NAMES", FilesTmpContent = "FILES_TMP_CONTENT",
        MultipartPartHeaders = "MULTIPART_PART_HEADERS", MultipartFilename = "MULTIPART_FILENAME", MultipartName = "MULTIPART_NAME",
        MultipartStrictError = "MULTIPART_STRICT_ERROR", MultipartDataAfter = "MULTIPART_DATA_AFTER",
        MultipartDataBefore = "MULTIPART_DATA_BEFORE", MultipartBoundaryQuoted = "MULTIPART_BOUNDARY_QUOTED",
        MultipartBoundaryWhitespace = "MULTIPART_BOUNDARY_WHITESPACE", MultipartCrlfLfLines = "MULTIPART_CRLF_LF_LINES",
        MultipartFileLimitExceeded = "MULTIPART_FILE_LIMIT_EXCEEDED", MultipartHeaderFolding = "MULTIPART_HEADER_FOLDING",
        MultipartInvalidHeaderFolding = "MULTIPART_INVALID_HEADER_FOLDING", MultipartInvalidPart = "MULTIPART_INVALID_PART",
        MultipartInvalidQuoting = "MULTIPART_INVALID_QUOTING", MultipartLfLine = "MULTIPART_LF_LINE",
        MultipartMissingSemicolon = "MULTIPART_MISSING_SEMICOLON" | "MULTIPART_SEMICOLON_MISSING",
        MultipartUnmatchedBoundary = "MULTIPART_UNMATCHED_BOUNDARY",
        // The request.
        RequestMethod = "REQUEST_METHOD", RequestProtocol = "REQUEST_PROTOCOL", RequestLine = "REQUEST_LINE",
        RequestUri = "REQUEST_URI", RequestUriRaw = "REQUEST_URI_RAW", RequestFilename = "REQUEST_FILENAME",
        RequestBasename = "REQUEST_BASENAME", QueryString = "QUERY_STRING", PathInfo = "PATH_INFO",
        RequestHeaders = "REQUEST_HEADERS", RequestHeadersNames = "REQUEST_HEADERS_NAMES",
        RequestCookies = "REQUEST_COOKIES", RequestCookiesNames = "REQUEST_COOKIES_NAMES",
        RequestBody = "REQUEST_BODY", RequestBodyLength = "REQUEST_BODY_LENGTH",
        FullRequest = "FULL_REQUEST", FullRequestLength = "FULL_REQUEST_LENGTH", StreamInputBody = "STREAM_INPUT_BODY",
        Xml = "XML", RequestXml = "REQUEST_XML", Json = "JSON",
        ReqbodyProcessor = "REQBODY_PROCESSOR", ReqbodyError = "REQBODY_ERROR", ReqbodyErrorMsg = "REQBODY_ERROR_MSG",
        ReqbodyProcessorError = "REQBODY_PROCESSOR_ERROR", ReqbodyProcessorErrorMsg = "REQBODY_PROCESSOR_ERROR_MSG",
        InboundDataError = "INBOUND_DATA_ERROR", UrlencodedError = "URLENCODED_ERROR",
        // The response.
        ResponseStatus = "RESPONSE_STATUS", ResponseProtocol = "RESPONSE_PROTOCOL", StatusLine = "STATUS_LINE", Status = "STATUS",
        ResponseHeaders = "RESPONSE_HEADERS", ResponseHeadersNames = "RESPONSE_HEADERS_NAMES",
        ResponseBody = "RESPONSE_BODY", ResponseContentLength = "RESPONSE_CONTENT_LENGTH",
        ResponseContentType = "RESPONSE_CONTENT_TYPE", ResponseArgs = "RESPONSE_ARGS", ResponseXml = "RESPONSE_XML",
        StreamOutputBody = "STREAM_OUTPUT_BODY", OutboundDataError = "OUTBOUND_DATA_ERROR",
        ResBodyProcessor = "RES_BODY_PROCESSOR", ResBodyError = "RES_BODY_ERROR", ResBodyErrorMsg = "RES_BODY_ERROR_MSG",
        ResBodyProcessorError = "RES_BODY_PROCESSOR_ERROR", ResBodyProcessorErrorMsg = "RES_BODY_PROCESSOR_ERROR_MSG",
        // The connection.
        RemoteAddr = "REMOTE_ADDR", RemotePort = "REMOTE_PORT", RemoteHost = "REMOTE_HOST", RemoteUser = "REMOTE_USER",
        UseragentIp = "USERAGENT_IP", AuthType = "AUTH_TYPE",
        ServerAddr = "SERVER_ADDR", ServerPort = "SERVER_PORT", ServerName = "SERVER_NAME",
        // The transaction.
        MatchedVar = "MATCHED_VAR", MatchedVarName = "MATCHED_VAR_NAME", MatchedVars = "MATCHED_VARS",
        MatchedVarsNames = "MATCHED_VARS_NAMES", Tx = "TX", Rule = "RULE", Env = "ENV", Geo = "GEO", UniqueId = "UNIQUE_ID",
        HighestSeverity = "HIGHEST_SEVERITY", Duration = "DURATION", ModsecBuild = "MODSEC_BUILD", WebAppId = "WEBAPPID",
        MscPcreError = "MSC_PCRE_ERROR", MscPcreLimitsExceeded = "MSC_PCRE_LIMITS_EXCEEDED",
        Time = "TIME", TimeDay = "TIME_DAY", TimeEpoch = "TIME_EPOCH", TimeHour = "TIME_HOUR", TimeMin = "TIME_MIN",
        TimeMon = "TIME_MON", TimeSec = "TIME_SEC", TimeWday = "TIME_WDAY", TimeYear = "TIME_YEAR",
        // Persistent collections, which don't exist here.
        Ip = "IP", Session = "SESSION", Global = "GLOBAL", User = "USER", Resource = "RESOURCE",
        SessionId = "SESSIONID", UserId = "USERID",
        // The server process of ModSecurity 2; nothing fills them here.
        ScriptBasename = "SCRIPT_BASENAME", ScriptFilename = "SCRIPT_FILENAME", ScriptGid = "SCRIPT_GID",
        ScriptGroupname = "SCRIPT_GROUPNAME", ScriptMode = "SCRIPT_MODE", ScriptUid = "SCRIPT_UID",
        ScriptUsername = "SCRIPT_USERNAME", WebserverErrorLog = "WEBSERVER_ERROR_LOG", SdbmDeleteError = "SDBM_DELETE_ERROR",
        PerfAll = "PERF_ALL", PerfCombined = "PERF_COMBINED", PerfGc = "PERF_GC", PerfLogging = "PERF_LOGGING",
        PerfPhase1 = "PERF_PHASE1", PerfPhase2 = "PERF_PHASE2", PerfPhase3 = "PERF_PHASE3", PerfPhase4 = "PERF_PHASE4",
        PerfPhase5 = "PERF_PHASE5", PerfRules = "PERF_RULES", PerfSread = "PERF_SREAD", PerfSwrite = "PERF_SWRITE",
    }
}

impl Variable {
    /// Whether it holds values under keys, so that one can be selected.
    pub const fn is_collection(self) -> bool {
        use Variable::{
            Args, ArgsGet, ArgsGetNames, ArgsNames, ArgsPath, ArgsPost, ArgsPostNames, Env, Files, FilesNames,
            FilesSizes, FilesTmpContent, FilesTmpNames, Geo, Global, Ip, Json, MatchedVars, MatchedVarsNames,
            MultipartFilename, MultipartName, MultipartPartHeaders, PerfRules, RequestCookies, RequestCookiesNames,
            RequestHeaders, RequestHeadersNames, RequestXml, Resource, ResponseArgs, ResponseHeaders,
            ResponseHeadersNames, ResponseXml, Rule, Session, Tx, User, Xml,
        };
        matches!(
            self,
            Args | ArgsGet
                | ArgsPost
                | ArgsPath
                | ArgsNames
                | ArgsGetNames
                | ArgsPostNames
                | Files
                | FilesNames
                | FilesSizes
                | FilesTmpNames
                | FilesTmpContent
                | MultipartPartHeaders
                | MultipartFilename
                | MultipartName
                | RequestHeaders
                | RequestHeadersNames
                | RequestCookies
                | RequestCookiesNames
                | Xml
                | RequestXml
                | Json
                | ResponseHeaders
                | ResponseHeadersNames
                | ResponseArgs
                | ResponseXml
                | MatchedVars
                | MatchedVarsNames
                | Tx
                | Rule
                | Env
                | Geo
                | Ip
                | Session
                | Global
                | User
                | Resource
                | PerfRules
        )
    }

    /// Whether its keys are paths into a document.
    pub const fn is_document(self) -> bool {
        matches!(self, Self::Xml | Self::RequestXml | Self::ResponseXml | Self::Json)
    }

    /// Whether it is one of the collections that ModSecurity keeps from request to request.
    pub const fn is_persistent(self) -> bool {
        matches!(
            self,
            Self::Ip | Self::Session | Self::Global | Self::User | Self::Resource
        )
    }

    /// Whether no request and no response can ever fill it here: it belongs to a server process, to files or to a data base.
    pub fn is_never_filled(self) -> bool {
        let server = (Self::ScriptBasename..=Self::PerfSwrite).contains(&self);
        let other = matches!(
            self,
            Self::FilesTmpNames
                | Self::FilesTmpContent
                | Self::Geo
                | Self::Json
                | Self::ModsecBuild
                | Self::SessionId
                | Self::UserId
                | Self::StreamInputBody
                | Self::StreamOutputBody
        );
        server || other || self.is_persistent()
    }
}

/// One element of a rule's variable list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What is done with what is selected.
    pub mode: TargetMode,
    /// The variable.
    pub variable: Variable,
    /// Which of its values.
    pub selector: Selector,
    /// The whole element, with its `!` or `&`.
    pub span: Span,
}

/// What a target does with the values that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetMode {
    /// Gives them to the operator.
    Values,
    /// Gives their number (`&ARGS`).
    Count,
    /// Takes them out of what the other targets select (`!ARGS:x`).
    Exclude,
}

/// Which values of a collection are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// All of them, or the only one.
    All,
    /// Those under this key, whatever its case.
    Key(Text),
    /// Those whose key matches this regular expression (`ARGS:/^a/`); the slashes are taken off.
    Pattern(Text),
    /// Those at this path of a document (`XML:/*`).
    Path(Text),
}
