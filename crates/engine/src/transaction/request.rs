//! The request on its way into variables: head, body, limits. No IO.

use coraza_seclang::rules::{BodyProcessor, EngineMode, LimitAction, Phase, Variable};

use super::{RequestLine, State};
use crate::collection::Bytes;
use crate::interruption::{Cause, Disruption, Interruption};

/// Content Too Large.
const TOO_LARGE: u16 = 413;

impl State {
    pub(super) fn request_head<'h>(
        &mut self,
        line: &RequestLine<'_>,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        let options = self.body_options(0);
        self.variables.request_line(line, &options);
        for (name, value) in headers {
            self.variables.request_header(name, value);
        }
        if let Some(processor) = self.variables.default_processor() {
            self.variables
                .set(Variable::ReqbodyProcessor, processor.name().as_bytes());
        }
    }

    pub(super) fn wants_request_body(&self) -> bool {
        self.control.mode != EngineMode::Off && self.control.request_body.access
    }

    /// Keeps a part of the body, up to the limit.
    pub(super) fn append_request_body(&mut self, bytes: &[u8]) -> Option<Interruption> {
        if !self.wants_request_body() {
            return None;
        }
        let settings = &self.control.request_body;
        let limit = usize::try_from(settings.limit).unwrap_or(usize::MAX);
        let rejects = settings.limit_action == LimitAction::Reject;
        let room = limit.saturating_sub(self.request_body.len());
        self.request_body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() <= room {
            return None;
        }
        self.variables.set(Variable::InboundDataError, *b"1");
        if !rejects {
            return None;
        }
        self.interrupt(Interruption {
            action: Disruption::Deny,
            status: TOO_LARGE,
            phase: Phase::RequestBody,
            cause: Cause::RequestBodyLimit,
        })
    }

    /// Gives the whole body to its processor.
    pub(super) fn read_request_body(&mut self) {
        let body = Bytes::from(std::mem::take(&mut self.request_body));
        if !self.wants_request_body() || body.is_empty() {
            return;
        }
        self.keep_for_audit(&body);
        self.variables
            .set_number(Variable::RequestBodyLength, body.len() as u64);
        let forced = self.control.force_request_body;
        let processor = self
            .control
            .request_processor
            .or_else(|| self.variables.default_processor());
        if let Some(processor) = processor.or(forced.then_some(BodyProcessor::Raw)) {
            self.variables
                .set(Variable::ReqbodyProcessor, processor.name().as_bytes());
            let arguments = self.variables.collection(Variable::ArgsGet).count();
            let options = self.body_options(arguments);
            let without_files = self.variables.request_body(processor, &body, &options);
            self.meter.charge(body.len() as u64);
            if without_files > self.program.settings().request_body_no_files_limit {
                self.variables
                    .request_body_error("Request body without files is larger than the limit");
            }
        }
        // As in ModSecurity 2: rules that look at REQUEST_BODY are written for forms.
        if forced || processor == Some(BodyProcessor::UrlEncoded) {
            self.variables.set(Variable::RequestBody, Bytes::clone(&body));
        }
        self.whole_body = body;
    }
}
