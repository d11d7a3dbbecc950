//! Reads conformance data from `../shared/data` beside the checkout, for tests; they are skipped, visibly, where that is absent.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

fn find(name: &Path) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: ../shared/data/{} is absent", name.display());
    None
}

/// A whole file.
pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    find(Path::new(name)).map(|path| fs::read(path).unwrap())
}

/// The bytes of a base64 field.
pub(crate) fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(vector[field].as_str().unwrap_or_default()).unwrap()
}

/// Asserts for each JSON object of a file, one a line, that `judge` gives two equal texts; for those from the files `known`, two
/// that differ.
pub(crate) fn for_each_line(name: &str, known: &[&str], judge: impl Fn(&Value) -> (String, String)) {
    let Some(path) = find(Path::new(name)) else {
        return;
    };
    let text = fs::read_to_string(path).unwrap();
    let vectors = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results = vectors.filter_map(|vector| {
        let file = vector["file"].as_str().unwrap().to_owned();
        let (actual, expected) = judge(&vector);
        if known.contains(&file.as_str()) {
            assert_ne!(actual, expected, "{file} passes, but is listed");
            return None;
        }
        Some(((actual, expected), file))
    });
    report(results);
}

/// Asserts for each vector of the JSON arrays of a folder that `judge` gives two equal texts; for those in `known` (`file#index`),
/// two that differ.
pub(crate) fn for_each_vector(folder: &str, known: &[&str], judge: impl Fn(&str, &Value) -> Option<(String, String)>) {
    let Some(folder) = find(Path::new(folder)) else {
        return;
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut results = Vec::new();
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let file = path.file_stem().unwrap().to_str().unwrap();
        if file == "index" {
            continue;
        }
        let vectors: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for vector in &vectors {
            let id = format!("{file}#{}", vector["index"]);
            if let Some(texts) = judge(file, vector) {
                results.push((texts, id));
            }
        }
    }
    for id in known {
        assert!(
            results
                .iter()
                .any(|((actual, expected), found)| found == id && actual != expected),
            "{id} passes"
        );
    }
    report(results.into_iter().filter(|(_, id)| !known.contains(&id.as_str())));
}

/// Asserts for each URL-encoded line of the `.txt` files of a folder, and its line of the `.expected.tsv` file, that `judge`
/// gives two equal texts.
pub(crate) fn for_each_corpus_line(folder: &Path, judge: impl Fn(&[u8], &str) -> (String, String)) {
    let Some(folder) = find(folder) else {
        return;
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inputs = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut results = Vec::new();
    for path in inputs {
        let expected = fs::read_to_string(path.with_extension("expected.tsv")).unwrap();
        let input = fs::read(&path).unwrap();
        let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (number, (line, expected)) in lines.zip(expected.lines()).enumerate() {
            results.push((
                judge(&url_decode(line), expected),
                format!("{}:{}", path.display(), number + 1),
            ));
        }
    }
    report(results.into_iter());
}

fn url_decode(text: &[u8]) -> Vec<u8> {
    use crate::transformations::{Effect, Transformation, UnicodeMap, apply};
    let mut decoded = Vec::new();
    match apply(Transformation::UrlDecode, UnicodeMap::LowByte, text, &mut decoded) {
        Effect::Changed => decoded,
        Effect::Unchanged => text.to_vec(),
    }
}

fn report(results: impl Iterator<Item = ((String, String), String)>) {
    let (mut passed, mut failures) = (0, Vec::new());
    for ((actual, expected), id) in results {
        if actual == expected {
            passed += 1;
        } else {
            failures.push(format!("{id}: {actual:?}, expected {expected:?}"));
        }
    }
    println!("{passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(passed > 0, "no data");
}
