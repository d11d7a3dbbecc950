//! Operators that are functions of a value and an argument alone. Bytes in, a verdict out; no IO.
//!
//! Arguments with macros are expanded before; arguments that never change are made ready when a rule is compiled
//! ([`Networks`](networks::Networks), [`Words`](words::Words), [`ByteRanges`](validate::ByteRanges)). The work of each is linear
//! in the length of the value. `rx` and its kin are in [`pattern`](crate::pattern), `detectSQLi` and `detectXSS` in
//! [`detect`](crate::detect); `noMatch` and `unconditionalMatch` need no code.

pub mod identity;
pub(crate) mod list;
pub mod networks;
pub mod number;
pub(crate) mod rest_path;
pub mod text;
pub mod validate;
pub mod words;

#[cfg(test)]
mod tests;
