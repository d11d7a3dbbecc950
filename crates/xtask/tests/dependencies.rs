//! Who may depend on whom: the table of ARCHITECTURE.md ("Crates"), checked against what Cargo resolved.
//!
//! Asks Cargo and Git, and changes nothing.
#![allow(
    clippy::expect_used,
    reason = "a test states what must hold; clippy.toml covers the test functions only"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// A row: the crate, the in-house crates that it depends on (exactly), and the crates that its resolved normal and build
/// graph must not contain.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const TABLE: &[Row] = &[
    ("coraza-api", &[], &["tokio", "tonic", "kube-client"]),
    ("coraza-seclang", &[], &["tokio", "kube", "kube-core", "kube-client"]),
    (
        "coraza-engine",
        &["coraza-seclang"],
        &["proxy-wasm", "tokio", "kube", "kube-core", "kube-client"],
    ),
    (
        "coraza-ftw",
        &["coraza-engine"],
        &["tokio", "kube", "kube-core", "kube-client"],
    ),
    ("coraza-ruleset", &[], &["kube", "kube-core", "tonic", "hyper", "tokio"]),
    (
        "coraza-compiler",
        &["coraza-ruleset", "coraza-seclang", "coraza-engine"],
        &["kube", "kube-core", "tonic", "hyper", "tokio"],
    ),
    (
        "coraza-proto",
        &["coraza-ruleset"],
        &["kube", "kube-core", "coraza-api"],
    ),
    (
        "coraza-runtime",
        &[],
        &["kube", "kube-core", "coraza-api", "coraza-ruleset"],
    ),
    (
        "coraza-controller",
        &[
            "coraza-api",
            "coraza-ruleset",
            "coraza-compiler",
            "coraza-proto",
            "coraza-runtime",
        ],
        &["coraza-cache"],
    ),
    (
        "coraza-cache",
        &["coraza-ruleset", "coraza-proto", "coraza-runtime"],
        &[
            "coraza-api",
            "coraza-controller",
            "coraza-compiler",
            "coraza-seclang",
            "coraza-engine",
        ],
    ),
    (
        "coraza-plugin",
        &["coraza-engine"],
        &["kube", "kube-core", "tokio", "proxy-wasm"],
    ),
    (
        "kubectl-coraza",
        &[
            "coraza-api",
            "coraza-ruleset",
            "coraza-seclang",
            "coraza-compiler",
            "coraza-engine",
            "coraza-ftw",
        ],
        &["coraza-controller", "coraza-cache"],
    ),
    (
        "coraza-e2e",
        &["coraza-api", "coraza-proto"],
        &["coraza-controller", "coraza-cache", "coraza-compiler"],
    ),
    (
        "xtask",
        &[],
        &[
            "coraza-api",
            "coraza-ruleset",
            "coraza-proto",
            "coraza-controller",
            "coraza-cache",
        ],
    ),
];

/// Crates whose in-house dependencies may be fewer than the table allows: they take what they need as they grow.
const UP_TO: &[&str] = &["kubectl-coraza"];

/// Two crypto providers in one process make rustls panic at its first use.
const NOWHERE: &[&str] = &["ring", "openssl-sys", "serde_yml"];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata runs")
}

/// The names of every crate in the normal and build graph below `package`, with the features that it alone turns on:
/// `cargo metadata` would show the features of the whole workspace together.
fn graph(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are UTF-8");
    names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect()
}

fn in_house(package: &Package, members: &BTreeMap<String, &Package>) -> BTreeSet<String> {
    let dependencies = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development);
    dependencies
        .map(|dependency| dependency.name.clone())
        .filter(|name| members.contains_key(name))
        .collect()
}

#[test]
fn every_crate_sees_what_the_table_says() {
    let metadata = metadata();
    let members: BTreeMap<String, &Package> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), package))
        .collect();
    let rows: BTreeSet<String> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(
        rows,
        members.keys().cloned().collect(),
        "the table has a row for every member of the workspace"
    );

    for (name, allowed, forbidden) in TABLE {
        let package = members[*name];
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let actual = in_house(package, &members);
        if UP_TO.contains(name) {
            assert!(
                actual.is_subset(&allowed),
                "{name} depends on {actual:?} and may on {allowed:?}"
            );
        } else {
            assert_eq!(actual, allowed, "{name}'s in-house dependencies");
        }
        let graph = graph(name);
        for forbidden in forbidden.iter().chain(NOWHERE) {
            assert!(
                !graph.contains(*forbidden),
                "{name} must never see {forbidden}: cargo tree -p {name} -i {forbidden}"
            );
        }
    }
}

#[test]
fn every_crate_takes_the_lints_and_the_version_of_the_workspace() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not take the workspace's lints",
            package.name
        );
        assert!(
            manifest.contains("version.workspace = true"),
            "{} has a version of its own",
            package.name
        );
    }
}

#[test]
fn every_file_opens_with_what_it_is_and_has_a_name() {
    let root = metadata().workspace_root;
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(&root)
        .output()
        .expect("git runs");
    let files = String::from_utf8(output.stdout).expect("paths are UTF-8");
    assert!(files.lines().count() > 20, "git lists the workspace's files");
    for file in files.lines().filter(|file| root.join(file).exists()) {
        let stem = file.rsplit('/').next().unwrap_or(file);
        for vague in [
            "mod.rs",
            "util.rs",
            "utils.rs",
            "helpers.rs",
            "common.rs",
            "misc.rs",
            "manager.rs",
        ] {
            assert_ne!(stem, vague, "{file} says nothing of what is in it");
        }
        let text = std::fs::read_to_string(root.join(file)).expect("readable");
        let generated = file.contains("/gen/");
        assert!(
            generated || text.lines().take(3).any(|line| line.starts_with("//!")),
            "{file} does not say what it is"
        );
    }
}
