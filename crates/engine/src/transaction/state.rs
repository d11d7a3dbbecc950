//! `State`: all that a transaction knows. No IO.

use std::sync::Arc;

use coraza_seclang::rules::{Phase, Variable};

use super::meter::Meter;
use super::{Connection, Control, Identity, Report};
use crate::body;
use crate::collection::Bytes;
use crate::event::MatchedRule;
use crate::interruption::Interruption;
use crate::plan::Memo;
use crate::program::{Compiled, Program};
use crate::variables::{Clock, Variables};

/// What the phases of a transaction share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) program: Arc<Program>,
    pub(crate) variables: Variables,
    pub(crate) control: Control,
    pub(crate) clock: Clock,
    pub(crate) meter: Meter,
    /// What the plan's rules have found out about values; empty where there is no plan.
    pub(crate) memo: Memo,
    pub(crate) matched: Vec<MatchedRule>,
    /// How many more there were.
    pub(crate) forgotten: usize,
    /// The first interruption, also where the engine only detects.
    pub(crate) interruption: Option<Interruption>,
    pub(crate) interrupted: bool,
    /// The rule that runs: its phase and its place in it.
    pub(crate) current: Option<(Phase, usize)>,
    /// What the current rule's last match says.
    pub(crate) last_match: Option<LastMatch>,
    /// Bytes in TX.
    pub(crate) tx_bytes: usize,
    /// Patterns that rules made of values of this transaction; `None` for those that can't be compiled.
    pub(crate) dynamic_patterns: Vec<(Vec<u8>, Option<Arc<Compiled>>)>,
    pub(crate) request_body: Vec<u8>,
    /// The request's body as far as it was read, whatever its type: part of `FULL_REQUEST`.
    pub(crate) whole_body: Bytes,
    pub(crate) response_body: Vec<u8>,
    /// What the audit log may say of the request's body.
    pub(crate) audited_body: Vec<u8>,
}

/// What there is to say about the current rule's last match.
#[derive(Debug)]
pub(crate) struct LastMatch {
    pub(crate) operator: Bytes,
    pub(crate) variable: Bytes,
    pub(crate) value: Bytes,
}

impl State {
    pub(super) fn new(program: &Arc<Program>, connection: &Connection<'_>, identity: &Identity<'_>) -> Self {
        let settings = program.settings();
        let mut variables = Variables::new();
        variables.connection(connection);
        variables.set(Variable::UniqueId, identity.unique_id);
        variables.set(Variable::WebAppId, &*settings.web_app_id);
        Self {
            program: Arc::clone(program),
            variables,
            control: Control::new(settings),
            clock: Clock {
                started: identity.started,
                ..Clock::default()
            },
            meter: Meter::new(program.work_limit()),
            memo: Memo::default(),
            matched: Vec::new(),
            forgotten: 0,
            interruption: None,
            interrupted: false,
            current: None,
            last_match: None,
            tx_bytes: 0,
            dynamic_patterns: Vec::new(),
            request_body: Vec::new(),
            whole_body: Bytes::default(),
            response_body: Vec::new(),
            audited_body: Vec::new(),
        }
    }

    /// What processors may do with `arguments` arguments there already.
    pub(super) fn body_options(&self, arguments: usize) -> body::Options {
        let settings = self.program.settings();
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        body::Options {
            arguments: size(settings.arguments_limit).saturating_sub(arguments),
            argument_separator: settings.argument_separator,
            json_depth: size(settings.json_depth_limit),
            files: size(settings.upload_file_limit),
            ..body::Options::default()
        }
    }

    pub(super) fn report(self) -> Report {
        Report {
            origin: self.origin(),
            audit_log: self.audit_log(),
            anomaly_scores: self.anomaly_scores(),
            exceeded: self.meter.is_exceeded(),
            forgotten: self.forgotten,
            matched: self.matched,
            interruption: self.interruption,
            interrupted: self.interrupted,
            work: self.meter.spent(),
            patterns_started: self.meter.started,
        }
    }
}
