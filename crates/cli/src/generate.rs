//! `generate coreruleset`: reads the directory, writes YAML and notices. What is written is decided
//! in [`coreruleset`](crate::coreruleset).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::args;
use crate::coreruleset::{self, File, GenerateError, Options};
use crate::yaml;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The rules can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is nothing to generate from.
    #[error("{} has no .conf files", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A flag or a file can't be used.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The output can't be written.
    #[error("failed to write")]
    Write(#[from] io::Error),
}

/// Runs the command. A reader that has gone away, as `head` does, has what it wanted.
pub(crate) fn run(args: args::Coreruleset, out: &mut impl Write, notices: &mut impl Write) -> Result<(), RunError> {
    match write(args, out, notices) {
        Err(RunError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn write(args: args::Coreruleset, out: &mut impl Write, notices: &mut impl Write) -> Result<(), RunError> {
    let options = Options::try_from(&args)?;
    if args.dry_run.trim().eq_ignore_ascii_case("client") {
        writeln!(notices, "Dry run (client): manifests are only printed.")?;
    }
    let files = read(&args.rules_dir)?;
    if !files.iter().any(File::is_rules) {
        return Err(RunError::Empty { path: args.rules_dir });
    }
    let generated = coreruleset::generate(&files, &options)?;
    for notice in &generated.notices {
        writeln!(notices, "{notice}")?;
    }
    out.write_all(yaml::documents(&generated.objects).as_bytes())?;
    out.flush()?;
    write!(notices, "{}", generated.summary)?;
    Ok(())
}

/// The rules and data of a directory, sorted by name.
fn read(directory: &Path) -> Result<Vec<File>, RunError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| RunError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = File::is_wanted(&name) && path.is_file();
        if wanted {
            let bytes = std::fs::read(&path).map_err(failed(&path))?;
            files.push(File { name, bytes });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
