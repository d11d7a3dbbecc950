//! `Control`: the settings of one transaction, as its rules have changed them. No IO.

use std::sync::Arc;

use coraza_seclang::rules::{
    AllowScope, AuditEngine, AuditParts, BodyProcessor, Ctl, EngineMode, PartsChange, Phase, RuleSelector,
};

use crate::program::{BodySettings, Rule, Settings, TargetRemoval};

/// What `ctl` and `allow` can change.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) mode: EngineMode,
    pub(crate) request_body: BodySettings,
    pub(crate) response_body: BodySettings,
    pub(crate) request_processor: Option<BodyProcessor>,
    pub(crate) response_processor: Option<BodyProcessor>,
    pub(crate) force_request_body: bool,
    pub(crate) force_response_body: bool,
    pub(crate) audit_engine: AuditEngine,
    pub(crate) audit_parts: AuditParts,
    /// What `allow` lets pass, until when its scope ends.
    pub(crate) allowed: Option<AllowScope>,
    removed: Vec<Arc<RuleSelector>>,
    target_removals: Vec<Arc<TargetRemoval>>,
}

impl Control {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            mode: settings.mode,
            request_body: settings.request_body.clone(),
            response_body: settings.response_body.clone(),
            request_processor: None,
            response_processor: None,
            force_request_body: false,
            force_response_body: false,
            audit_engine: settings.audit_engine,
            audit_parts: settings.audit_parts.clone(),
            allowed: None,
            removed: Vec::new(),
            target_removals: Vec::new(),
        }
    }

    /// Does what a `ctl` says. What it says about a body counts only as long as that body hasn't been read.
    pub(crate) fn apply(&mut self, ctl: &Ctl, phase: Phase) {
        let before_request_body = phase == Phase::RequestHeaders;
        let before_response_body = phase <= Phase::ResponseHeaders;
        match ctl {
            Ctl::AuditEngine(engine) => self.audit_engine = *engine,
            Ctl::AuditLogParts(change) => self.change_audit_parts(change),
            Ctl::RuleEngine(mode) => self.mode = *mode,
            Ctl::ForceRequestBodyVariable(force) if before_request_body => self.force_request_body = *force,
            Ctl::RequestBodyAccess(access) if before_request_body => self.request_body.access = *access,
            Ctl::RequestBodyLimit(limit) if before_request_body => self.request_body.limit = *limit,
            Ctl::RequestBodyProcessor(processor) if before_request_body => self.request_processor = Some(*processor),
            Ctl::ForceResponseBodyVariable(force) if before_response_body => self.force_response_body = *force,
            Ctl::ResponseBodyAccess(access) if before_response_body => self.response_body.access = *access,
            Ctl::ResponseBodyLimit(limit) if before_response_body => self.response_body.limit = *limit,
            Ctl::ResponseBodyProcessor(processor) if before_response_body => {
                self.response_processor = Some(*processor);
            }
            // Too late; or a debug log, which doesn't exist. Removals have actions of their own.
            _ => {}
        }
    }

    fn change_audit_parts(&mut self, change: &PartsChange) {
        let now = &self.audit_parts.0;
        let parts: Vec<u8> = match change {
            PartsChange::Set(parts) => parts.0.to_vec(),
            PartsChange::Add(parts) => {
                let new = parts.0.iter().filter(|part| !now.contains(part));
                now.iter().chain(new).copied().collect()
            }
            PartsChange::Remove(parts) => now.iter().copied().filter(|part| !parts.0.contains(part)).collect(),
        };
        self.audit_parts = AuditParts(parts.into_boxed_slice());
    }

    /// Takes rules out. The same action again changes nothing, so that the list can't grow without bound.
    pub(crate) fn remove_rules(&mut self, selector: &Arc<RuleSelector>) {
        if !self.removed.iter().any(|known| Arc::ptr_eq(known, selector)) {
            self.removed.push(Arc::clone(selector));
        }
    }

    /// Takes targets out of rules.
    pub(crate) fn remove_targets(&mut self, removal: &Arc<TargetRemoval>) {
        if !self.target_removals.iter().any(|known| Arc::ptr_eq(known, removal)) {
            self.target_removals.push(Arc::clone(removal));
        }
    }

    /// Whether the rule is taken out.
    pub(crate) fn is_removed(&self, rule: &Rule) -> bool {
        self.removed.iter().any(|selector| rule.is_selected(selector))
    }

    /// Whether targets were taken out of any rule.
    pub(crate) fn removes_targets(&self) -> bool {
        !self.target_removals.is_empty()
    }

    /// The targets that the rule no longer has.
    pub(crate) fn removed_targets(&self, rule: &Rule) -> Vec<Arc<TargetRemoval>> {
        let removals = self.target_removals.iter();
        removals
            .filter(|removal| rule.is_selected(&removal.rules))
            .cloned()
            .collect()
    }

    /// Whether `allow` lets this phase pass. Ends a scope that is over.
    pub(crate) fn is_allowed(&mut self, phase: Phase) -> bool {
        let allowed = match self.allowed {
            Some(AllowScope::Transaction) => phase != Phase::Logging,
            Some(AllowScope::Request) => phase <= Phase::RequestBody,
            // The scope of a phase ended with it.
            Some(AllowScope::Phase) | None => false,
        };
        if !allowed && self.allowed != Some(AllowScope::Transaction) {
            self.allowed = None;
        }
        allowed
    }
}
