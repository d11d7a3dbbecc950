//! The vectors of the rule language (a value, an operator or a transformation, and what comes out) and ModSecurity's regression cases.
//! Reads files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coraza_engine::transaction::{Connection, Identity, RequestLine};
use coraza_engine::transformations::{Effect, Transformation, UnicodeMap, apply};
use coraza_engine::{DataFiles, Options, Program, Transaction};
use coraza_seclang::{Severity, lower, parse};
use serde_json::Value;

use super::ftw::recording::bytes;
use super::{Report, Run, regression, shared};

/// The folders of a set of vectors, each a suite.
const OPERATORS: &str = "operators";
const TRANSFORMATIONS: &str = "transformations";

pub(crate) fn operators(folder: Option<&Path>, only: Option<&str>) -> Run {
    run(OPERATORS, folder, only, operator)
}

pub(crate) fn transformations(folder: Option<&Path>, only: Option<&str>) -> Run {
    run(TRANSFORMATIONS, folder, only, |_, vector| transformation(vector))
}

pub(crate) fn regression_cases(folder: Option<&Path>, only: Option<&str>) -> Run {
    let whole = folder.is_none() && only.is_none();
    regression::run(place(folder, regression::SUITE), whole, only)
}

fn place(folder: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let Some(folder) = folder else {
        return shared(&format!("vectors/{name}"));
    };
    let place = folder.join(name);
    if place.exists() {
        Ok(place)
    } else {
        Err(format!("{} is absent", place.display()))
    }
}

struct Vector {
    name: String,
    vector: Value,
}

fn run(
    suite: &'static str,
    folder: Option<&Path>,
    only: Option<&str>,
    judge: impl Fn(&Path, &Value) -> Option<String> + Sync,
) -> Run {
    let whole = folder.is_none() && only.is_none();
    let folder = match place(folder, suite) {
        Ok(folder) => folder,
        Err(absent) => return Run::Skipped(format!("{suite}: {absent}")),
    };
    match read(&folder, only) {
        Err(error) => Run::Failed(format!("{suite}: {error}")),
        Ok(vectors) => Run::Done(Report::of(suite, whole, &vectors, |vector| {
            let difference = judge(&folder, &vector.vector);
            Some((vector.name.clone(), difference.into_iter().collect()))
        })),
    }
}

fn read(folder: &Path, only: Option<&str>) -> Result<Vec<Vector>, String> {
    let mut vectors = Vec::new();
    for path in super::json_files(folder)? {
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let list: Vec<Value> = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let named = list.into_iter().map(|vector| Vector {
            name: format!("{stem}#{}", vector["index"]),
            vector,
        });
        vectors.extend(named.filter(|vector| only.is_none_or(|only| vector.name.contains(only))));
    }
    Ok(vectors)
}

/// How a transformation's result differs from what it should be. Where libmodsecurity 3.0.15 differs from the vector, the vector is wrong.
fn transformation(vector: &Value) -> Option<String> {
    let name = vector["name"].as_str().unwrap_or_default();
    let Some(transformation) = Transformation::parse(name.as_bytes()) else {
        return Some(format!("no transformation is called {name}"));
    };
    let input = bytes(vector.get("input_b64"));
    let mut out = Vec::new();
    let actual = match apply(transformation, UnicodeMap::LowByte, &input, &mut out) {
        Effect::Unchanged => &input,
        Effect::Changed => &out,
    };
    let is_wrong = vector["oracle"]["agree"] == false;
    let side = if is_wrong { &vector["oracle"] } else { vector };
    let expected = bytes(side.get("output_b64"));
    (*actual != expected).then(|| format!("{}, not {}", actual.escape_ascii(), expected.escape_ascii()))
}

/// How an operator's verdict differs from what it should be: a rule with it sees the value in a header.
fn operator(folder: &Path, vector: &Value) -> Option<String> {
    let (name, argument) = (
        vector["name"].as_str().unwrap_or_default(),
        bytes(vector.get("param_b64")),
    );
    let argument = argument.iter().flat_map(|byte| match byte {
        b'"' => b"\\\"".to_vec(),
        // A rule is one line; a regular expression can say what it would end with.
        b'\n' => b"\\n".to_vec(),
        other => vec![*other],
    });
    let mut source = format!("SecRule REQUEST_HEADERS:v \"@{name} ").into_bytes();
    source.extend(argument);
    source.extend_from_slice(b"\" \"id:1,phase:1,pass,log\"");
    let refused = vector["oracle"]["error"]
        .as_str()
        .is_some_and(|error| error.starts_with("rule refused"));
    let program = match (compile(&source, folder), refused) {
        (Ok(_), true) => return Some("the rule was accepted".to_owned()),
        (Err(_), true) => return None,
        (Err(error), false) => return Some(format!("the rule was refused: {error}")),
        (Ok(program), false) => program,
    };
    let value = bytes(vector.get("input_b64"));
    let transaction = Transaction::new(&program, &Connection::default(), &Identity::default());
    let line = RequestLine {
        method: b"GET",
        uri: b"/",
        protocol: b"HTTP/1.1",
    };
    let headers = [(b"v".as_slice(), value.as_slice())];
    let matched = transaction
        .request_headers(&line, headers)
        .is_ok_and(|transaction| !transaction.matched().is_empty());
    (vector["ret"] != i64::from(matched)).then(|| format!("{}, not {}", i64::from(matched), vector["ret"]))
}

fn compile(source: &[u8], folder: &Path) -> Result<Arc<Program>, String> {
    let parsed = Arc::new(parse(source));
    let error = parsed
        .diagnostics
        .iter()
        .find(|diagnostic| diagnostic.severity == Severity::Error);
    if let Some(error) = error {
        return Err(error.to_string());
    }
    let (rules, _) = lower(&[parsed]);
    let files = Files::read(folder);
    let options = Options {
        files: &files,
        ..Options::default()
    };
    let program = Program::compile(&rules, &options);
    program.map(Arc::new).map_err(|errors| {
        let texts = errors.iter().map(|error| error.diagnostic.to_string());
        texts.collect::<Vec<_>>().join("; ")
    })
}

/// The files that vectors name. They lie in `op/`, whatever the folder was called when the vectors were written.
struct Files(BTreeMap<Vec<u8>, Vec<u8>>);

impl Files {
    fn read(folder: &Path) -> Self {
        // Other vectors may name the same files without having them.
        let folders = [shared("vectors/operators/op"), Ok(folder.join("op"))];
        let folders = folders.into_iter().flatten().flat_map(fs::read_dir);
        let entries = folders.flatten();
        let files = entries.filter_map(|file| {
            let file = file.ok()?;
            Some((file.file_name().into_encoded_bytes(), fs::read(file.path()).ok()?))
        });
        Self(files.collect())
    }
}

impl DataFiles for Files {
    fn read(&self, name: &[u8]) -> Option<&[u8]> {
        let base = name.rsplit(|byte| *byte == b'/').next()?;
        self.0.get(base).map(Vec::as_slice)
    }
}
