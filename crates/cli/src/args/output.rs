//! `-o`: how an answer is written.

use clap::ValueEnum;

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct OutputFlags {
    /// How the answer is written
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: Format,
}
