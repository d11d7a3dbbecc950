//! The actions of a rule. No IO.

use super::ctl::Ctl;
use super::text::{Template, Text};
use super::transformation::Transformation;
use super::variable::Variable;
use crate::names::vocabulary;
use crate::span::Span;

vocabulary! {
    /// An action, by name.
    ActionName {
        Accuracy = "accuracy", Allow = "allow", Append = "append", Auditlog = "auditlog", Block = "block", Capture = "capture",
        Chain = "chain", Ctl = "ctl", Deny = "deny", DeprecateVar = "deprecatevar", Drop = "drop", Exec = "exec",
        ExpireVar = "expirevar", Id = "id", InitCol = "initcol", Log = "log", LogData = "logdata", Maturity = "maturity",
        Msg = "msg", MultiMatch = "multiMatch", NoAuditlog = "noauditlog", NoLog = "nolog", Pass = "pass", Pause = "pause",
        Phase = "phase", Prepend = "prepend", Proxy = "proxy", Redirect = "redirect", Rev = "rev",
        SanitiseArg = "sanitiseArg" | "sanitizeArg", SanitiseMatched = "sanitiseMatched" | "sanitizeMatched",
        SanitiseMatchedBytes = "sanitiseMatchedBytes" | "sanitizeMatchedBytes",
        SanitiseRequestHeader = "sanitiseRequestHeader" | "sanitizeRequestHeader",
        SanitiseResponseHeader = "sanitiseResponseHeader" | "sanitizeResponseHeader", SetEnv = "setenv", SetRsc = "setrsc",
        SetSid = "setsid", SetUid = "setuid", SetVar = "setvar", Severity = "severity", Skip = "skip", SkipAfter = "skipAfter",
        Status = "status", T = "t", Tag = "tag", Ver = "ver", Xmlns = "xmlns",
    }
}

impl ActionName {
    /// Whether it decides what becomes of the transaction, so that a rule has one of them at most.
    pub const fn is_disruptive(self) -> bool {
        matches!(
            self,
            Self::Allow
                | Self::Block
                | Self::Deny
                | Self::Drop
                | Self::Pass
                | Self::Pause
                | Self::Proxy
                | Self::Redirect
        )
    }

    /// Whether it describes the rule rather than does something.
    pub const fn is_metadata(self) -> bool {
        matches!(
            self,
            Self::Accuracy
                | Self::Id
                | Self::Maturity
                | Self::Msg
                | Self::Phase
                | Self::Rev
                | Self::Severity
                | Self::Tag
                | Self::Ver
        )
    }

    /// Whether a rule may have several of it that all count.
    pub const fn is_repeatable(self) -> bool {
        matches!(
            self,
            Self::Append
                | Self::Ctl
                | Self::DeprecateVar
                | Self::ExpireVar
                | Self::InitCol
                | Self::Prepend
                | Self::SanitiseArg
                | Self::SanitiseMatchedBytes
                | Self::SanitiseRequestHeader
                | Self::SanitiseResponseHeader
                | Self::SetEnv
                | Self::SetVar
                | Self::T
                | Self::Tag
                | Self::Xmlns
        )
    }
}

/// One action, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Action {
    /// Which one.
    pub name: ActionName,
    /// Its value, of the type that the name calls for.
    pub value: Value,
    /// The name and the value, quotes included.
    pub span: Span,
}

/// The value of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// The action has none.
    Nothing,
    /// `id`.
    Id(RuleId),
    /// `phase`.
    Phase(Phase),
    /// `severity`.
    Severity(Severity),
    /// `allow`.
    Allow(AllowScope),
    /// `status`, `skip`, `maturity`, `accuracy`, `pause` (milliseconds): a number in the action's range.
    Number(u32),
    /// `t`.
    Transformation(Transformation),
    /// `rev`, `ver`, `skipAfter`, `exec` and the `sanitise` family.
    Text(Text),
    /// `msg`, `logdata`, `tag`, `redirect`, `proxy`, `append`, `prepend`, `setuid`, `setsid`, `setrsc`.
    Template(Template),
    /// `xmlns` and `setenv`: a name and a value.
    Pair(Box<(Text, Template)>),
    /// `setvar`.
    SetVar(Box<SetVar>),
    /// `expirevar` (seconds after which it is removed) and `deprecatevar`.
    ExpireVar(Box<ExpireVar>),
    /// `initcol`.
    InitCol(Variable, Template),
    /// `ctl`.
    Ctl(Box<Ctl>),
}

/// A rule's number: 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u64);

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of the transaction in which a rule runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// 1.
    RequestHeaders,
    /// 2, where rules without a phase run (ModSecurity 3.0.15: 1, against its manual).
    #[default]
    RequestBody,
    /// 3.
    ResponseHeaders,
    /// 4.
    ResponseBody,
    /// 5.
    Logging,
}

impl Phase {
    /// In order.
    pub const ALL: [Self; 5] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::Logging,
    ];

    /// 1 to 5.
    pub const fn number(self) -> u8 {
        match self {
            Self::RequestHeaders => 1,
            Self::RequestBody => 2,
            Self::ResponseHeaders => 3,
            Self::ResponseBody => 4,
            Self::Logging => 5,
        }
    }

    /// The phase of a number or of one of the three names that exist.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text.to_ascii_lowercase().as_slice() {
            b"1" => Some(Self::RequestHeaders),
            b"2" | b"request" => Some(Self::RequestBody),
            b"3" => Some(Self::ResponseHeaders),
            b"4" | b"response" => Some(Self::ResponseBody),
            b"5" | b"logging" => Some(Self::Logging),
            _ => None,
        }
    }
}

vocabulary! {
    /// How bad a match is, worst first.
    Severity {
        Emergency = "EMERGENCY" | "0", Alert = "ALERT" | "1", Critical = "CRITICAL" | "2", Error = "ERROR" | "3",
        Warning = "WARNING" | "4", Notice = "NOTICE" | "5", Info = "INFO" | "6", Debug = "DEBUG" | "7",
    }
}

impl Severity {
    /// 0 (emergency) to 7 (debug).
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What `allow` lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllowScope {
    /// The rest of the transaction, but the logging phase.
    Transaction,
    /// The rest of this phase.
    Phase,
    /// The rest of the request phases.
    Request,
}

/// `setvar`: one change of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetVar {
    /// The collection: TX.
    pub collection: Variable,
    /// The key in it.
    pub key: Template,
    /// What becomes of it.
    pub change: Change,
}

/// What `setvar` does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// `x=value`; `x` alone sets it to 1.
    Set(Template),
    /// `x=+value`.
    Add(Template),
    /// `x=-value`.
    Subtract(Template),
    /// `!x`.
    Remove,
}

/// `expirevar` or `deprecatevar`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExpireVar {
    /// The collection.
    pub collection: Variable,
    /// The key in it.
    pub key: Template,
    /// Seconds, or for `deprecatevar` amount and seconds (`60/300`).
    pub after: Template,
}
