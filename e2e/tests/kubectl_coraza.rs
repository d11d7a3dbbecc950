//! `kubectl coraza` by kubectl itself: how it is found and completed, which cluster and namespace it asks, and how it ends. *Shared*.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use coraza_e2e::environment::checkout;
use coraza_e2e::kubectl_coraza::Answer;
use coraza_e2e::{Fleet, Namespace, environment, shell};
use serde_json::{Value, json};
use tempfile::TempDir;

const RULES: &str = "SecRuleEngine On\nSecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,status:403\"";

/// A person with kubectl and the plugin on the PATH.
struct Person {
    home: TempDir,
    path: OsString,
    kubeconfig: OsString,
}

impl Person {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = shell::path(&home.path().join("bin"));
        let kubeconfig = environment().cluster.kubeconfig.clone().into();
        Self { home, path, kubeconfig }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn kubectl(&self, args: &[&str]) -> Answer {
        let mut command = Command::new("kubectl");
        command
            .env("PATH", &self.path)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", &self.kubeconfig);
        command.args(args).output().expect("kubectl can be run").into()
    }

    fn coraza(&self, args: &[&str]) -> Answer {
        self.kubectl(&[&["coraza"], args].concat())
    }
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn kubectl_finds_it_completes_it_and_ends_as_it_does() {
    let mut person = Person::new();
    let listed = person.kubectl(&["plugin", "list", "--name-only"]);
    assert!(
        listed.out.lines().any(|line| line == "kubectl-coraza") && !listed.err.contains("coraza"),
        "{listed:?}"
    );
    let completed = |person: &Person, words: &[&str]| person.kubectl(&[&["__complete"], words].concat()).out;
    assert!(
        completed(&person, &["cora"]).starts_with("coraza\t"),
        "the name, which is kubectl's own work"
    );
    assert!(!completed(&person, &["coraza", "exp"]).contains("explain"));
    let program = &environment().kubectl_plugin;
    symlink(program, person.home.path().join("bin/kubectl_complete-coraza")).unwrap();
    assert_eq!(
        completed(&person, &["coraza", "exp"]),
        "explain\tSay which rules match a request, where they stand, and the verdict\n:4\n"
    );
    assert_eq!(
        completed(&person, &["coraza", "generate", "core"]).lines().last(),
        Some(":4")
    );
    assert!(completed(&person, &["coraza", "status", "--name"]).starts_with("--namespace\t"));

    let samples = checkout("deploy/samples").display().to_string();
    let broken = person.file("broken.conf", "SecRule ARGS \"@contians evil\" \"id:1,phase:2,deny\"");
    for (args, code, out, err) in [
        (&["lint", &samples][..], 0, "0 errors", ""),
        (&["lint", broken.to_str().unwrap()], 1, "did you mean `@contains`?", ""),
        (&["lint", "absent.conf"], 2, "", "absent.conf"),
        (&["nothing"], 2, "", "unrecognized subcommand 'nothing'"),
        (&["--version"], 0, env!("CARGO_PKG_VERSION"), ""),
    ] {
        let answer = person.coraza(args);
        assert_eq!(answer.code, code, "{args:?}: {answer:?}");
        assert!(
            answer.out.contains(out) && answer.err.contains(err),
            "{args:?}: {answer:?}"
        );
    }
    person.kubeconfig = person.file("config", "apiVersion: v1\nkind: Config\n").into();
    let nowhere = person.coraza(&["status"]);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (2, ""), "{nowhere:?}");
}

/// The parts of a kubeconfig with all rights: those that name the cluster and the user, and the names.
fn parts() -> (Value, String, String) {
    let text = std::fs::read_to_string(&environment().cluster.kubeconfig).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let name = |kind: &str| config[kind][0]["name"].as_str().unwrap().to_owned();
    let (cluster, user) = (name("clusters"), name("users"));
    config.as_object_mut().unwrap().remove("contexts");
    config.as_object_mut().unwrap().remove("current-context");
    (config, cluster, user)
}

/// A kubeconfig of contexts alone, the first of which is current: each is a namespace's, and has its name.
fn contexts(names: [(&str, &str); 2], cluster: &str, user: &str) -> String {
    let context = |(name, namespace): (&str, &str)| json!({"name": name, "context": {"cluster": cluster, "user": user, "namespace": namespace}});
    json!({"apiVersion": "v1", "kind": "Config", "current-context": names[0].0, "contexts": names.map(context)})
        .to_string()
}

fn joined(files: &[&Path]) -> OsString {
    std::env::join_paths(files).unwrap()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn it_asks_whom_kubectl_would_ask() {
    let fleet = Fleet::shared().await;
    let (shop, empty) = (Namespace::create().await, Namespace::create().await);
    shop.source("rules", RULES).await;
    shop.ruleset("crs", &["rules"], &[]).await;
    let revision = shop.ready("crs").await;
    shop.served(&fleet.caches, "crs", &revision.uuid).await;

    let mut person = Person::new();
    let (config, cluster, user) = parts();
    let config = person.file("cluster.json", &config.to_string());
    let contexts = contexts([("here", &shop.name), ("elsewhere", &empty.name)], &cluster, &user);
    let contexts = person.file("contexts.json", &contexts);
    person.kubeconfig = joined(&[&contexts, &config]);
    let alone = environment().cluster.kubeconfig.display().to_string();
    let nobody = format!("system:serviceaccount:{}:nobody", shop.name);
    let explain = |flags: &[&str]| {
        let request = [
            "explain",
            "--ruleset",
            "crs",
            "-o",
            "json",
            "https://shop.example/?a=evil",
        ];
        person.coraza(&[&request, flags].concat())
    };
    let there: [&[&str]; 5] = [
        &[],
        &["--context", "here"],
        &["--context", "elsewhere", "--namespace", &shop.name],
        &["--context=elsewhere", "-n", &shop.name],
        &["--kubeconfig", &alone, "-n", &shop.name],
    ];
    for flags in there {
        let answer = explain(flags);
        assert_eq!(answer.code, 0, "{flags:?}: {answer:?}");
        let answer = answer.json();
        assert_eq!(answer["verdict"], "blocked", "{flags:?}");
        assert_eq!(
            answer["interruption"]["place"],
            format!("RuleSource {}/rules:2", shop.name),
            "{flags:?}"
        );
    }
    let not_there: [(&[&str], &str); 4] = [
        (
            &["--context", "elsewhere"],
            &format!("failed to get RuleSet {}/crs", empty.name),
        ),
        (&["--namespace", &empty.name], "not found"),
        (&["--context", "nowhere"], "failed to find a cluster by the kubeconfig"),
        (&["--as", &nobody], "forbidden"),
    ];
    for (flags, said) in not_there {
        let answer = explain(flags);
        assert_eq!((answer.code, answer.out.as_str()), (2, ""), "{flags:?}: {answer:?}");
        assert!(answer.err.contains(said), "{flags:?}: {answer:?}");
    }

    // kubectl agrees about the objects, and both formats say the same.
    let listed = person.kubectl(&["get", "rulesets", "-o", "jsonpath={.items[*].status.revision.uuid}"]);
    assert_eq!(listed.out, revision.uuid);
    let status = |format: &str| person.coraza(&["status", "-o", format, "--operator-namespace", &fleet.namespace]);
    let shown = status("json").json();
    assert_eq!(shown["ruleSets"][0]["revision"]["uuid"], revision.uuid, "{shown}");
    let yaml: Value = serde_saphyr::from_str(&status("yaml").out).unwrap();
    assert_eq!(yaml, shown);
}
