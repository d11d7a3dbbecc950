//! The boundary in a `Content-Type`, read as strictly as ModSecurity does. No IO.

use super::super::cursor::is_space;
use super::{Flags, MultipartError};

const MEDIA_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";

/// ModSecurity's limit of the header's length.
const MAX_CONTENT_TYPE: usize = 1024;

/// The boundary of a body whose `Content-Type` is `header`.
pub(super) fn parse<'h>(header: &'h [u8], flags: &mut Flags) -> Result<&'h [u8], MultipartError> {
    let (media_type, parameters) = header
        .split_at_checked(MEDIA_TYPE.len())
        .ok_or(MultipartError::MediaType)?;
    if header.len() > MAX_CONTENT_TYPE || !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(MultipartError::MediaType);
    }
    let Some(at) = memchr::memmem::find(parameters, PARAMETER) else {
        let other_case = occurrences(parameters) > 0;
        return Err(if other_case {
            MultipartError::InvalidBoundaryParameter
        } else {
            MultipartError::NoBoundaryParameter
        });
    };
    if occurrences(parameters) > 1 {
        return Err(MultipartError::SeveralBoundaries);
    }
    let (before, parameter) = parameters.split_at(at);
    separator(before, flags)?;
    value(parameter.get(PARAMETER.len()..).unwrap_or_default(), flags)
}

/// How often the parameter's name comes with a `=` somewhere behind it, in any case.
fn occurrences(text: &[u8]) -> usize {
    let end = memchr::memrchr(b'=', text).unwrap_or(0);
    let named = text.get(..end).unwrap_or_default();
    let names = named.windows(PARAMETER.len());
    names.filter(|name| name.eq_ignore_ascii_case(PARAMETER)).count()
}

/// Between the media type and the parameter may only stand one semicolon, and spaces.
fn separator(text: &[u8], flags: &mut Flags) -> Result<(), MultipartError> {
    let mut others = text.iter().filter(|byte| !is_space(**byte));
    match (others.next(), others.next()) {
        (None, _) => flags.missing_semicolon = true,
        (Some(b';'), None) => {}
        _ => return Err(MultipartError::InvalidBoundaryParameter),
    }
    Ok(())
}

/// Reads what comes after the parameter's name. All of it is the boundary: nothing else may follow.
fn value<'h>(text: &'h [u8], flags: &mut Flags) -> Result<&'h [u8], MultipartError> {
    let equals = memchr::memchr(b'=', text).ok_or(MultipartError::InvalidBoundaryParameter)?;
    let (before, value) = text.split_at(equals);
    let value = value.get(1..).unwrap_or_default();
    if !before.iter().all(|byte| is_space(*byte)) {
        return Err(MultipartError::InvalidBoundaryParameter);
    }
    flags.boundary_whitespace |= !before.is_empty() || value.first().is_some_and(|byte| is_space(*byte));
    let value = match value {
        [b'"', quoted @ .., b'"'] => {
            flags.boundary_quoted = true;
            quoted
        }
        [b'"', ..] | [.., b'"'] => return Err(MultipartError::InvalidBoundaryParameter),
        _ => value,
    };
    let valid = !value.is_empty() && !value.ends_with(b" ") && value.iter().all(|byte| is_allowed(*byte));
    if valid && occurrences(value) == 0 {
        Ok(value)
    } else {
        Err(MultipartError::InvalidBoundaryParameter)
    }
}

/// RFC 2046's characters of boundaries.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+_,-./:=?".contains(&byte)
}
