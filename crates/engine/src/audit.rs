//! The audit log: which transactions belong in it, and what it says of one. No IO.

mod record;

use coraza_seclang::rules::{AuditEngine, Variable};

use crate::operators::number;
use crate::transaction::State;

/// How many bytes of a body a record holds: enough to see an attack, and a line that log collectors take.
const MAX_BODY: usize = 32 << 10;

impl State {
    /// The record of the transaction, as one line of JSON, if it belongs in the audit log.
    pub(crate) fn audit_log(&self) -> Option<String> {
        self.is_audited().then(|| record::json(self))
    }

    /// By `SecAuditEngine` or its `ctl`; where only what is relevant belongs in the log, by a rule that matched, by the status of the
    /// answer, or because the rules didn't see everything.
    fn is_audited(&self) -> bool {
        match self.control.audit_engine {
            AuditEngine::On => true,
            AuditEngine::Off => false,
            AuditEngine::RelevantOnly => {
                let by_rule = self.matched.iter().any(|rule| rule.audit);
                by_rule || self.program.is_relevant(self.status()) || self.meter.is_exceeded()
            }
        }
    }

    /// The status that the client gets; 0 where nothing has answered.
    fn status(&self) -> u16 {
        match &self.interruption {
            Some(interruption) if self.interrupted => interruption.status,
            _ => {
                let status = self.variables.get(Variable::ResponseStatus);
                status.map_or(0, |status| u16::try_from(number::parse(status)).unwrap_or_default())
            }
        }
    }

    fn has_part(&self, part: u8) -> bool {
        self.control.audit_parts.0.contains(&part)
    }

    /// Keeps what a record may want of the request's body, which nothing else needs any more.
    pub(crate) fn keep_for_audit(&mut self, body: &[u8]) {
        if self.control.audit_engine != AuditEngine::Off && (self.has_part(b'C') || self.has_part(b'I')) {
            self.audited_body = body.get(..MAX_BODY).unwrap_or(body).to_vec();
        }
    }
}
