//! Detection of SQL injection and cross-site scripting, for `detectSQLi` and `detectXSS`. Pure: bytes in, a verdict out.
//!
//! The verdicts are those of libinjection 4, written anew from a description of its behaviour, with its tables (its notice is in
//! the crate's `NOTICE`). Bytes throughout, never characters; no allocation, no recursion, work linear in the value's length.

pub mod sqli;
pub mod xss;
