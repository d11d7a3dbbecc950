//! What users install: the chart as Helm renders it, and `deploy/` as kustomize does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::environment::{checkout, environment};

/// The namespace that `deploy/` installs into.
pub const NAMESPACE: &str = "coraza-system";

/// The chart's folder.
#[must_use]
pub fn chart() -> PathBuf {
    checkout("charts/coraza-kubernetes-operator")
}

/// The files of values that the chart is tested with, by name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn values() -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(chart().join("ci")).expect("the chart has a folder with values");
    let paths = files.map(|file| file.expect("a file in it").path());
    let named = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
        Some((name, path))
    });
    let values: BTreeMap<_, _> = named.collect();
    assert!(!values.is_empty(), "there are no values to test with");
    values
}

/// What `helm template` gets besides the chart.
#[must_use]
pub fn template<'a>(release: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["template", release, "--namespace", NAMESPACE, "--kube-version=1.37.2"];
    args.extend(more);
    args
}

/// Runs Helm on the chart, with a home of its own: what a person has set up for theirs doesn't count.
///
/// # Panics
/// If it can't be run.
#[must_use]
pub fn try_helm(args: &[&str]) -> Output {
    let home = environment().logs.join("helm");
    let output = Command::new(&environment().helm)
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .env("KUBECONFIG", &environment().cluster.kubeconfig)
        .args(args)
        .output();
    output.unwrap_or_else(|error| panic!("failed to run helm: {error}"))
}

/// As [`try_helm`], and returns what it printed.
///
/// # Panics
/// If it fails.
#[must_use]
pub fn helm(args: &[&str]) -> String {
    let output = try_helm(args);
    assert!(
        output.status.success(),
        "helm {}: {}{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("helm writes UTF-8")
}

/// The chart's objects as text, with one of [`values`] and more of Helm's flags.
#[must_use]
pub fn render(values: &Path, more: &[&str]) -> String {
    let (chart, values) = (chart(), values.display().to_string());
    let chart = chart.display().to_string();
    let mut args = template("coraza", &[&chart, "--values", &values]);
    args.extend(more);
    helm(&args)
}

/// The objects of a stream of YAML documents.
///
/// # Panics
/// If a document is no YAML.
#[must_use]
pub fn objects(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Kind, namespace and name.
#[must_use]
pub fn identity(object: &Value) -> String {
    let part = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!(
        "{} {}/{}",
        part("/kind"),
        part("/metadata/namespace"),
        part("/metadata/name")
    )
}

/// Whether an object is of this kind.
#[must_use]
pub fn is(object: &Value, kind: &str) -> bool {
    object.get("kind").and_then(Value::as_str) == Some(kind)
}
