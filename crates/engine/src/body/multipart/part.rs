//! One part of a multipart body: its header, then its data. No IO.

use super::super::cursor::is_space;
use super::super::{File, Found};
use super::disposition::{self, Disposition};
use super::lines::Text;
use super::{Form, MultipartError};

/// ModSecurity's limit of a header line; folded, of the whole header.
const MAX_HEADER: usize = 4096;

/// Forms have two or three. Each is compared with those before it.
const MAX_HEADERS: usize = 32;

/// A part as far as it has been read.
#[derive(Default)]
pub(super) struct Part<'b> {
    headers: Vec<Header>,
    data: Option<Data<'b>>,
}

struct Header {
    /// `Name: value`, its folded lines joined.
    line: Vec<u8>,
    /// The length of the name.
    name: usize,
}

/// What follows a part's header.
struct Data<'b> {
    /// What the part is, unless that can't be told.
    disposition: Option<Disposition>,
    /// The body from the data on.
    body: &'b [u8],
    /// Where it begins in the body.
    start: usize,
}

impl Header {
    fn name(&self) -> &[u8] {
        self.line.get(..self.name).unwrap_or_default()
    }

    fn value(&self) -> &[u8] {
        let after = self.line.get(self.name + 1..).unwrap_or_default();
        let start = after.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        after.get(start.unwrap_or(after.len())..).unwrap_or_default()
    }
}

impl<'b> Part<'b> {
    /// Reads a line.
    pub(super) fn line(&mut self, line: Text<'b>, form: &mut Form<'_, '_>) {
        if self.data.is_some() {
            return;
        }
        form.flags.line_end(line.bytes);
        if matches!(line.bytes, b"\r\n" | b"\n") {
            self.end_of_header(line, form);
        } else if let Err(error) = self.header(line.bytes, form) {
            form.report(error);
        }
    }

    fn header(&mut self, line: &[u8], form: &mut Form<'_, '_>) -> Result<(), MultipartError> {
        if line.contains(&0) {
            return Err(MultipartError::NulInHeader);
        }
        if line.len() > MAX_HEADER {
            return Err(MultipartError::HeaderTooLong);
        }
        let line = strip_line_end(line);
        let indent = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
        if indent > 0 {
            return self.folded(line.split_at(indent), form);
        }
        let name = memchr::memchr(b':', line).ok_or(MultipartError::InvalidHeader)?;
        let header = Header {
            line: line.to_vec(),
            name,
        };
        let is_valid = !header.name().is_empty() && header.name().iter().all(|byte| is_name(*byte));
        if self.headers.len() >= MAX_HEADERS {
            return Err(MultipartError::HeaderTooLong);
        }
        let is_known = self
            .headers
            .iter()
            .any(|known| known.name().eq_ignore_ascii_case(header.name()));
        // An invalid name too: rules look for it.
        self.headers.push(header);
        if !is_valid {
            Err(MultipartError::InvalidHeader)
        } else if is_known {
            Err(MultipartError::DuplicateHeader)
        } else {
            Ok(())
        }
    }

    fn folded(&mut self, (indent, text): (&[u8], &[u8]), form: &mut Form<'_, '_>) -> Result<(), MultipartError> {
        form.flags.header_folding = true;
        form.flags.invalid_header_folding |= indent.iter().any(|byte| !matches!(byte, b' ' | b'\t'));
        let header = self.headers.last_mut().ok_or(MultipartError::InvalidFolding)?;
        if header.line.len() + text.len() >= MAX_HEADER {
            return Err(MultipartError::HeaderTooLong);
        }
        header.line.push(b' ');
        header.line.extend_from_slice(text);
        Ok(())
    }

    fn end_of_header(&mut self, line: Text<'b>, form: &mut Form<'_, '_>) {
        let header = self
            .headers
            .iter()
            .find(|header| header.name().eq_ignore_ascii_case(b"content-disposition"));
        let disposition = match header {
            Some(header) => disposition::parse(header.value(), &mut form.flags, form.sink),
            None => Err(MultipartError::NoDisposition),
        };
        let name = disposition.as_ref().map_or(&[][..], |disposition| &disposition.name);
        for header in &self.headers {
            let Some(names_left) = form.names_left.checked_sub(name.len()) else {
                form.report(MultipartError::HeaderTooLong);
                break;
            };
            form.names_left = names_left;
            form.written += name.len() + header.line.len();
            (form.sink)(Found::PartHeader {
                part: name,
                line: &header.line,
            });
        }
        self.data = Some(Data {
            body: line.body.get(line.bytes.len()..).unwrap_or_default(),
            start: line.start + line.bytes.len(),
            disposition: disposition.map_err(|error| form.report(error)).ok(),
        });
    }

    /// Ends the part before the boundary that begins at `end`.
    pub(super) fn finish(self, end: usize, form: &mut Form<'_, '_>) {
        let Some(Data {
            disposition,
            body,
            start,
        }) = self.data
        else {
            form.flags.invalid_part = true;
            return form.report(MultipartError::NoData);
        };
        let Some(Disposition { name, filename }) = disposition else {
            form.flags.invalid_part = true;
            return;
        };
        let data = body.get(..end.saturating_sub(start)).unwrap_or_default();
        // The line end belongs to the boundary. Data without one has lent it to the header.
        form.flags.invalid_part |= data.is_empty();
        let content = strip_line_end(data);
        if filename.is_empty() {
            form.argument(&name, content);
        } else {
            form.file(File {
                name: &name,
                filename: &filename,
                content,
            });
        }
    }
}

impl Form<'_, '_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) {
        if self.arguments >= self.options.arguments {
            return self.report(MultipartError::TooManyArguments);
        }
        self.arguments += 1;
        self.written += name.len() + value.len();
        (self.sink)(Found::Argument { name, value });
    }

    /// A file beyond the limit is given too: its name can be inspected, whatever becomes of it.
    fn file(&mut self, file: File<'_>) {
        if self.files >= self.options.files {
            self.flags.file_limit_exceeded = true;
            self.report(MultipartError::TooManyFiles);
        }
        self.files += 1;
        self.written += file.name.len() + file.filename.len();
        (self.sink)(Found::File(file));
    }
}

fn strip_line_end(line: &[u8]) -> &[u8] {
    let Some(line) = line.strip_suffix(b"\n") else {
        return line;
    };
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Characters of header names: RFC 7230's tokens.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
