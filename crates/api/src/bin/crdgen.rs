//! Prints the CRDs as YAML documents, or with `--out DIR` writes one file for each and prints nothing.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use coraza_api::schema;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// So that nobody mends the copy.
const HEADER: &str = "# Generated from crates/api by `cargo xtask generate`; don't edit.\n";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => print(),
        ["--out", directory] => write(Path::new(directory)),
        _ => Err("usage: crdgen [--out DIR]".into()),
    }
}

fn print() -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout().lock();
    for crd in schema::crds() {
        write!(stdout, "---\n{}", yaml(&crd)?)?;
    }
    Ok(())
}

fn write(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    for crd in schema::crds() {
        std::fs::write(file(directory, &crd), format!("{HEADER}{}", yaml(&crd)?))?;
    }
    Ok(())
}

/// The file of a CRD, named as the Go operator's generator names it.
fn file(directory: &Path, crd: &CustomResourceDefinition) -> PathBuf {
    directory.join(format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural))
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}
