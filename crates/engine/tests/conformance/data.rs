//! Finds and reads the vectors.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A folder of the shared data, or none, said on standard output in one line.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} absent", path.display());
    None
}

/// The files of a folder with this extension, by name.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// The vectors of a file that holds one JSON array.
pub(crate) fn array(file: &Path) -> Vec<Value> {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The bytes of a base64 field; none if it is absent.
pub(crate) fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(vector[field].as_str().unwrap_or_default()).unwrap()
}

/// Checks each vector by `failure`, which says what is wrong with it. Those in `known` (`file#index`) must fail, all others pass.
pub(crate) fn check(files: &[PathBuf], known: &[(&str, &str)], mut failure: impl FnMut(&Value) -> Option<String>) {
    let (mut passed, mut failures) = (0, Vec::new());
    let mut known_failed = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        for vector in array(file) {
            let id = format!("{stem}#{}", vector["index"]);
            match failure(&vector) {
                None => passed += 1,
                Some(_) if known.iter().any(|(listed, _)| *listed == id) => known_failed.push(id),
                Some(reason) => failures.push(format!("{id}: {reason}")),
            }
        }
    }
    println!(
        "{passed} passed, {} failed, {} listed",
        failures.len(),
        known_failed.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for (listed, reason) in known {
        assert!(
            known_failed.iter().any(|id| id == listed),
            "{listed} passes or is gone, but is listed: {reason}"
        );
    }
}
