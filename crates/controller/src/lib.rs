//! (skeleton)

pub mod publish;
