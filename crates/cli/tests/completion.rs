//! Completion as kubectl and shells ask for it, from the program itself.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn kubectl_gets_candidates_under_the_name_that_it_calls() {
    let directory = tempfile::tempdir().expect("a directory");
    let completer = directory.path().join("kubectl_complete-coraza");
    symlink(env!("CARGO_BIN_EXE_kubectl-coraza"), &completer).expect("a link");
    let complete = |words: &[&str]| {
        let output = Command::new(&completer).args(words).output().expect("the program runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(complete(&["gen"]), "generate\tWrite manifests\n:4\n");
    let kinds = complete(&["generate", ""]);
    assert!(kinds.starts_with("coreruleset\tTurn the files"), "{kinds}");
    let flags = complete(&["generate", "coreruleset", "--rules"]);
    assert_eq!(flags.lines().last(), Some(":4"));
    assert!(flags.starts_with("--rules-dir\tDirectory"), "{flags}");
    assert_eq!(
        complete(&["completion", ""]),
        "bash\tbash\nzsh\tzsh\nfish\tfish\npowershell\tPowerShell\n:4\n"
    );
    let folders = complete(&["generate", "coreruleset", "--rules-dir", "tests/snap"]);
    assert_eq!(folders, "tests/snapshots/\n:6\n");
    assert_eq!(complete(&["completion", "bash", "nothing"]), ":4\n");
    assert_eq!(complete(&[]).lines().last(), Some(":4"));
}

#[test]
fn every_shell_has_a_script() {
    for (shell, part) in [
        ("bash", "complete -F _kubectl__coraza"),
        ("zsh", "#compdef kubectl-coraza"),
        ("fish", "complete -c kubectl-coraza"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-coraza"))
            .args(["completion", shell])
            .output()
            .expect("the program runs");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && script.contains(part), "{script}");
    }
}
