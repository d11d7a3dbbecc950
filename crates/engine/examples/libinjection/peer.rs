//! The libinjection that libmodsecurity's `@detectSQLi` and `@detectXSS` call, by the C functions that they call.

#![allow(unsafe_code, reason = "foreign functions")]

use std::ffi::{CStr, c_char, c_int};
use std::path::Path;

use libloading::Library;

type Sqli = unsafe extern "C" fn(*const u8, usize, *mut c_char) -> c_int;
type Xss = unsafe extern "C" fn(*const u8, usize) -> c_int;

/// Bytes after each input, since the C code may look a little beyond: always the same ones.
const PADDING: [u8; 64] = [0; 64];

pub(crate) struct Peer {
    sqli: Sqli,
    xss: Xss,
    // Last, so that its code is there until the others are gone.
    _library: Library,
}

impl Peer {
    pub(crate) fn load(library: &Path) -> Result<Self, String> {
        let failed = |error: libloading::Error| format!("{}: {error}", library.display());
        // SAFETY: the library is libmodsecurity, whose initialisers have no requirements.
        let library = unsafe { Library::new(library) }.map_err(failed)?;
        // SAFETY: the types are those of libinjection 4's header; both return an enum, 1 for an attack.
        let (sqli, xss) = unsafe {
            let sqli: Sqli = *library.get(b"libinjection_sqli\0").map_err(failed)?;
            let xss: Xss = *library.get(b"libinjection_xss\0").map_err(failed)?;
            (sqli, xss)
        };
        Ok(Self {
            sqli,
            xss,
            _library: library,
        })
    }

    /// The fingerprint, if it is SQL injection.
    pub(crate) fn sqli(&self, input: &[u8]) -> Option<String> {
        let padded = [input, &PADDING].concat();
        let mut fingerprint = [0; 8];
        // SAFETY: as long as the input and its padding live; the fingerprint has the eight bytes that it may write.
        let found = unsafe { (self.sqli)(padded.as_ptr(), input.len(), fingerprint.as_mut_ptr()) } == 1;
        // SAFETY: it ends with a NUL, since it has five letters at most.
        let fingerprint = unsafe { CStr::from_ptr(fingerprint.as_ptr()) };
        found.then(|| fingerprint.to_string_lossy().into_owned())
    }

    /// Whether it is cross-site scripting.
    pub(crate) fn xss(&self, input: &[u8]) -> bool {
        let padded = [input, &PADDING].concat();
        // SAFETY: as above.
        unsafe { (self.xss)(padded.as_ptr(), input.len()) == 1 }
    }
}
