//! Folders of tests as the Core Rule Set writes them. Reads them.

use std::fs;
use std::path::{Path, PathBuf};

use coraza_ftw::{Case, yaml};

/// All tests of the files in a folder and the folders in it, in the order of their names.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| failed(&error))?;
        tests.extend(yaml::read(&text).map_err(|error| failed(&error))?);
    }
    if tests.is_empty() {
        return Err(format!("{} has no tests", folder.display()));
    }
    Ok(tests)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}
