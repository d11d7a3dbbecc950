//! Loads the Core Rule Set as its own test suite prescribes, or as an operator would for blocking. Reads files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coraza_engine::{Options, Program};
use coraza_seclang::{Severity, lower, parse};

/// What is loaded.
pub(crate) struct Setup {
    /// The folder with `crs-setup.conf.example` and `rules/`.
    pub(crate) rules: PathBuf,
    /// `modsecurity.conf-recommended`.
    pub(crate) recommended: Option<PathBuf>,
    /// The paranoia level.
    pub(crate) level: u8,
    /// Whether rules act.
    pub(crate) blocking: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: PathBuf::new(),
            recommended: None,
            level: 4,
            blocking: false,
        }
    }
}

/// The rule that the suite's own instructions want before all others.
const DETECTION: &str = "SecAction \"id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
setvar:tx.combined_file_sizes=65535\"";

const BODIES: &str = "SecRequestBodyAccess On\nSecResponseBodyAccess On\n\
SecResponseBodyMimeType text/plain text/html text/xml application/json application/octet-stream\n";

/// The program.
pub(crate) fn load(setup: &Setup) -> Result<Arc<Program>, String> {
    let mut sources = Vec::new();
    if let Some(path) = &setup.recommended {
        let text = read(path)?;
        // As the recorded reference was run: without the map, and a limit of PCRE's that makes it lose matches.
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("SecUnicodeMapFile") && !line.starts_with("SecPcre"));
        sources.push(lines.collect::<Vec<_>>().join("\n"));
    }
    if setup.blocking {
        sources.push("SecRuleEngine On".to_owned());
    } else {
        sources.push(BODIES.to_owned());
    }
    sources.push(read(&setup.rules.join("crs-setup.conf.example"))?);
    sources.push(if setup.blocking {
        format!(
            "SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level={0},setvar:tx.detection_paranoia_level={0}\"",
            setup.level
        )
    } else {
        DETECTION.to_owned()
    });
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let folder = setup.rules.join("rules");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
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
            Some("conf") => sources.push(read(&path)?),
            Some("data") => {
                files.insert(name, fs::read(&path).map_err(|error| error.to_string())?);
            }
            _ => {}
        }
    }
    compile(&sources, &files)
}

fn compile(sources: &[String], files: &BTreeMap<String, Vec<u8>>) -> Result<Arc<Program>, String> {
    let parsed: Vec<_> = sources
        .iter()
        .map(|source| Arc::new(parse(source.as_bytes())))
        .collect();
    let own = parsed.iter().flat_map(|parsed| &parsed.diagnostics);
    let (rules, findings) = lower(&parsed);
    let mut errors = own.chain(findings.iter().map(|finding| &finding.diagnostic));
    if let Some(error) = errors.find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let options = Options {
        files,
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
