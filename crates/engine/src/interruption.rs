//! `Interruption`: what a rule, or a limit, wants done instead of letting the transaction go on. No IO.

use coraza_seclang::rules::{Phase, RuleId};

/// The transaction is not to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// What is to be done.
    pub action: Disruption,
    /// The HTTP status for the client.
    pub status: u16,
    /// When.
    pub phase: Phase,
    /// Why.
    pub cause: Cause,
}

/// What is to be done with a transaction that may not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// Answer with the status.
    Deny,
    /// Close the connection without an answer.
    Drop,
    /// Answer with the status and this `Location`.
    Redirect(Vec<u8>),
}

/// Why a transaction may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule matched; not every rule has an id.
    Rule(Option<RuleId>),
    /// The request's body is larger than `SecRequestBodyLimit`.
    RequestBodyLimit,
    /// The response's body is larger than `SecResponseBodyLimit`.
    ResponseBodyLimit,
    /// The rules had to do more than the transaction's share of work.
    WorkLimit,
}

impl Disruption {
    /// `deny`, `drop` or `redirect`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Drop => "drop",
            Self::Redirect(_) => "redirect",
        }
    }

    /// The status where the rule names none. A redirect keeps those that redirect.
    pub(crate) fn status(&self, wanted: Option<u16>) -> u16 {
        match (self, wanted) {
            (Self::Redirect(_), Some(status @ (301 | 302 | 303 | 307 | 308))) => status,
            (Self::Redirect(_), _) => 302,
            (_, wanted) => wanted.unwrap_or(403),
        }
    }
}
