//! The base rules: the engine's configuration, which the files of the Core Rule Set leave to whoever installs them.

/// The engine, bodies, the audit log, the default actions that make rules block by score, the rules that choose a body processor,
/// and what the Core Rule Set wants to be told.
const CONFIGURATION: &str = r#"# Engine configuration for the OWASP Core Rule Set
SecRuleEngine On

# Request bodies
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyInMemoryLimit 131072
SecRequestBodyLimitAction Reject

# Response bodies
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial

# Audit log: errors of client and server, but not pages that don't exist
SecAuditEngine RelevantOnly
SecAuditLogType Serial
SecAuditLogFormat JSON
SecAuditLog /dev/stdout
SecAuditLogParts ABIJDEFHZ
SecAuditLogRelevantStatus "^(?:5[0-9][0-9]|4(?:0[0-35-9]|[1-9][0-9]))$"

# Rules add to a score, and the blocking evaluation decides by it
SecDefaultAction "phase:1,log,auditlog,pass"
SecDefaultAction "phase:2,log,auditlog,pass"

# Body processors by content type
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" \
    "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/[a-z0-9.-]+[+]json" \
    "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"

# Bodies that can't be read can't be inspected
SecRule REQBODY_ERROR "!@eq 0" \
    "id:200002,phase:2,t:none,log,deny,status:400,msg:'Request body could not be parsed',logdata:'%{reqbody_error_msg}',severity:2"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
    "id:200003,phase:2,t:none,log,deny,status:400,msg:'Multipart request body is malformed'"

# Core Rule Set: block as soon as a phase has decided, and the version of its setup
SecAction "id:900120,phase:1,pass,t:none,nolog,setvar:tx.early_blocking=1"
"#;

/// What conformance tests need: all phases logged, everything inspected at the highest level and nothing blocked, a marker for
/// the log, and a path that answers 403 as soon as the rules are loaded.
const TEST_RULES: &str = r#"
# Conformance tests
SecDefaultAction "phase:3,log,auditlog,pass"
SecDefaultAction "phase:4,log,auditlog,pass"
SecDefaultAction "phase:5,log,auditlog,pass"
SecDebugLogLevel 3
SecRule REQUEST_URI "@rx ^/probe-cko-readiness" \
    "id:10002,phase:1,t:none,deny,status:403,nolog,ctl:ruleEngine=On"
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
    setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
    setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
    setvar:tx.combined_file_sizes=65535"
SecRule REQUEST_HEADERS:X-CRS-Test "@rx ^.*$" \
    "id:999999,phase:1,t:none,pass,log,msg:'X-CRS-Test %{MATCHED_VAR}',ctl:ruleRemoveById=1-999999"
"#;

/// The text of the base rules for a version of the Core Rule Set (digits and dots).
pub(super) fn text(version: &str, include_test_rule: bool) -> String {
    let number = version.replace('.', "");
    let setup = format!("SecAction \"id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version={number}\"\n");
    let tests = if include_test_rule { TEST_RULES } else { "" };
    format!("{CONFIGURATION}{setup}{tests}")
}
