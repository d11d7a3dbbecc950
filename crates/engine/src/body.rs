//! Body processors: what a request's query, cookies and body say to the rules. Bytes in, findings out; no IO.
//!
//! A processor reads a whole body once and gives what it finds, in order of arrival, to a [`Sink`]. It can't fail: malformed input
//! gives what could be read of it, and [`Outcome::error`] says what was wrong, so that rules can refuse it (`REQBODY_ERROR`). Its
//! work, the bytes it reads and writes, is bounded by its input's length and [`Options`]. Where it differs from ModSecurity, the
//! crate's `DEVIATIONS.md` says so.

pub mod cookies;
mod cursor;
pub mod json;
pub mod multipart;
pub mod urlencoded;
pub mod xml;

#[cfg(test)]
mod found;
#[cfg(test)]
mod regression;
#[cfg(test)]
mod tests;

use std::fmt;

pub use coraza_seclang::rules::BodyProcessor;

/// Where findings go. What they borrow lives as long as the call.
pub type Sink<'s> = dyn FnMut(Found<'_>) + 's;

/// One finding in a query or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An argument (`ARGS`), decoded. A name may come more than once.
    Argument {
        /// The name; may be empty.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// An uploaded file (`FILES`, `FILES_NAMES`, `FILES_SIZES`, `FILES_COMBINED_SIZE`), all under its `name`.
    File(File<'a>),
    /// The name that a part's `Content-Disposition` gives it (`MULTIPART_NAME`), also of a part that is invalid otherwise.
    PartName(&'a [u8]),
    /// A file name that a part's `Content-Disposition` gives it (`MULTIPART_FILENAME`).
    PartFilename(&'a [u8]),
    /// A header of a part (`MULTIPART_PART_HEADERS`).
    PartHeader {
        /// The name of the part.
        part: &'a [u8],
        /// The header, `Name: value`, its folded lines joined by a space.
        line: &'a [u8],
    },
    /// The text of an XML document without its markup (`XML:/*`), at most once.
    XmlText(&'a [u8]),
    /// The value of an attribute of an XML element (`XML://@*`).
    XmlAttribute(&'a [u8]),
}

/// An uploaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// The name of the form's field.
    pub name: &'a [u8],
    /// The file's name as the client says it.
    pub filename: &'a [u8],
    /// What is in it. A slice of the body: nothing is copied.
    pub content: &'a [u8],
}

/// Limits and choices of the processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many arguments may still come (`SecArgumentsLimit`, less those that there are); further ones are dropped with an error.
    pub arguments: usize,
    /// What stands between two arguments of a form (`SecArgumentSeparator`).
    pub argument_separator: u8,
    /// How deep JSON containers may nest (`SecRequestBodyJsonDepthLimit`).
    pub json_depth: usize,
    /// How the items of JSON arrays are named.
    pub json_array_keys: json::ArrayKeys,
    /// How many parts a multipart body may have.
    pub parts: usize,
    /// How many of them may be files (`SecUploadFileLimit`).
    pub files: usize,
    /// How deep XML elements may nest.
    pub xml_depth: usize,
    /// How many elements and attributes an XML document may have.
    pub xml_nodes: usize,
}

impl Default for Options {
    /// ModSecurity's values; where it has none, far above what forms and services send.
    fn default() -> Self {
        Self {
            // The recommended configuration's value: without one there would be no limit.
            arguments: 1000,
            argument_separator: b'&',
            // Coraza's default; ModSecurity's is 10,000, its recommended configuration's 512.
            json_depth: 1024,
            json_array_keys: json::ArrayKeys::Index,
            // Twice as many as arguments, so that the limits of arguments and files are what a form meets first.
            parts: 2000,
            // The default of the reference manual.
            files: 100,
            // As libxml2, ModSecurity's parser.
            xml_depth: 256,
            // As many as a megabyte of short elements has.
            xml_nodes: 100_000,
        }
    }
}

/// What there is to say about a body besides its findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first thing that was wrong (`REQBODY_ERROR` is 1, `REQBODY_ERROR_MSG` its text).
    pub error: Option<BodyError>,
    /// A percent sign was not followed by two hexadecimal digits (`URLENCODED_ERROR`).
    pub invalid_escape: bool,
    /// How strictly a multipart body keeps to the format (the other `MULTIPART_*`).
    pub multipart: Option<multipart::Flags>,
    /// Bytes read and written: never more than a small multiple of the input's length plus a constant.
    pub work: usize,
}

/// What is wrong with a body. Its text is `REQBODY_ERROR_MSG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// A form or a query.
    UrlEncoded(urlencoded::UrlEncodedError),
    /// A multipart body.
    Multipart(multipart::MultipartError),
    /// A JSON document.
    Json(json::JsonError),
    /// An XML document.
    Xml(xml::XmlError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UrlEncoded(error) => write!(f, "Form parsing error: {error}"),
            Self::Multipart(error) => write!(f, "Multipart parsing error: {error}"),
            Self::Json(error) => write!(f, "JSON parsing error: {error}"),
            Self::Xml(error) => write!(f, "XML parsing error: {error}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// Reads `body` as `processor` does. `content_type` is the value of the header, where a multipart body's boundary stands.
pub fn process(
    processor: BodyProcessor,
    content_type: &[u8],
    body: &[u8],
    options: &Options,
    sink: &mut Sink<'_>,
) -> Outcome {
    match processor {
        BodyProcessor::UrlEncoded => urlencoded::parse(body, options, sink),
        BodyProcessor::Multipart => multipart::parse(content_type, body, options, sink),
        BodyProcessor::Json => json::parse(body, options, sink),
        BodyProcessor::Xml => xml::parse(body, options, sink),
        BodyProcessor::Raw => Outcome::default(),
    }
}
