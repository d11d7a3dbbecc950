//! What a connection, a request's head and its body are in variables. No IO.

use coraza_seclang::rules::{BodyProcessor, Variable};

use super::Variables;
use super::uri::Target;
use crate::body::multipart::{self, UnmatchedBoundary};
use crate::body::{self, Found};
use crate::collection::Bytes;
use crate::transaction::{Connection, RequestLine};
use crate::transformations::{self, Effect, Transformation, UnicodeMap};

impl Variables {
    /// Who speaks with whom.
    pub(crate) fn connection(&mut self, connection: &Connection<'_>) {
        self.set(Variable::RemoteAddr, connection.client_address);
        self.set(Variable::RemoteHost, connection.client_address);
        self.set(Variable::UseragentIp, connection.client_address);
        self.set_number(Variable::RemotePort, connection.client_port.into());
        self.set(Variable::ServerAddr, connection.server_address);
        self.set_number(Variable::ServerPort, connection.server_port.into());
    }

    /// The request line and the query in it.
    pub(crate) fn request_line(&mut self, line: &RequestLine<'_>, options: &body::Options) {
        let target = Target::parse(line.uri);
        self.set(Variable::RequestMethod, line.method);
        // A request line without a version is of HTTP/0.9 (RFC 1945, 4.1), and web servers say so.
        let protocol = if line.protocol.is_empty() {
            b"HTTP/0.9"
        } else {
            line.protocol
        };
        self.set(Variable::RequestProtocol, protocol);
        self.set(
            Variable::RequestLine,
            [line.method, b" ", line.uri, b" ", line.protocol].concat(),
        );
        self.set(Variable::RequestUriRaw, line.uri);
        self.set(Variable::RequestBasename, target.basename());
        self.set(Variable::RequestUri, target.uri);
        self.set(Variable::PathInfo, &*target.path);
        self.set(Variable::RequestFilename, target.path);
        let arguments = self.collection_mut(Variable::ArgsGet);
        let outcome = body::urlencoded::parse(&target.query, options, &mut |found| {
            if let Found::Argument { name, value } = found {
                arguments.push(name, value);
            }
        });
        if outcome.invalid_escape {
            self.set(Variable::UrlencodedError, *b"1");
        }
        // Arguments were left out: rules that look at errors of the body must hear of it, or an attack could hide behind the limit.
        if let Some(error) = &outcome.error {
            self.request_body_error(&error.to_string());
        }
        self.set(Variable::QueryString, target.query);
    }

    /// One header of the request.
    pub(crate) fn request_header(&mut self, name: &[u8], value: &[u8]) {
        self.collection_mut(Variable::RequestHeaders).push(name, value);
        match name.to_ascii_lowercase().as_slice() {
            b"host" => self.set(Variable::ServerName, host_name(value)),
            b"authorization" => {
                let mut words = value.splitn(2, |byte| *byte == b' ');
                let scheme = words.next().unwrap_or_default();
                if scheme.eq_ignore_ascii_case(b"basic") {
                    self.set(Variable::RemoteUser, user(words.next().unwrap_or_default()));
                }
                self.set(Variable::AuthType, scheme);
            }
            b"cookie" => {
                let cookies = self.collection_mut(Variable::RequestCookies);
                body::cookies::parse(value, |name, value| cookies.push(name, value));
            }
            _ => {}
        }
    }

    /// The processor that the request's type of content calls for. Of several types the last that calls for one counts, as in
    /// libmodsecurity: a server may take any of them.
    pub(crate) fn default_processor(&self) -> Option<BodyProcessor> {
        self.content_types().filter_map(|kind| processor_of(kind)).last()
    }

    /// What `Content-Type` says, as often as it does.
    fn content_types(&self) -> impl Iterator<Item = &Bytes> {
        let headers = self.collection(Variable::RequestHeaders);
        let types = headers.filter(|header| header.key.eq_ignore_ascii_case(b"content-type"));
        types.map(|header| &header.value)
    }

