//! What a response's head and body are in variables. No IO.

use coraza_seclang::rules::{BodyProcessor, Variable};

use super::Variables;
use crate::body;

impl Variables {
    /// The status line.
    pub(crate) fn status_line(&mut self, status: u16, protocol: &[u8]) {
        let status = status.to_string().into_bytes();
        self.set(Variable::StatusLine, [protocol, b" ", &status].concat());
        self.set(Variable::Status, &*status);
        self.set(Variable::ResponseStatus, status);
        self.set(Variable::ResponseProtocol, protocol);
    }

    /// One header of the response.
    pub(crate) fn response_header(&mut self, name: &[u8], value: &[u8]) {
        self.collection_mut(Variable::ResponseHeaders).push(name, value);
        match name.to_ascii_lowercase().as_slice() {
            b"content-type" => {
                let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
                self.set(Variable::ResponseContentType, kind.trim_ascii());
            }
            b"content-length" => self.set(Variable::ResponseContentLength, value),
            _ => {}
        }
    }

    /// The body, and what its processor finds in it.
    pub(crate) fn response_body(&mut self, processor: Option<BodyProcessor>, bytes: Vec<u8>, options: &body::Options) {
        if let Some(processor) = processor {
            self.set(Variable::ResBodyProcessor, processor.name().as_bytes());
            let outcome = body::process(processor, b"", &bytes, options, &mut |found| {
                self.found(found, Variable::ResponseArgs, Variable::ResponseXml);
            });
            if let Some(error) = outcome.error {
                let message = error.to_string();
                for variable in [Variable::ResBodyError, Variable::ResBodyProcessorError] {
                    self.set(variable, *b"1");
                }
                for variable in [Variable::ResBodyErrorMsg, Variable::ResBodyProcessorErrorMsg] {
                    self.set(variable, message.as_bytes());
                }
            }
        }
        self.set_number(Variable::ResponseContentLength, bytes.len() as u64);
        self.set(Variable::ResponseBody, bytes);
    }
}
