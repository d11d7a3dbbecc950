//! ModSecurity's own regression cases, judged by what libmodsecurity 3.0.15 made of them: status and logged rules. Reads files.

mod case;

use std::path::{Path, PathBuf};

use super::{Report, Run, shared};
use case::Case;

/// The folder of the cases among the vectors.
pub(crate) const SUITE: &str = "regression";

/// All cases that are about what the engine does.
pub(crate) fn run(folder: Result<PathBuf, String>, whole: bool, only: Option<&str>) -> Run {
    let folder = match folder {
        Ok(folder) => folder,
        Err(absent) => return Run::Skipped(format!("{SUITE}: {absent}")),
    };
    match read(&folder, only) {
        Err(error) => Run::Failed(format!("{SUITE}: {error}")),
        Ok(cases) => {
            let own = Some(folder).filter(|folder| folder.join("data").exists());
            let data = own.or_else(|| shared("vectors/regression").ok()).unwrap_or_default();
            Run::Done(Report::of(SUITE, whole, &cases, |case| {
                Some((case.name.clone(), case.judge(&data)))
            }))
        }
    }
}

fn read(folder: &Path, only: Option<&str>) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for path in super::json_files(folder)? {
        cases.extend(Case::read(&path)?);
    }
    cases.retain(|case| only.is_none_or(|only| case.name.contains(only)));
    Ok(cases)
}
