//! Filters for Envoy that are small enough to be written by hand, from their text form in `e2e/wasm`.

use crate::environment::checkout;

/// A filter that adds its configuration to each response, as the header [`ECHO_HEADER`].
///
/// # Panics
/// If its text isn't WebAssembly.
#[must_use]
pub fn echo() -> Vec<u8> {
    wat::parse_file(checkout("e2e/wasm/echo.wat")).expect("the filter's text is WebAssembly")
}

/// The header that [`echo`] adds.
pub const ECHO_HEADER: &str = "x-plugin-configuration";