    /// What a body's processor finds. Returns how many bytes it has without files; of a multipart body
    /// only the headers of its parts and its arguments count.
    pub(crate) fn request_body(&mut self, processor: BodyProcessor, bytes: &[u8], options: &body::Options) -> u64 {
        // The one that calls for this processor, where several are there.
        let calls = |kind: &&Bytes| processor_of(kind) == Some(processor);
        let content_type = self.content_types().filter(calls).last();
        let content_type = content_type.or_else(|| self.content_types().next());
        let content_type = content_type.cloned().unwrap_or_default();
        let (mut file_bytes, mut part_bytes) = (0, 0);
        let outcome = body::process(processor, &content_type, bytes, options, &mut |found| {
            match found {
                Found::File(file) => file_bytes += file.content.len() as u64,
                Found::Argument { value, .. } => part_bytes += value.len() as u64,
                Found::PartHeader { line, .. } => part_bytes += line.len() as u64,
                _ => {}
            }
            self.found(found, Variable::ArgsPost, Variable::Xml);
        });
        self.set_number(Variable::FilesCombinedSize, file_bytes);
        if let Some(error) = &outcome.error {
            self.request_body_error(&error.to_string());
        }
        if outcome.invalid_escape {
            self.set(Variable::UrlencodedError, *b"1");
        }
        if let Some(flags) = &outcome.multipart {
            self.multipart_flags(flags);
        }
        match processor {
            BodyProcessor::Multipart => part_bytes,
            _ => bytes.len() as u64,
        }
    }

    fn multipart_flags(&mut self, flags: &multipart::Flags) {
        let raised = [
            (Variable::MultipartStrictError, flags.strict_error()),
            (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
            (Variable::MultipartBoundaryWhitespace, flags.boundary_whitespace),
            (Variable::MultipartDataBefore, flags.data_before),
            (Variable::MultipartDataAfter, flags.data_after),
            (Variable::MultipartHeaderFolding, flags.header_folding),
            (Variable::MultipartInvalidHeaderFolding, flags.invalid_header_folding),
            (Variable::MultipartLfLine, flags.lf_line),
            (Variable::MultipartCrlfLfLines, flags.crlf_lf_lines()),
            (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
            (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
            (Variable::MultipartInvalidPart, flags.invalid_part),
            (Variable::MultipartFileLimitExceeded, flags.file_limit_exceeded),
        ];
        for (variable, _) in raised.iter().filter(|(_, raised)| *raised) {
            self.set(*variable, *b"1");
        }
        self.set_number(
            Variable::MultipartUnmatchedBoundary,
            match flags.unmatched_boundary {
                UnmatchedBoundary::No => 0,
                UnmatchedBoundary::Suspected => 1,
                UnmatchedBoundary::Matched => 2,
            },
        );
    }

    /// Says that the body could not be read, or not to its end.
    pub(crate) fn request_body_error(&mut self, message: &str) {
        for variable in [Variable::ReqbodyError, Variable::ReqbodyProcessorError] {
            self.set(variable, *b"1");
        }
        for variable in [Variable::ReqbodyErrorMsg, Variable::ReqbodyProcessorErrorMsg] {
            self.set(variable, message.as_bytes());
        }
    }

    /// One finding of a processor.
    pub(super) fn found(&mut self, found: Found<'_>, arguments: Variable, document: Variable) {
        match found {
            Found::Argument { name, value } => self.collection_mut(arguments).push(name, value),
            Found::File(file) => {
                let name = Bytes::from(file.name);
                self.collection_mut(Variable::Files)
                    .push(Bytes::clone(&name), file.filename);
                let size = file.content.len().to_string().into_bytes();
                self.collection_mut(Variable::FilesSizes).push(name, size);
            }
            Found::PartName(name) => self.collection_mut(Variable::MultipartName).push(name, name),
            Found::PartFilename(name) => self.collection_mut(Variable::MultipartFilename).push(name, name),
            Found::PartHeader { part, line } => self.collection_mut(Variable::MultipartPartHeaders).push(part, line),
            Found::XmlText(text) => self.collection_mut(document).push(*b"/*", text),
            Found::XmlAttribute(value) => self.collection_mut(document).push(*b"//@*", value),
        }
    }
}

/// The processor that a type of content calls for.
fn processor_of(content_type: &[u8]) -> Option<BodyProcessor> {
    let begins_with = |name: &[u8]| {
        content_type
            .get(..name.len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(name))
    };
    if begins_with(b"multipart/form-data") {
        Some(BodyProcessor::Multipart)
    } else if begins_with(b"application/x-www-form-urlencoded") {
        Some(BodyProcessor::UrlEncoded)
    } else {
        None
    }
}

/// The user of Basic credentials.
fn user(credentials: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let effect = transformations::apply(
        Transformation::Base64Decode,
        UnicodeMap::default(),
        credentials.trim_ascii(),
        &mut decoded,
    );
    let plain = if effect == Effect::Changed {
        &decoded
    } else {
        credentials
    };
    plain.split(|byte| *byte == b':').next().unwrap_or_default().to_vec()
}

/// A `Host` header without its port.
fn host_name(host: &[u8]) -> &[u8] {
    // The colons of an IPv6 address stand in brackets.
    let after = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host.iter().skip(after).position(|byte| *byte == b':');
    colon.and_then(|colon| host.get(..after + colon)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port() {
        for (host, name) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ""),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), name.as_bytes());
        }
    }
}
