//! Which suites there are, which of them were asked for, and which were required. No IO.

use std::path::Path;

use super::counts::Counts;
use crate::cluster::network;
use crate::program::Program;
use crate::workspace::{self, TestBinary, Tested};

/// The package whose tests need an API server.
const END_TO_END: &str = "e2e";

/// How the names of its files start whose tests need Istio beside it.
const WITH_ISTIO: &str = "istio_";

/// The same, whose tests need nodes that run Pods.
const WITH_NODES: &str = "node_";

/// How many end to end tests of a suite run at once: they wait more than they work.
const END_TO_END_THREADS: &str = "--test-threads=8";

/// What a suite needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runner {
    /// Nothing.
    Plain,
    /// cargo, which compiles each example of the documentation.
    Documentation,
    /// An API server and our programs.
    Cluster,
    /// The same, with istiod, in a network namespace of its own, where Gateways get proxies.
    Istio,
    /// An API server with real nodes, in a network namespace of its own, and our images on them. Its tests run one at a time: each wants the nodes for itself.
    Nodes,
}

/// A suite: a test binary, or (without one) the examples in the documentation.
pub(crate) struct Suite<'a> {
    pub(crate) name: String,
    pub(crate) runner: Runner,
    binary: Option<&'a TestBinary>,
}

impl Suite<'_> {
    /// The program that runs its tests, in a network namespace if one is given.
    pub(crate) fn program(&self, namespace: Option<&Path>) -> Program {
        let Some(binary) = self.binary else {
            return workspace::cargo().args(["test", "--doc", "--workspace", "--"]);
        };
        let program = match namespace {
            Some(namespace) => network::within(namespace).arg(&binary.executable),
            None => Program::new(&binary.executable),
        };
        // Where cargo would run it, with the variables that tests read at run time.
        let program = program
            .dir(&binary.directory)
            .env("CARGO_MANIFEST_DIR", &binary.directory)
            .arg("--show-output");
        match self.runner {
            Runner::Cluster | Runner::Istio => program.args(["--include-ignored", END_TO_END_THREADS]),
            Runner::Nodes => program.args(["--include-ignored", "--test-threads=1"]),
            Runner::Plain | Runner::Documentation => program,
        }
    }
}

/// What was asked for.
pub(crate) struct Selection<'a> {
    pub(crate) fast: bool,
    /// All if empty.
    pub(crate) named: &'a [String],
}

impl Selection<'_> {
    fn wants(&self, suite: &Suite<'_>) -> bool {
        let named = self.named.is_empty() || self.named.iter().any(|name| covers(name, &suite.name));
        named && (!self.fast || suite.runner == Runner::Plain)
    }

    /// A name that stands for no suite.
    pub(crate) fn unmatched(&self, suites: &[Suite<'_>]) -> Option<&str> {
        self.named
            .iter()
            .map(String::as_str)
            .find(|name| !suites.iter().any(|suite| covers(name, &suite.name)))
    }
}

/// Whether a name given by a person means a suite: `seclang` is its unit tests and its files.
fn covers(given: &str, suite: &str) -> bool {
    given == "all"
        || suite
            .strip_prefix(given)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The suites that were asked for, quick ones first.
pub(crate) fn select<'a>(binaries: &'a [TestBinary], selection: &Selection<'_>) -> Vec<Suite<'a>> {
    let mut suites: Vec<Suite<'a>> = binaries.iter().map(of).collect();
    suites.push(Suite {
        name: "doc".to_owned(),
        runner: Runner::Documentation,
        binary: None,
    });
    suites.retain(|suite| selection.wants(suite));
    suites.sort_by_key(|suite| (suite.runner, suite.name.clone()));
    suites
}

fn of(binary: &TestBinary) -> Suite<'_> {
    let name = match &binary.of {
        Tested::Library => binary.package.clone(),
        Tested::Program(target) | Tested::File(target) => format!("{}/{target}", binary.package),
    };
    let runner = match &binary.of {
        Tested::File(file) if binary.package == END_TO_END && file.starts_with(WITH_ISTIO) => Runner::Istio,
        Tested::File(file) if binary.package == END_TO_END && file.starts_with(WITH_NODES) => Runner::Nodes,
        Tested::File(_) if binary.package == END_TO_END => Runner::Cluster,
        _ => Runner::Plain,
    };
    Suite {
        name,
        runner,
        binary: Some(binary),
    }
}

