//! Multipart forms (`multipart/form-data`): arguments, files, and how strictly the body keeps to the format. No IO.
//!
//! As strict as ModSecurity: parsers behind us disagree about anything unusual, and what one takes for a file's content is another's
//! argument. So whatever is unusual sets a flag ([`Flags`]), whatever is wrong is an error, and an invalid part costs only itself:
//! the parts after it are read too.

mod boundary;
mod disposition;
mod flags;
mod lines;
mod part;

use super::{Options, Outcome, Sink};
pub use flags::{Flags, UnmatchedBoundary};
use lines::{Line, Lines};
use part::Part;

/// How many bytes the names given with parts' headers may have beyond twice the body's length. Each header has its part's name, so a
/// name of four kilobytes with thirty headers of four bytes would become thirty times as much.
const NAMES_ALLOWANCE: usize = 1 << 16;

/// What is wrong with a body or its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The media type is not `multipart/form-data`, or the header is longer than 1024 bytes.
    #[error("the media type is not multipart/form-data")]
    MediaType,
    /// There is no `boundary` parameter.
    #[error("no boundary in the media type")]
    NoBoundaryParameter,
    /// There are several `boundary` parameters.
    #[error("several boundaries in the media type")]
    SeveralBoundaries,
    /// The `boundary` parameter is not written as it should be, or holds what a boundary can't.
    #[error("invalid boundary in the media type")]
    InvalidBoundaryParameter,
    /// No line of the body is the boundary.
    #[error("no boundary in the body")]
    NoBoundary,
    /// A line begins with the boundary, but goes on, or has something in front of it.
    #[error("invalid boundary line")]
    InvalidBoundary,
    /// The last boundary is missing.
    #[error("final boundary missing")]
    NoFinalBoundary,
    /// A part's header holds a NUL.
    #[error("NUL in a part's header")]
    NulInHeader,
    /// A line of a part's header is longer than 4096 bytes, there are more than 32, or far more of them than the body is long.
    #[error("a part's header is too long")]
    HeaderTooLong,
    /// A line of a part's header is no `Name: value`.
    #[error("invalid line in a part's header")]
    InvalidHeader,
    /// A folded line has no header in front of it.
    #[error("folded line without a header in front of it")]
    InvalidFolding,
    /// A part has two headers of one name.
    #[error("duplicate header of a part")]
    DuplicateHeader,
    /// A part ends within its header.
    #[error("part without data")]
    NoData,
    /// A part has no `Content-Disposition`.
    #[error("part without Content-Disposition")]
    NoDisposition,
    /// A part's `Content-Disposition` can't be read.
    #[error("invalid Content-Disposition")]
    InvalidDisposition,
    /// A part has no name, or an empty one.
    #[error("part without a name")]
    NoName,
    /// There are more arguments than [`Options::arguments`].
    #[error("more arguments than the limit")]
    TooManyArguments,
    /// There are more parts than [`Options::parts`]; the rest was not read.
    #[error("more parts than the limit")]
    TooManyParts,
    /// There are more files than [`Options::files`].
    #[error("more files than the limit")]
    TooManyFiles,
}

/// Reads a body. The empty body is no error.
pub fn parse(content_type: &[u8], body: &[u8], options: &Options, sink: &mut Sink<'_>) -> Outcome {
    let mut form = Form {
        options,
        sink,
        flags: Flags::default(),
        error: None,
        arguments: 0,
        files: 0,
        names_left: body.len().saturating_mul(2).saturating_add(NAMES_ALLOWANCE),
        written: 0,
    };
    let mut read = content_type.len();
    match boundary::parse(content_type, &mut form.flags) {
        Ok(boundary) => read += form.read(Lines::new(body, boundary)),
        Err(error) => form.report(error),
    }
    Outcome {
        error: form.error.map(super::BodyError::Multipart),
        multipart: Some(form.flags),
        work: read + form.written,
        ..Outcome::default()
    }
}

/// A form as far as it has been read.
struct Form<'o, 's> {
    options: &'o Options,
    sink: &'o mut Sink<'s>,
    flags: Flags,
    error: Option<MultipartError>,
    arguments: usize,
    files: usize,
    /// How many bytes of names may still be given with headers.
    names_left: usize,
    /// Bytes written for findings.
    written: usize,
}

impl Form<'_, '_> {
    /// Notes an error that makes the form invalid in the strict sense too.
    fn report(&mut self, error: MultipartError) {
        self.flags.error = true;
        self.error.get_or_insert(error);
    }

    /// Reads the lines and returns how many bytes were read.
    fn read(&mut self, mut lines: Lines<'_>) -> usize {
        let (mut parts, mut part): (usize, Option<Part<'_>>) = (0, None);
        let mut complete = lines.is_empty();
        while let Some(line) = lines.next(&mut self.flags) {
            match line {
                Line::Boundary { is_final, start } => {
                    if let Some(part) = part.take() {
                        part.finish(start, self);
                    }
                    parts += 1;
                    if is_final {
                        self.flags.data_after |= !lines.is_empty();
                        complete = true;
                        break;
                    }
                    if parts > self.options.parts {
                        self.report(MultipartError::TooManyParts);
                        return lines.read();
                    }
                    part = Some(Part::default());
                }
                Line::InvalidBoundary => self.report(MultipartError::InvalidBoundary),
                Line::Other(line) => match &mut part {
                    Some(part) => part.line(line, self),
                    None => self.flags.data_before = true,
                },
            }
        }
        if !complete {
            // What a limit of the body cut is a part too.
            if let Some(part) = part {
                part.finish(lines.read(), self);
            }
            self.error.get_or_insert(if parts > 0 {
                MultipartError::NoFinalBoundary
            } else {
                MultipartError::NoBoundary
            });
        }
        lines.read()
    }
}

#[cfg(test)]
mod tests;
