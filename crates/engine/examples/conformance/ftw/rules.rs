//! Loads the Core Rule Set as its own test suite prescribes, or as an operator would for blocking. Reads files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coraza_engine::{Evaluation, Options, Program};
use coraza_seclang::{Severity, lower, parse};

/// How rules are set up.
pub(crate) struct Setup {
    /// The paranoia level.
    level: u8,
    /// Whether rules act.
    blocking: bool,
}

impl Setup {
    /// Paranoia level 4, nothing is blocked: as the Core Rule Set's own tests want it.
    pub(crate) fn detection() -> Self {
        Self {
            level: 4,
            blocking: false,
        }
    }

    /// As an operator sets them up.
    pub(crate) fn blocking(level: u8) -> Self {
        Self { level, blocking: true }
    }
}

/// The rule that the suite's own instructions want before all others.
const DETECTION: &str = "SecAction \"id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
setvar:tx.combined_file_sizes=65535\"";

const BODIES: &str = "SecRequestBodyAccess On\nSecResponseBodyAccess On\n\
SecResponseBodyMimeType text/plain text/html text/xml application/json application/octet-stream\n";

/// What the recorded reference was run without: a file, limits that make PCRE lose matches, and what libmodsecurity refuses.
const LEFT_OUT: [&str; 3] = ["SecUnicodeMapFile", "SecPcre", "SecRequestBodyInMemoryLimit"];

/// The files of a Core Rule Set.
struct Files {
    /// The recommended configuration of an engine, without rules.
    recommended: PathBuf,
    setup: PathBuf,
    rules: PathBuf,
}

impl Files {
    /// As a release has them, or as the Go module does.
    fn find(folder: &Path) -> Result<Self, String> {
        let first = |names: &[&str]| {
            let mut paths = names.iter().map(|name| folder.join(name));
            let found = paths.find(|path| path.exists());
            found.ok_or_else(|| format!("{} has none of {}", folder.display(), names.join(", ")))
        };
        let recommended = first(&[
            "@coraza.conf-recommended",
            "../modsecurity/modsecurity.conf-recommended",
            "modsecurity.conf-recommended",
        ]);
        Ok(Self {
            recommended: recommended.or_else(|error| usual_configuration().ok_or(error))?,
            setup: first(&[
                "crs-setup.conf.example",
                "crs-setup.conf",
                "@crs-setup.conf.example",
                "../crs-setup.conf.example",
            ])?,
            // Or the folder of the rules itself is named.
            rules: first(&["@owasp_crs", "rules", "."])?,
        })
    }
}

/// The recommended configuration for rules that have none beside them.
fn usual_configuration() -> Option<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let module = std::env::var_os("CORAZA_CORE_RULE_SET").map(PathBuf::from);
    let places = [
        Some(data.join("modsecurity/modsecurity.conf-recommended")),
        module.map(|module| module.join("rules/@coraza.conf-recommended")),
    ];
    places.into_iter().flatten().find(|path| path.exists())
}

/// The texts and data files of a set-up, in order.
pub(crate) struct Sources {
    pub(crate) texts: Vec<String>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Reads all that is loaded. `folder` has `crs-setup.conf.example` and `rules/`.
pub(crate) fn sources(folder: &Path, setup: &Setup) -> Result<Sources, String> {
    let found = Files::find(folder)?;
    let recommended = read(&found.recommended)?;
    let lines = recommended
        .lines()
        .filter(|line| !LEFT_OUT.iter().any(|left_out| line.starts_with(left_out)));
    let mut texts = vec![lines.collect::<Vec<_>>().join("\n")];
    texts.push(if setup.blocking {
        "SecRuleEngine On".to_owned()
    } else {
        BODIES.to_owned()
    });
    texts.push(read(&found.setup)?);
    texts.push(if setup.blocking {
        format!(
            "SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level={0},setvar:tx.detection_paranoia_level={0}\"",
            setup.level
        )
    } else {
        DETECTION.to_owned()
    });
    let mut files = BTreeMap::new();
    let mut paths: Vec<_> = fs::read_dir(&found.rules)
        .map_err(|error| format!("{}: {error}", found.rules.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("conf") => texts.push(read(&path)?),
            Some("data") => {
                files.insert(name, fs::read(&path).map_err(|error| error.to_string())?);
            }
            _ => {}
        }
    }
    Ok(Sources { texts, files })
}

/// The program.
pub(crate) fn load(folder: &Path, setup: &Setup) -> Result<Arc<Program>, String> {
    load_as(folder, setup, Evaluation::default())
}

/// The program, run as is said.
pub(crate) fn load_as(folder: &Path, setup: &Setup, evaluation: Evaluation) -> Result<Arc<Program>, String> {
    let Sources { texts, files } = sources(folder, setup)?;
    let parsed: Vec<_> = texts.iter().map(|source| Arc::new(parse(source.as_bytes()))).collect();
    let own = parsed.iter().flat_map(|parsed| &parsed.diagnostics);
    let (rules, findings) = lower(&parsed);
    let mut errors = own.chain(findings.iter().map(|finding| &finding.diagnostic));
    if let Some(error) = errors.find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let options = Options {
        files: &files,
        evaluation,
        ..Options::default()
    };
    let program = Program::compile(&rules, &options).map_err(|errors| {
        let texts: Vec<_> = errors.iter().map(|error| error.diagnostic.to_string()).collect();
        texts.join("\n")
    })?;
    Ok(Arc::new(program))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