impl Suite<'_> {
    /// Whether it is there for its tests: a library or a program may have none of its own.
    fn must_have_tests(&self) -> bool {
        self.binary.is_some_and(|binary| matches!(binary.of, Tested::File(_)))
    }
}

/// Their names, for a person who gave one that doesn't exist.
pub(crate) fn names(suites: &[Suite<'_>]) -> String {
    let mut names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

/// What was required and did not run whole: nothing of that name with a test, a file of tests without one, a test that was skipped for another reason than that
/// there is no conformance data.
pub(crate) fn unmet(results: &[(&Suite<'_>, Counts)], required: &[String]) -> Vec<String> {
    let mut unmet = Vec::new();
    for name in required {
        let covered: Vec<_> = results.iter().filter(|(suite, _)| covers(name, &suite.name)).collect();
        if covered
            .iter()
            .all(|(_, counts)| counts.passed + counts.unavoidable == 0)
        {
            unmet.push(format!("{name} (no test ran)"));
        }
        for (Suite { name: suite, .. }, counts) in &covered {
            let avoidable = counts.skipped - counts.unavoidable;
            if avoidable > 0 {
                unmet.push(format!("{suite} ({avoidable} skipped)"));
            }
        }
        let empty = covered
            .iter()
            .filter(|(suite, counts)| suite.must_have_tests() && *counts == Counts::default());
        unmet.extend(empty.map(|(suite, _)| format!("{} (it has no test)", suite.name)));
    }
    unmet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(package: &str, file: Option<&str>) -> TestBinary {
        TestBinary {
            package: package.to_owned(),
            of: file.map_or(Tested::Library, |file| Tested::File(file.to_owned())),
            executable: "/bin/true".into(),
            directory: "/".into(),
        }
    }

    fn selected(fast: bool, named: &[&str]) -> String {
        let binaries = [
            binary("e2e", Some("node_release")),
            binary("e2e", Some("istio_engines")),
            binary("e2e", Some("faults")),
            binary("e2e", None),
            binary("seclang", Some("corpus")),
            binary("seclang", None),
        ];
        let named: Vec<String> = named.iter().map(|&name| name.to_owned()).collect();
        names(&select(&binaries, &Selection { fast, named: &named }))
    }

    #[test]
    fn suites_are_chosen_by_name_and_need() {
        assert_eq!(
            selected(false, &[]),
            "e2e, seclang, seclang/corpus, doc, e2e/faults, e2e/istio_engines, e2e/node_release"
        );
        assert_eq!(selected(true, &[]), "e2e, seclang, seclang/corpus");
        assert_eq!(selected(false, &["seclang"]), "seclang, seclang/corpus");
        assert_eq!(selected(false, &["e2e/faults", "doc"]), "doc, e2e/faults");
        assert_eq!(selected(false, &["sec"]), "");
    }

    #[test]
    fn a_skip_or_an_empty_suite_is_not_what_was_required() {
        let counts = |passed, skipped| Counts {
            passed,
            skipped,
            ..Counts::default()
        };
        let binaries = [
            binary("seclang", None),
            binary("e2e", Some("faults")),
            binary("cache", None),
            binary("cli", Some("empty")),
        ];
        let suites: Vec<_> = binaries.iter().map(of).collect();
        let counted = [counts(3, 0), counts(2, 1), counts(0, 0), counts(0, 0)];
        let results: Vec<_> = suites.iter().zip(counted).collect();
        let unmet = |required: &[&str]| {
            super::unmet(
                &results,
                &required.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(unmet(&["seclang"]), Vec::<String>::new());
        assert_eq!(unmet(&["e2e"]), ["e2e/faults (1 skipped)"]);
        assert_eq!(
            unmet(&["cache", "nobody"]),
            ["cache (no test ran)", "nobody (no test ran)"]
        );
        assert_eq!(
            unmet(&["all"]),
            ["e2e/faults (1 skipped)", "cli/empty (it has no test)"]
        );
    }
}
