//! The conformance vectors of other projects, from `../shared/data` beside the checkout; skipped, visibly, where that is absent.

mod data;
mod transformations;
