//! The response on its way into variables: head, body, limits. No IO.

use coraza_seclang::rules::{EngineMode, LimitAction, Phase, Variable};

use super::State;
use crate::interruption::{Cause, Disruption, Interruption};

/// Internal Server Error.
const SERVER_ERROR: u16 = 500;

impl State {
    pub(super) fn response_head<'h>(
        &mut self,
        status: u16,
        protocol: &[u8],
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        self.variables.status_line(status, protocol);
        for (name, value) in headers {
            self.variables.response_header(name, value);
        }
    }

    pub(super) fn wants_response_body(&self) -> bool {
        if self.control.mode == EngineMode::Off || !self.control.response_body.access {
            return false;
        }
        let kind = self
            .variables
            .get(Variable::ResponseContentType)
            .cloned()
            .unwrap_or_default();
        let mut types = self.program.settings().response_mime_types.iter();
        self.control.force_response_body || types.any(|listed| listed.eq_ignore_ascii_case(&kind))
    }

    /// Keeps a part of the body, up to the limit.
    pub(super) fn append_response_body(&mut self, bytes: &[u8]) -> Option<Interruption> {
        if !self.wants_response_body() {
            return None;
        }
        let settings = &self.control.response_body;
        let limit = usize::try_from(settings.limit).unwrap_or(usize::MAX);
        let rejects = settings.limit_action == LimitAction::Reject;
        let room = limit.saturating_sub(self.response_body.len());
        self.response_body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() <= room {
            return None;
        }
        self.variables.set(Variable::OutboundDataError, *b"1");
        if !rejects {
            return None;
        }
        self.interrupt(Interruption {
            action: Disruption::Deny,
            status: SERVER_ERROR,
            phase: Phase::ResponseBody,
            cause: Cause::ResponseBodyLimit,
        })
    }

    /// Gives the whole body to its processor.
    pub(super) fn read_response_body(&mut self) {
        if !self.wants_response_body() {
            return;
        }
        let body = std::mem::take(&mut self.response_body);
        let options = self.body_options(0);
        self.meter.charge(body.len() as u64);
        self.variables
            .response_body(self.control.response_processor, body, &options);
    }
}
