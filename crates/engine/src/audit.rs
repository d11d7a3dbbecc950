//! Which transactions belong in the audit log. No IO.

use coraza_seclang::rules::{AuditEngine, Variable};

use crate::operators::number;
use crate::transaction::State;

impl State {
    /// Whether the transaction belongs in the audit log: by `SecAuditEngine` or its `ctl`, and where only what is relevant does, by
    /// a rule that matched or by the status of the answer.
    pub(crate) fn is_audited(&self) -> bool {
        match self.control.audit_engine {
            AuditEngine::On => true,
            AuditEngine::Off => false,
            AuditEngine::RelevantOnly => self.matched.iter().any(|rule| rule.audit) || self.has_relevant_status(),
        }
    }

    fn has_relevant_status(&self) -> bool {
        let status = match &self.interruption {
            Some(interruption) if self.interrupted => interruption.status,
            _ => {
                let status = self.variables.get(Variable::ResponseStatus);
                status.map_or(0, |status| u16::try_from(number::parse(status)).unwrap_or_default())
            }
        };
        self.program.is_relevant(status)
    }
}
