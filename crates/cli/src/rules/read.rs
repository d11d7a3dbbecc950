//! Reads what the command line names: files, folders with all that is below them, standard input. IO, bounded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::output::paint::plain;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputFile {
    /// As people would name it, with `/` between folders.
    pub(crate) path: String,
    /// What it is taken for.
    pub(crate) kind: Kind,
    /// Whether the command line names it, rather than a folder that it is in.
    pub(crate) named: bool,
    /// What belongs together has the same: the folder, or [`NAMED`].
    pub(crate) group: String,
    /// What it says.
    pub(crate) bytes: Vec<u8>,
}

/// What a file is taken for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SecLang.
    Rules,
    /// What rules look things up in.
    Data,
    /// Objects of Kubernetes.
    Manifest,
}

/// The group of files that are named one by one.
pub(crate) const NAMED: &str = "the files given";

/// The largest file, in bytes: far more than an object of Kubernetes may have, and little enough to read at once.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// How many bytes all files may have together.
const MAX_BYTES: u64 = 512 << 20;
/// How deep folders are followed.
const MAX_DEPTH: usize = 32;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// A file or folder.
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What is below a folder.
    #[error("failed to read {}", path.display())]
    Walk {
        path: PathBuf,
        #[source]
        source: walkdir::Error,
    },
    /// A folder without anything.
    #[error("{} has no .conf, .yaml, .yml or .json files", path.display())]
    Empty { path: PathBuf },
}

/// Reads what is named, in this order; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<InputFile>, ReadError> {
    let mut reader = Reader::default();
    for path in paths {
        if path.as_os_str() == "-" {
            reader.standard_input()?;
        } else if path.is_dir() {
            reader.folder(path)?;
        } else {
            reader.named(path)?;
        }
    }
    Ok(reader.files)
}

#[derive(Default)]
struct Reader {
    files: Vec<InputFile>,
    bytes: u64,
}

impl Reader {
    fn standard_input(&mut self) -> Result<(), ReadError> {
        let bytes = self.bytes(Path::new("standard input"), io::stdin().lock())?;
        let kind = if looks_like_manifests(&bytes) {
            Kind::Manifest
        } else {
            Kind::Rules
        };
        self.push("<stdin>".to_owned(), kind, true, NAMED.to_owned(), bytes);
        Ok(())
    }

    /// A file that is named, whatever its name, and the data beside it that its rules read.
    fn named(&mut self, path: &Path) -> Result<(), ReadError> {
        let bytes = self.file(path)?;
        let kind = match kind(path) {
            Some(kind) => kind,
            None if looks_like_manifests(&bytes) => Kind::Manifest,
            None => Kind::Rules,
        };
        if kind == Kind::Rules {
            for data in data_beside(path, &bytes) {
                let bytes = self.file(&data)?;
                self.push(shown(&data), Kind::Data, false, NAMED.to_owned(), bytes);
            }
        }
        self.push(shown(path), kind, true, NAMED.to_owned(), bytes);
        Ok(())
    }

    /// All files below a folder whose names say what they are. Hidden ones aren't meant: ConfigMaps are mounted with copies in them.
    fn folder(&mut self, path: &Path) -> Result<(), ReadError> {
        let walk = WalkDir::new(path)
            .follow_links(true)
            .max_depth(MAX_DEPTH)
            .sort_by_file_name();
        let is_shown =
            |entry: &walkdir::DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
        let before = self.files.len();
        for entry in walk.into_iter().filter_entry(is_shown) {
            let entry = entry.map_err(|source| ReadError::Walk {
                path: path.to_owned(),
                source,
            })?;
            let Some(kind) = kind(entry.path()).filter(|_| entry.file_type().is_file()) else {
                continue;
            };
            let bytes = self.file(entry.path())?;
            let group = shown(entry.path().parent().unwrap_or(path));
            self.push(shown(entry.path()), kind, false, group, bytes);
        }
        if self.files.len() == before {
            return Err(ReadError::Empty { path: path.to_owned() });
        }
        Ok(())
    }

    fn push(&mut self, path: String, kind: Kind, named: bool, group: String, bytes: Vec<u8>) {
        if !self.files.iter().any(|file| file.path == path && file.group == group) {
            self.files.push(InputFile {
                path,
                kind,
                named,
                group,
                bytes,
            });
        }
    }

    fn file(&mut self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.bytes(path, file)
    }

    fn bytes(&mut self, path: &Path, source: impl io::Read) -> Result<Vec<u8>, ReadError> {
        let failed = |source| ReadError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = bounded(source, MAX_FILE_BYTES.min(MAX_BYTES.saturating_sub(self.bytes))).map_err(failed)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(bytes)
    }
}

/// All that a file has, or an error if that is more than so many bytes.
pub(crate) fn bounded(source: impl io::Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = source.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(length).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ))
    }
}

fn kind(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "conf" => Some(Kind::Rules),
        "data" => Some(Kind::Data),
        "yaml" | "yml" | "json" => Some(Kind::Manifest),
        _ => None,
    }
}

/// The data files in the folder of a file of rules that it mentions. Which it reads is for the compiler to say.
fn data_beside(path: &Path, rules: &[u8]) -> Vec<PathBuf> {
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(rules);
    let mut found = BTreeMap::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if kind(&path) == Some(Kind::Data) && path.is_file() && text.contains(&name) {
            let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
            found.insert(name, path);
        }
    }
    found.into_values().collect()
}

fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy()).replace('\\', "/")
}

fn looks_like_manifests(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_field = |line: &str| line.starts_with("apiVersion:") || line.starts_with("kind:");
    text.trim_start().starts_with('{') || text.lines().any(is_field)
}
