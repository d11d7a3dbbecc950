//! Why objects can't be generated: a flag, a file name or a size.

use coraza_ruleset::InvalidKey;

/// What is wrong with the flags or the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GenerateError {
    /// `--version` is no version.
    #[error("--version {version:?} is not digits and dots, as in 4.25.0")]
    Version {
        /// What was given.
        version: String,
    },
    /// `--ignore-rules` has something that is no rule id.
    #[error("--ignore-rules: {id:?} is not a rule id")]
    RuleId {
        /// What was given.
        id: String,
    },
    /// A flag is no name that Kubernetes accepts.
    #[error("{flag} {name:?} is not a name that Kubernetes accepts")]
    Name {
        /// The flag.
        flag: &'static str,
        /// What was given.
        name: String,
        /// What such a name is.
        #[source]
        source: InvalidKey,
    },
    /// A file's name makes no name that Kubernetes accepts.
    #[error(
        "{file} would become RuleSource {name:?}, which is not a name that Kubernetes accepts; change the file's name, --name-prefix or --name-suffix"
    )]
    FileName {
        /// The file.
        file: String,
        /// The name.
        name: String,
    },
    /// A data file's name can't be a key of a RuleData.
    #[error(
        "data file {file:?} must be renamed, here and in the rules that read it: a name has letters, digits, '-', '_' and '.', and at most 253 of them"
    )]
    DataFileName {
        /// The file.
        file: String,
    },
    /// Two sources would have one name.
    #[error("two files would become RuleSource {name:?}; rename one of them, or use --name-prefix")]
    SameName {
        /// The name.
        name: String,
    },
    /// Too large for an object.
    #[error(
        "{what} is {bytes} bytes, and an object should not have more than {limit}; divide the file, or pass --skip-size-check"
    )]
    TooLarge {
        /// The file.
        what: String,
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
