//! What is unusual about a multipart body, as ModSecurity's `MULTIPART_*` variables name it. No IO.

use coraza_seclang::rules::Variable;

/// Whether a line looks like a boundary, but is none (`MULTIPART_UNMATCHED_BOUNDARY`). The last line that says so counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedBoundary {
    /// No line does: 0.
    #[default]
    No,
    /// A line does: 1.
    Suspected,
    /// A boundary was found again after the first one, which takes the suspicion back: 2.
    Matched,
}

/// One flag a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The body could not be read as a form. Has no variable but `MULTIPART_STRICT_ERROR`.
    pub error: bool,
    /// `MULTIPART_BOUNDARY_QUOTED`.
    pub boundary_quoted: bool,
    /// `MULTIPART_BOUNDARY_WHITESPACE`: beside the `=` of the parameter.
    pub boundary_whitespace: bool,
    /// `MULTIPART_DATA_BEFORE`: anything before the first boundary.
    pub data_before: bool,
    /// `MULTIPART_DATA_AFTER`: anything after the last one.
    pub data_after: bool,
    /// `MULTIPART_HEADER_FOLDING`.
    pub header_folding: bool,
    /// `MULTIPART_INVALID_HEADER_FOLDING`: with other characters than space and tab.
    pub invalid_header_folding: bool,
    /// `MULTIPART_LF_LINE`: a line of the structure (not of the data) ends in a lone line feed.
    pub lf_line: bool,
    /// Such a line ends in carriage return and line feed.
    pub crlf_line: bool,
    /// `MULTIPART_MISSING_SEMICOLON`: before the boundary parameter.
    pub missing_semicolon: bool,
    /// `MULTIPART_INVALID_QUOTING`: single quotes, no closing quote, or something after it.
    pub invalid_quoting: bool,
    /// `MULTIPART_INVALID_PART`: a part could not be read.
    pub invalid_part: bool,
    /// `MULTIPART_FILE_LIMIT_EXCEEDED`.
    pub file_limit_exceeded: bool,
    /// `MULTIPART_UNMATCHED_BOUNDARY`. Not part of the strict check.
    pub unmatched_boundary: UnmatchedBoundary,
}

impl Flags {
    /// `MULTIPART_CRLF_LF_LINES`: both line ends are used.
    pub fn crlf_lf_lines(&self) -> bool {
        self.crlf_line && self.lf_line
    }

    /// `MULTIPART_STRICT_ERROR`: any flag but those that have a check of their own.
    pub fn strict_error(&self) -> bool {
        // No `..`, so that a new flag has to be decided on.
        let Self {
            error,
            boundary_quoted,
            boundary_whitespace,
            data_before,
            data_after,
            header_folding,
            invalid_header_folding,
            lf_line,
            crlf_line: _,
            missing_semicolon,
            invalid_quoting,
            invalid_part,
            file_limit_exceeded,
            unmatched_boundary: _,
        } = *self;
        error
            || boundary_quoted
            || boundary_whitespace
            || data_before
            || data_after
            || header_folding
            || invalid_header_folding
            || lf_line
            || missing_semicolon
            || invalid_quoting
            || invalid_part
            || file_limit_exceeded
    }

    /// The variables that they fill, 0 or 1 (`MULTIPART_UNMATCHED_BOUNDARY` up to 2).
    pub fn variables(&self) -> [(Variable, u8); 14] {
        [
            (Variable::MultipartStrictError, self.strict_error().into()),
            (Variable::MultipartBoundaryQuoted, self.boundary_quoted.into()),
            (Variable::MultipartBoundaryWhitespace, self.boundary_whitespace.into()),
            (Variable::MultipartDataBefore, self.data_before.into()),
            (Variable::MultipartDataAfter, self.data_after.into()),
            (Variable::MultipartHeaderFolding, self.header_folding.into()),
            (
                Variable::MultipartInvalidHeaderFolding,
                self.invalid_header_folding.into(),
            ),
            (Variable::MultipartLfLine, self.lf_line.into()),
            (Variable::MultipartCrlfLfLines, self.crlf_lf_lines().into()),
            (Variable::MultipartMissingSemicolon, self.missing_semicolon.into()),
            (Variable::MultipartInvalidQuoting, self.invalid_quoting.into()),
            (Variable::MultipartInvalidPart, self.invalid_part.into()),
            (Variable::MultipartFileLimitExceeded, self.file_limit_exceeded.into()),
            (Variable::MultipartUnmatchedBoundary, self.unmatched_boundary as u8),
        ]
    }

    /// Notes how a line of the structure ends.
    pub(super) fn line_end(&mut self, line: &[u8]) {
        if line.ends_with(b"\r\n") {
            self.crlf_line = true;
        } else if line.ends_with(b"\n") {
            self.lf_line = true;
        }
    }
}
