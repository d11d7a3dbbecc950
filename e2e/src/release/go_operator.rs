//! A release of the Go operator, for ours to take over.

use super::{CHART, Release};

/// What its chart makes, as far as names, selectors, ports and rights matter.
const OBJECTS: &str = include_str!("go-operator.yaml");

impl Release {
    /// Installs the Go operator's chart. Nothing of it runs, on nodes neither: its image is nowhere.
    ///
    /// # Panics
    /// If Helm fails.
    pub fn install_the_go_operator(&self) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("templates")).expect("made");
        std::fs::write(folder.path().join("templates/all.yaml"), OBJECTS).expect("written");
        let about = format!("{{apiVersion: v2, name: {CHART}, version: 0.5.0}}");
        std::fs::write(folder.path().join("Chart.yaml"), about).expect("written");
        let _ = self.helm_with("install", Some(folder.path()), &["--create-namespace"]);
    }
}
