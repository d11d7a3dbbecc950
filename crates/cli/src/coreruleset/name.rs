//! Names of objects and data files.

use coraza_ruleset::{InvalidKey, RuleSetKey};

use super::error::GenerateError;
use super::options::Options;

/// The longest name of a data file, as a RuleData's schema has it.
const MAX_DATA_FILE_NAME: usize = 253;

/// The name of a RuleSource made from a file: `REQUEST-901-INIT.conf` becomes `request-901-init`, with prefix and suffix.
pub(super) fn of_file(file: &str, options: &Options) -> Result<String, GenerateError> {
    let stem = file.strip_suffix(".conf").unwrap_or(file);
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        '_' => Some('-'),
        kept @ ('a'..='z' | '0'..='9' | '.' | '-') => Some(kept),
        _ => None,
    };
    let stem: String = stem.chars().filter_map(letter).collect();
    let name = format!(
        "{}{}{}",
        options.name_prefix,
        stem.trim_matches(['-', '.']),
        options.name_suffix
    );
    match check_subdomain(&name) {
        Ok(()) => Ok(name),
        Err(_) => Err(GenerateError::FileName {
            file: file.to_owned(),
            name,
        }),
    }
}

/// Whether a custom resource may have this name.
pub(super) fn check_subdomain(name: &str) -> Result<(), InvalidKey> {
    RuleSetKey::new("default", name).map(|_| ())
}

/// Whether a namespace may have this name.
pub(super) fn check_label(name: &str) -> Result<(), InvalidKey> {
    RuleSetKey::new(name, "default").map(|_| ())
}

/// Whether a data file may have this name.
pub(super) fn check_data_file(name: &str) -> Result<(), GenerateError> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.len() <= MAX_DATA_FILE_NAME && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(GenerateError::DataFileName { file: name.to_owned() })
    }
}
